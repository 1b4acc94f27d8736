//! Where this process stands in the control groups, and whose folder is whose. Parsing is apart from reading.

use crate::cgroups::Mode;
use gatebus_wire::Layers;
use std::fs;
use std::path::{Path, PathBuf};

const CONTROLLERS: [(Layers, &str); 3] =
    [(Layers::CGROUP_MEMORY, "memory"), (Layers::CGROUP_PIDS, "pids"), (Layers::CGROUP_CPU, "cpu")];

/// Where our folders may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) mode: Mode,
    pub(crate) parents: Vec<(Layers, PathBuf)>,
}

impl Default for Placement {
    fn default() -> Self {
        Placement { mode: Mode::None, parents: Vec::new() }
    }
}

/// The kernel's name of a layer's controller.
pub(crate) fn controller(layer: Layers) -> &'static str {
    CONTROLLERS.iter().find(|(own, _)| *own == layer).map_or("", |(_, name)| name)
}

/// Where this process is now.
pub(crate) fn read() -> Placement {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let found = place(&text("/proc/self/cgroup"), &text("/proc/self/mountinfo"));
    // Inside a container the path of /proc/self/cgroup may be the host's: then the mount itself is where we are.
    let parents = found.parents.into_iter().map(|(layer, path)| {
        let mount = mount_above(&path);
        (layer, if path.is_dir() { path } else { mount })
    });
    let mut placement = Placement { mode: found.mode, parents: parents.collect() };
    if placement.mode == Mode::V2 {
        placement.parents.retain(|(layer, parent)| hands_down(parent, controller(*layer)));
    }
    placement
}

/// In v2 a group's files exist only when its parent hands the controller down. Asking for it fails where processes are.
fn hands_down(parent: &Path, controller: &str) -> bool {
    let has = || {
        fs::read_to_string(parent.join("cgroup.subtree_control"))
            .is_ok_and(|text| text.split_whitespace().any(|word| word == controller))
    };
    has() || (fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}")).is_ok() && has())
}

fn mount_above(path: &Path) -> PathBuf {
    path.ancestors().find(|folder| folder.join("cgroup.procs").exists()).unwrap_or(path).to_owned()
}

/// What the two files say: v1 where a controller has a tree of its own, else v2 where there is one tree.
fn place(cgroup: &str, mountinfo: &str) -> Placement {
    let v1 = CONTROLLERS.into_iter().filter_map(|(layer, name)| {
        let path = cgroup.lines().find_map(|line| own_path(line, name))?;
        let mount = mountinfo.lines().find_map(|line| mount_of(line, "cgroup", Some(name)))?;
        Some((layer, join(&mount, path)))
    });
    let parents: Vec<_> = v1.collect();
    if !parents.is_empty() {
        return Placement { mode: Mode::V1, parents };
    }
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"));
    let mount = mountinfo.lines().find_map(|line| mount_of(line, "cgroup2", None));
    match (path, mount) {
        (Some(path), Some(mount)) => {
            let folder = join(&mount, path);
            Placement { mode: Mode::V2, parents: CONTROLLERS.map(|(layer, _)| (layer, folder.clone())).to_vec() }
        }
        _ => Placement::default(),
    }
}

fn join(mount: &str, path: &str) -> PathBuf {
    Path::new(mount).join(path.trim_start_matches('/'))
}

/// A line of /proc/self/cgroup: `4:memory:/path`, or several controllers with commas.
fn own_path<'a>(line: &'a str, controller: &str) -> Option<&'a str> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    controllers.split(',').any(|name| name == controller).then_some(path)
}

/// A line of mountinfo: `36 35 98:0 /root /mount/point rw,... shared:1 - cgroup cgroup rw,memory`.
fn mount_of(line: &str, kind: &str, controller: Option<&str>) -> Option<String> {
    let (head, tail) = line.split_once(" - ")?;
    let point = head.split(' ').nth(4)?;
    let mut tail = tail.split(' ');
    let (own_kind, options) = (tail.next()?, tail.nth(1)?);
    let has = controller.is_none_or(|name| options.split(',').any(|option| option == name));
    (own_kind == kind && has).then(|| point.to_owned())
}

/// The number after this word in a file of `word number` lines.
pub(crate) fn counter(text: &str, word: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The name of our folder. It tells the keeper from any other that ever had its pid.
pub(crate) fn own_name() -> String {
    let pid = std::process::id();
    format!("gatebus-{}-{pid}-{}", pid_namespace(), start_time(pid).unwrap_or(0))
}

/// Whether this is the name of a keeper of our pid namespace that no longer lives. Others are not ours to judge.
pub(crate) fn is_dead_keepers(name: &str) -> bool {
    parse_name(name).is_some_and(|(namespace, pid, time)| namespace == pid_namespace() && start_time(pid) != Some(time))
}

fn parse_name(name: &str) -> Option<(u64, u32, u64)> {
    let mut parts = name.strip_prefix("gatebus-")?.split('-');
    let parsed = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let slot = parts.next().is_none_or(|slot| slot.parse::<u32>().is_ok()); // of an account (accountgroups.rs)
    (slot && parts.next().is_none()).then_some(parsed)
}

fn pid_namespace() -> u64 {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let digits: String = link.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

fn start_time(pid: u32) -> Option<u64> {
    field_22(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name of the program, field 2, may have spaces and parentheses: fields are counted from its end.
fn field_22(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1_CGROUP: &str = "8:pids:/\n4:memory:/box/1\n1:cpu,cpuacct:/\n0::/\n";
    const V1_MOUNTS: &str = "30 24 0:25 / /sys/fs/cgroup/cpu rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
        31 24 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        32 24 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
        33 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn with_version_1_each_controller_has_its_own_place() {
        let placement = place(V1_CGROUP, V1_MOUNTS);
        assert_eq!(placement.mode, Mode::V1);
        let paths: Vec<_> =
            placement.parents.iter().map(|(layer, path)| (layer.to_string(), path.to_str().expect("text"))).collect();
        assert_eq!(paths[0], ("cgroup-memory".to_owned(), "/sys/fs/cgroup/memory/box/1"));
        assert_eq!(paths[1].1, "/sys/fs/cgroup/pids/");
        assert_eq!(paths[2].1, "/sys/fs/cgroup/cpu/");
    }

    #[test]
    fn with_version_2_all_share_one_place() {
        let placement = place(
            "0::/user.slice/x.scope\n",
            "25 1 0:22 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
        );
        assert_eq!(placement.mode, Mode::V2);
        assert_eq!(placement.parents.len(), 3);
        assert!(placement.parents.iter().all(|(_, path)| path == Path::new("/sys/fs/cgroup/user.slice/x.scope")));
    }

    #[test]
    fn without_mounts_there_is_no_place() {
        assert_eq!(place(V1_CGROUP, ""), Placement::default());
        assert_eq!(place("", V1_MOUNTS), Placement::default());
        assert_eq!(place("x\n4:\n", "broken line\n - cgroup\n"), Placement::default());
    }

    #[test]
    fn names_are_ours_only_when_every_part_is() {
        assert_eq!(parse_name("gatebus-40265-17-99"), Some((40265, 17, 99)));
        assert_eq!(parse_name("gatebus-40265-17-99-63"), Some((40265, 17, 99)));
        for other in [
            "gatebus",
            "gatebus-1-2",
            "gatebus-1-2-3-4-5",
            "gatebus-1-2-3-x",
            "gatebus-a-2-3",
            "docker-1-2-3",
            "gatebus-1-2-",
        ] {
            assert_eq!(parse_name(other), None, "{other}");
            assert!(!is_dead_keepers(other));
        }
    }

    #[test]
    fn a_living_keeper_is_not_dead_and_its_pid_alone_does_not_make_it_live() {
        assert!(!is_dead_keepers(&own_name()));
        let later = format!("gatebus-{}-{}-1", pid_namespace(), std::process::id());
        assert!(is_dead_keepers(&later));
        assert!(
            !is_dead_keepers(&format!("gatebus-1-{}-1", std::process::id())),
            "another pid namespace is not ours to judge"
        );
    }

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let tail = "S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1";
        assert_eq!(field_22(&format!("7 (a) b) c) {tail}")), Some(4711));
        assert_eq!(field_22("7 (x) S 1"), None);
    }

    #[test]
    fn counters_are_whole_words() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(counter(text, "oom_kill"), Some(3));
        assert_eq!(counter(text, "oom"), None);
    }
}
