//! Control groups: a memory and a process limit per child, one share of the CPU for all of them together.
//!
//! Three modes: v1 (each controller a tree of its own), v2 (one tree), none. The keeper makes the groups and opens their
//! `cgroup.procs`; a child that is being prepared writes "0" there. The kernel checks the opener's rights, so the child
//! needs none and no pid is translated. Never during a request: an attach after a pause waits up to 29 ms.
//!
//! ```text
//! <where the keeper is>/gatebus-<pid namespace>-<pid>-<start time>/       the CPU share; limits of nobody
//! <where the keeper is>/gatebus-<pid namespace>-<pid>-<start time>/<n>/   one child at a time
//! <where the keeper is>/gatebus-<pid namespace>-<pid>-<start time>-<n>/   accountgroups.rs
//! ```

use crate::accountgroups::{AccountGroups, weight_of_one};
use crate::placement::{self, Placement};
use gatebus_wire::Layers;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Kernel memory, page tables, and the pages of the executable that a child is the first to touch.
const OVERHEAD: u64 = 48 << 20;
/// A group whose memory is still charged above this when its process is gone (somebody keeps the memfd) is not used
/// again: the next program would inherit the charge.
const RESIDUE: u64 = 4 << 20;
/// Empty groups that are kept: a burst needs them again, each costs the kernel some ten KiB.
const FREE_MAX: usize = 256;
/// Groups whose files stay open, three each: as many as the largest pool. What is given back last is taken first.
const OPEN_MAX: u32 = 64;
/// The kernel's, of a group of v2.
const USUAL_WEIGHT: usize = 100;
/// v2: a program that starts low weighs as one of so many.
const LOW_PROGRAMS: usize = 10;

/// At the end: a second for a kernel that is busy; on an idle machine it needs some milliseconds.
const CLOSE_TRIES: u32 = 200;
const CLOSE_PAUSE: Duration = Duration::from_millis(5);

/// Which kind of control groups there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Mode {
    /// None that we may use.
    None = 0,
    /// Version 1.
    V1 = 1,
    /// Version 2.
    V2 = 2,
}

/// How folders of groups come and go: a kernel puts a group's files into a new folder, and takes them away with it.
#[derive(Debug, Clone, Copy)]
struct Kernel {
    make: fn(&Path) -> io::Result<()>,
    remove: fn(&Path) -> io::Result<()>,
}

const KERNEL: Kernel = Kernel { make: |folder| fs::create_dir(folder), remove: |folder| fs::remove_dir(folder) };

/// One child's group.
#[derive(Debug)]
pub(crate) struct Group {
    number: u32,
    limit: u64,
    /// v2: its weight.
    weight: usize,
    out_of_memory: u64,
    /// Files that every start needs, of the groups that are used again and again.
    open: Option<OpenFiles>,
}

/// Finding a file of a control group costs ten times what using it costs.
#[derive(Debug)]
struct OpenFiles {
    procs: Vec<OwnedFd>,
    charge: Option<File>,
}

/// The groups of one keeper.
#[derive(Debug)]
pub(crate) struct Groups {
    kernel: Kernel,
    mode: Mode,
    /// Our own folder per layer that is on; the same one three times in v2.
    folders: Vec<(Layers, PathBuf)>,
    accounts: AccountGroups,
    free: Vec<Group>,
    /// Groups that could not be removed yet: the kernel takes a task out of its group a moment after it was waited for.
    stale: Vec<Group>,
    made: u32,
    /// The limit that was asked for last: most programs ask for the same, and then nothing is written on their way.
    usual_limit: u64,
}

impl Groups {
    /// Finds out what can be had, removes what dead keepers have left, makes our folders.
    pub(crate) fn open(wanted: Layers) -> Groups {
        let placement = if wanted.and(Layers::CGROUPS).is_empty() { Placement::default() } else { placement::read() };
        Groups::below(&placement, wanted, KERNEL)
    }

    fn below(placement: &Placement, wanted: Layers, kernel: Kernel) -> Groups {
        let name = placement::own_name();
        let mut folders = Vec::new();
        for (layer, parent) in placement.parents.iter().filter(|(layer, _)| wanted.has(*layer)) {
            remove_leftovers(parent, kernel);
            let folder = parent.join(&name);
            if make(&folder, kernel).is_ok() && usable(placement.mode, *layer, &folder) {
                folders.push((*layer, folder));
            }
        }
        if let Some((_, folder)) = folders.iter().find(|(layer, _)| *layer == Layers::CGROUP_CPU) {
            share_cpu(placement.mode, folder);
        }
        let cpu = folders.iter().find(|(layer, _)| placement.mode == Mode::V1 && *layer == Layers::CGROUP_CPU);
        let accounts = cpu.map_or_else(AccountGroups::default, |(_, folder)| AccountGroups::beside(folder));
        let mode = if folders.is_empty() { Mode::None } else { placement.mode };
        let (free, stale) = (Vec::new(), Vec::new());
        Groups { kernel, mode, folders, accounts, free, stale, made: 0, usual_limit: 512 << 20 }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    pub(crate) fn layers(&self) -> Layers {
        self.folders.iter().fold(Layers::NONE, |set, (layer, _)| set.with(*layer))
    }

    /// Puts a spawner, and so all its children, under the common share of the CPU (v1; in v2 the children's groups
    /// are below our folder anyway). `low`: under the share of accounts that have had more than their part.
    pub(crate) fn adopt(&mut self, spawner: libc::pid_t, low: bool) -> io::Result<()> {
        match self.folder(Layers::CGROUP_CPU) {
            Some(_) if self.mode == Mode::V1 && low => self.accounts.adopt_low(spawner),
            Some(folder) if self.mode == Mode::V1 => write(&folder.join("cgroup.procs"), &spawner.to_string()),
            _ => Ok(()),
        }
    }

    /// Whether a program's share of the CPU can be made smaller.
    pub(crate) fn can_share(&self) -> bool {
        self.folder(Layers::CGROUP_CPU).is_some()
    }

    /// v1: through which a program enters the group of its account; `None`: through which it comes back.
    pub(crate) fn entrance(&mut self, account: Option<u32>) -> io::Result<OwnedFd> {
        self.accounts.entrance(account)
    }

    /// v2: one of so many programs of an account that compute for long; 0: as all others.
    pub(crate) fn weigh(&self, group: &mut Group, programs: usize) -> io::Result<()> {
        let weight = if programs == 0 { USUAL_WEIGHT } else { weight_of_one(programs) };
        if weight == group.weight {
            return Ok(());
        }
        let folder = self.file(Layers::CGROUP_CPU, group).ok_or(io::ErrorKind::NotFound)?;
        write(&folder.join("cpu.weight"), &weight.to_string())?;
        group.weight = weight;
        Ok(())
    }

    /// A group for a child, and the descriptors through which it enters. `low`: of an account that has had more than its
    /// part; in v1 its spawner stands in the group that says so.
    pub(crate) fn take(&mut self, low: bool) -> io::Result<(Group, Vec<OwnedFd>)> {
        let mut group = match self.free.pop() {
            Some(group) => group,
            None => self.make_one()?,
        };
        if self.mode == Mode::V2 && self.can_share() {
            let _ = self.weigh(&mut group, if low { LOW_PROGRAMS } else { 0 });
        }
        let procs = match &group.open {
            Some(open) => open.procs.iter().map(OwnedFd::try_clone).collect::<io::Result<_>>()?,
            None => self.open_procs(&group)?,
        };
        Ok((group, procs))
    }

    fn open_procs(&self, group: &Group) -> io::Result<Vec<OwnedFd>> {
        let open = |folder: PathBuf| OpenOptions::new().write(true).open(folder.join("cgroup.procs"));
        self.child_folders(group).map(|(_, folder)| Ok(open(folder)?.into())).collect()
    }

    /// Bounds a child's memory when its request is known.
    pub(crate) fn limit(&mut self, group: &mut Group, bytes: u64) -> io::Result<()> {
        let limit = bytes.saturating_add(OVERHEAD);
        if limit != group.limit {
            self.write_limit(group, limit)?;
        }
        self.usual_limit = limit;
        Ok(())
    }

    /// Whether the kernel has killed for memory in this group since this was asked last.
    pub(crate) fn ran_out_of_memory(&self, group: &mut Group) -> bool {
        let count = self.out_of_memory_count(group);
        std::mem::replace(&mut group.out_of_memory, count) < count
    }

    /// Its process is gone.
    pub(crate) fn give_back(&mut self, group: Group) {
        if self.free.len() < FREE_MAX && self.charged(&group) <= RESIDUE {
            self.free.push(group);
        } else {
            self.stale.push(group);
        }
        self.remove_stale();
    }

    /// Everything is gone: our folders too.
    pub(crate) fn close(&mut self) {
        let free = std::mem::take(&mut self.free);
        self.stale.extend(free);
        for _ in 0..CLOSE_TRIES {
            self.remove_stale(); // needs the folders: a group is a place in each
            let kernel = self.kernel;
            self.folders.retain(|(_, folder)| !remove_folder(folder, kernel));
            if self.accounts.close() && self.folders.is_empty() {
                return;
            }
            std::thread::sleep(CLOSE_PAUSE);
        }
    }

    fn remove_stale(&mut self) {
        let stale = std::mem::take(&mut self.stale);
        self.stale = stale.into_iter().filter(|group| !self.remove(group)).collect();
    }

    fn folder(&self, layer: Layers) -> Option<&Path> {
        self.folders.iter().find(|(own, _)| *own == layer).map(|(_, folder)| folder.as_path())
    }

    /// The folders that a child's group consists of: memory and pids in v1, one in v2.
    fn child_folders(&self, group: &Group) -> impl Iterator<Item = (Layers, PathBuf)> {
        let number = group.number.to_string();
        let several = self.folders.iter().filter(|(layer, _)| self.mode == Mode::V1 && *layer != Layers::CGROUP_CPU);
        let one = self.folders.iter().filter(|_| self.mode == Mode::V2).take(1);
        several.chain(one).map(move |(layer, folder)| (*layer, folder.join(&number)))
    }

    fn make_one(&mut self) -> io::Result<Group> {
        let group = Group { number: self.made, limit: 0, weight: USUAL_WEIGHT, out_of_memory: 0, open: None };
        self.made += 1;
        for (_, folder) in self.child_folders(&group) {
            (self.kernel.make)(&folder)?;
        }
        if let Some(folder) = self.file(Layers::CGROUP_PIDS, &group) {
            write(&folder.join("pids.max"), "1")?;
        }
        let mut group = group;
        self.write_limit(&mut group, self.usual_limit)?;
        if group.number < OPEN_MAX {
            let charge = self.charge_file(&group).and_then(|path| File::open(path).ok());
            group.open = Some(OpenFiles { procs: self.open_procs(&group)?, charge });
        }
        Ok(group)
    }

    /// The folder of this group in which this layer's files are.
    fn file(&self, layer: Layers, group: &Group) -> Option<PathBuf> {
        self.folder(layer).map(|folder| folder.join(group.number.to_string()))
    }

    fn write_limit(&self, group: &mut Group, limit: u64) -> io::Result<()> {
        if let Some(folder) = self.file(Layers::CGROUP_MEMORY, group) {
            let name = if self.mode == Mode::V1 { "memory.limit_in_bytes" } else { "memory.max" };
            // Above what the kernel's signed count can hold there is no limit to set.
            write(&folder.join(name), &limit.min(i64::MAX as u64).to_string())?;
        }
        group.limit = limit;
        Ok(())
    }

    fn out_of_memory_count(&self, group: &Group) -> u64 {
        let name = if self.mode == Mode::V1 { "memory.oom_control" } else { "memory.events" };
        let folder = self.file(Layers::CGROUP_MEMORY, group);
        let text = folder.and_then(|folder| fs::read_to_string(folder.join(name)).ok()).unwrap_or_default();
        placement::counter(&text, "oom_kill").unwrap_or(0)
    }

    fn charged(&self, group: &Group) -> u64 {
        let Some(path) = self.charge_file(group) else { return 0 };
        let text = match &group.open {
            Some(OpenFiles { charge: Some(file), .. }) => read_number(file),
            _ => fs::read_to_string(path),
        };
        text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX)
    }

    fn charge_file(&self, group: &Group) -> Option<PathBuf> {
        let name = if self.mode == Mode::V1 { "memory.usage_in_bytes" } else { "memory.current" };
        self.file(Layers::CGROUP_MEMORY, group).map(|folder| folder.join(name))
    }

    fn remove(&self, group: &Group) -> bool {
        // Each of them is tried, whatever becomes of the others.
        self.child_folders(group).fold(true, |all, (_, folder)| gone((self.kernel.remove)(&folder)) && all)
    }
}

/// A number that the kernel writes anew for each reading from the start.
fn read_number(file: &File) -> io::Result<String> {
    let mut digits = [0u8; 32];
    let length = file.read_at(&mut digits, 0)?;
    Ok(String::from_utf8_lossy(&digits[..length]).into_owned())
}

fn make(folder: &Path, kernel: Kernel) -> io::Result<()> {
    match (kernel.make)(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()), // in v2 the three layers share it
        other => other,
    }
}

/// Whether the files are there that we shall write: in v2 the controllers must be handed down to our folder's children.
fn usable(mode: Mode, layer: Layers, folder: &Path) -> bool {
    if mode != Mode::V2 {
        return OpenOptions::new().write(true).open(folder.join("cgroup.procs")).is_ok();
    }
    let controller = placement::controller(layer);
    write(&folder.join("cgroup.subtree_control"), &format!("+{controller}")).is_ok()
}

/// All programs together weigh as much as one ordinary process on each processor: the usual weight (1024, in v2 100) is
/// divided among them. Where this is refused the usual weight stays, which is less.
fn share_cpu(mode: Mode, folder: &Path) {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (name, weight) = match mode {
        Mode::V2 => ("cpu.weight", (100 * processors).min(10_000)),
        _ => ("cpu.shares", (1024 * processors).min(262_144)),
    };
    let _ = write(&folder.join(name), &weight.to_string());
}

/// Folders of keepers of this pid namespace that no longer live. Only empty groups can be removed at all.
fn remove_leftovers(parent: &Path, kernel: Kernel) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(placement::is_dead_keepers) {
            remove_folder(&entry.path(), kernel);
        }
    }
}

/// Whether the folder is no longer there.
fn remove_folder(folder: &Path, kernel: Kernel) -> bool {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = (kernel.remove)(&entry.path());
        }
    }
    gone((kernel.remove)(folder))
}

fn gone(removed: io::Result<()>) -> bool {
    removed.map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path).and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
}

#[cfg(test)]
#[path = "cgroups_tests.rs"]
mod tests;
