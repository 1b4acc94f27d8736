//! The share of the CPU of each account whose programs compute for long.
//!
//! v1: a group of the CPU controller per account, beside the keeper's own folder and not in it: what is inside of a folder
//! competes with what is beside it at the weight of the whole folder, however little its members weigh. Programs are moved
//! by their spawner; a move waits for the kernel (up to 29 ms after a pause), so that nobody is moved who ends soon, and
//! never during a start. Programs of an account that has had more than its part start in a group of such programs: their
//! spawner stands in it.
//! v2: each program has a group already, where its memory is counted, and cannot leave it: its weight is written instead.
//!
//! ```text
//! <where the keeper is>/gatebus-<pid namespace>-<pid>-<start time>-<slot>/       v1: one account, or some
//! ```

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Groups at most; with more accounts that compute at once, several share one.
const SLOTS: u32 = 64;
/// Where programs start whose accounts have had more than their part: one group for all of these accounts.
const LOW_SLOT: u32 = SLOTS;
/// Of one account's programs together; an ordinary process has 1024, and so have host and keeper. Measured: with 32 that
/// spin, somebody else's call takes as long as without them; from 256 on it takes longer (docs/performance.md).
const SHARES: u32 = 102;
/// The same in v2, where an ordinary process has 100.
const WEIGHT: usize = 10;

/// The groups of accounts of one keeper.
#[derive(Debug, Default)]
pub(crate) struct AccountGroups {
    /// Where all other programs are, and what ours are called before their slot's number. `None`: not v1, or no controller.
    usual: Option<(PathBuf, String)>,
    made: BTreeMap<u32, File>,
}

impl AccountGroups {
    /// `folder`: the keeper's own one in the tree of the CPU controller.
    pub(crate) fn beside(folder: &Path) -> AccountGroups {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        AccountGroups { usual: name.map(|name| (folder.to_owned(), name)), made: BTreeMap::new() }
    }

    /// Through which a program enters the group of this account; `None`: through which it comes back.
    pub(crate) fn entrance(&mut self, account: Option<u32>) -> io::Result<OwnedFd> {
        let Some((folder, _)) = &self.usual else { return Err(io::ErrorKind::Unsupported.into()) };
        match account {
            Some(account) => self.file(account % SLOTS)?.try_clone().map(Into::into),
            None => procs(folder).map(Into::into),
        }
    }

    /// Puts a spawner, and so all its children, where those start who compute on what others leave.
    pub(crate) fn adopt_low(&mut self, spawner: libc::pid_t) -> io::Result<()> {
        self.file(LOW_SLOT)?.write_all(spawner.to_string().as_bytes())
    }

    /// Through which processes enter this group.
    fn file(&mut self, slot: u32) -> io::Result<&mut File> {
        if self.usual.is_none() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let own = self.folder(slot);
        if !self.made.contains_key(&slot) {
            match fs::create_dir(&own) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => fs::write(own.join("cpu.shares"), SHARES.to_string())?,
            }
        }
        match self.made.entry(slot) {
            Entry::Occupied(made) => Ok(made.into_mut()),
            Entry::Vacant(free) => Ok(free.insert(procs(&own)?)),
        }
    }

    fn folder(&self, slot: u32) -> PathBuf {
        let (folder, name) = self.usual.as_ref().map_or((Path::new(""), ""), |(folder, name)| (folder.as_path(), name));
        folder.with_file_name(format!("{name}-{slot}"))
    }

    /// Removes what is empty. Whether nothing is left.
    pub(crate) fn close(&mut self) -> bool {
        let slots: Vec<u32> = self.made.keys().copied().collect();
        for slot in slots {
            let removed = fs::remove_dir(self.folder(slot));
            if removed.is_ok() || removed.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                self.made.remove(&slot);
            }
        }
        self.made.is_empty()
    }
}

/// v2: what one of so many programs of an account weighs.
pub(crate) fn weight_of_one(programs: usize) -> usize {
    (WEIGHT / programs.max(1)).max(1)
}

fn procs(folder: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(folder.join("cgroup.procs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accounts_weight_is_divided_among_its_programs_and_never_nothing() {
        assert_eq!([0, 1, 2, 5, 10, 11, 4096].map(weight_of_one), [10, 10, 5, 2, 1, 1, 1]);
    }

    #[test]
    fn groups_are_beside_the_keepers_own_folder_and_accounts_beyond_the_bound_share_them() {
        let groups = AccountGroups::beside(Path::new("/cpu/box/gatebus-1-2-3"));
        assert_eq!(groups.folder(63), Path::new("/cpu/box/gatebus-1-2-3-63"));
        assert_eq!(70 % SLOTS, 6);
    }

    #[test]
    fn without_the_controller_there_is_no_entrance() {
        let mut groups = AccountGroups::default();
        assert!(groups.entrance(Some(1)).is_err() && groups.entrance(None).is_err() && groups.adopt_low(1).is_err());
        assert!(groups.close());
    }
}
