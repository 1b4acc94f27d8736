//! Version 2 over a tree of ordinary files, which comes and goes as a kernel's does. What a kernel does with what is written there
//! is not in it: machines whose controllers belong to version 1 have no other.

use super::*;
use std::io::Write;

/// A folder for one test, gone with it.
struct Machine(PathBuf);

impl Machine {
    fn new(name: &str) -> Machine {
        let folder = std::env::temp_dir().join(format!("gatebus-cgroups-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a folder for temporary files");
        Machine(folder)
    }

    fn placement(&self) -> Placement {
        let layers = [Layers::CGROUP_MEMORY, Layers::CGROUP_PIDS, Layers::CGROUP_CPU];
        Placement { mode: Mode::V2, parents: layers.map(|layer| (layer, self.0.clone())).to_vec() }
    }

    fn groups(&self) -> Groups {
        Groups::below(&self.placement(), Layers::CGROUPS, FILES)
    }

    fn own(&self) -> PathBuf {
        self.0.join(placement::own_name())
    }

    /// What was written there since it was looked at last; a kernel takes each write by itself.
    fn written(&self, group: &Group, name: &str) -> String {
        let path = self.own().join(group.number.to_string()).join(name);
        let text = fs::read_to_string(&path).expect("a file of the group");
        fs::write(path, "").expect("a file of the group");
        text
    }

    fn put(&self, group: &Group, name: &str, text: &str) {
        fs::write(self.own().join(group.number.to_string()).join(name), text).expect("a file of the group");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const FILES: Kernel = Kernel { make: made, remove: removed };

fn made(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    let files =
        ["cgroup.procs", "cgroup.subtree_control", "pids.max", "cpu.weight", "memory.max"].map(|name| (name, ""));
    let memory = [("memory.current", "0"), ("memory.events", "max 0\noom 0\noom_kill 0\n")];
    files.iter().chain(&memory).try_for_each(|(name, text)| fs::write(folder.join(name), text))
}

/// Not while there are groups inside, or somebody in it.
fn removed(folder: &Path) -> io::Result<()> {
    let inside = fs::read_dir(folder)?.flatten().any(|entry| entry.path().is_dir());
    if inside || !fs::read_to_string(folder.join("cgroup.procs"))?.is_empty() {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    fs::remove_dir_all(folder)
}

#[test]
fn one_folder_has_all_three_layers_and_the_share_of_all_programs() {
    let machine = Machine::new("layers");
    let groups = machine.groups();
    assert_eq!((groups.mode(), groups.layers()), (Mode::V2, Layers::CGROUPS));
    assert!(groups.can_share());
    let weight = fs::read_to_string(machine.own().join("cpu.weight")).expect("the share of all");
    assert_eq!(weight.parse::<usize>().ok(), std::thread::available_parallelism().ok().map(|all| 100 * all.get()));
}

#[test]
fn what_is_not_handed_down_is_no_layer() {
    let machine = Machine::new("bare");
    let bare = Kernel { make: |folder| fs::create_dir(folder), ..FILES };
    let groups = Groups::below(&machine.placement(), Layers::CGROUPS, bare);
    assert_eq!((groups.mode(), groups.layers()), (Mode::None, Layers::NONE));
    assert!(!groups.can_share());
}

#[test]
fn a_child_enters_one_group_in_which_it_is_alone_and_bounded() {
    let machine = Machine::new("enter");
    let mut groups = machine.groups();
    let (mut group, procs) = groups.take(false).expect("a group");
    let [procs] = <[OwnedFd; 1]>::try_from(procs).expect("one entrance");
    File::from(procs).write_all(b"0").expect("the entrance is open for writing");
    assert_eq!(machine.written(&group, "cgroup.procs"), "0");
    assert_eq!(machine.written(&group, "pids.max"), "1");
    assert_eq!(machine.written(&group, "memory.max"), (512 << 20).to_string());
    groups.limit(&mut group, 1 << 20).expect("a limit");
    assert_eq!(machine.written(&group, "memory.max"), ((1u64 << 20) + OVERHEAD).to_string());
    groups.limit(&mut group, 1 << 20).expect("the same limit");
    assert_eq!(machine.written(&group, "memory.max"), "");
}

#[test]
fn who_computes_for_long_or_starts_low_weighs_less_and_the_next_one_does_not() {
    let machine = Machine::new("weights");
    let mut groups = machine.groups();
    let (mut group, _) = groups.take(false).expect("a group");
    assert_eq!(machine.written(&group, "cpu.weight"), "", "the kernel's own weight is the usual one");
    groups.weigh(&mut group, 5).expect("one of five");
    assert_eq!(machine.written(&group, "cpu.weight"), "2");
    groups.weigh(&mut group, 0).expect("as all others");
    assert_eq!(machine.written(&group, "cpu.weight"), "100");
    groups.give_back(group);
    let (low, _) = groups.take(true).expect("the same group");
    assert_eq!((low.number, machine.written(&low, "cpu.weight").as_str()), (0, "1"));
    groups.give_back(low);
    let (usual, _) = groups.take(false).expect("the same group");
    assert_eq!((usual.number, machine.written(&usual, "cpu.weight").as_str()), (0, "100"));
}

#[test]
fn a_kill_for_memory_is_seen_once() {
    let machine = Machine::new("memory");
    let mut groups = machine.groups();
    let (mut group, _) = groups.take(false).expect("a group");
    assert!(!groups.ran_out_of_memory(&mut group));
    machine.put(&group, "memory.events", "max 4\noom 1\noom_kill 1\n");
    assert!(groups.ran_out_of_memory(&mut group));
    assert!(!groups.ran_out_of_memory(&mut group));
}

#[test]
fn a_group_that_is_still_charged_is_not_used_again() {
    let machine = Machine::new("charge");
    let mut groups = machine.groups();
    let (group, _) = groups.take(false).expect("a group");
    machine.put(&group, "memory.current", &(RESIDUE + 1).to_string());
    groups.give_back(group);
    let (other, _) = groups.take(false).expect("another group");
    assert_eq!(other.number, 1);
    assert!(!machine.own().join("0").exists());
}

#[test]
fn nothing_is_left_at_the_end_even_of_a_keeper_that_is_dead() {
    let machine = Machine::new("end");
    let dead =
        machine.0.join(placement::own_name().rsplit_once('-').map_or_else(String::new, |(own, _)| format!("{own}-1")));
    made(&dead).and_then(|()| made(&dead.join("0"))).expect("what it has left");
    let mut groups = machine.groups();
    assert!(!dead.exists());
    let (group, _) = groups.take(false).expect("a group");
    groups.give_back(group);
    assert!(machine.own().join("0").exists());
    groups.close();
    assert!(!machine.own().exists());
}
