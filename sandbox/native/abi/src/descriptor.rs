//! The descriptors of a WASI program: what each number means, what may be done with it, and the table of them.
//!
//! 0 is standard input, 1 output, 2 the log, 3 the root as `/`, 4 the root as `.`. File types of the first three decide how
//! C libraries buffer: wasi-libc takes a character device without the rights to seek and tell for a terminal. So 1 and 2 are
//! character devices: output comes line by line, as whoever looks at a program on the bus wants it, and none is lost
//! when it is killed. Where the host says that its output is plain (a pipe or a file), 1 has no type, and programs write
//! it in blocks, which is twenty times as fast. 0 has no type, like a pipe: an interpreter that sees a terminal there starts to
//! prompt instead of running the script that it is fed.

use gatebus_files::{Id, Kind};

use crate::errno::Errno;

/// Rights of WASI, by their bits.
pub(crate) mod right {
    pub(crate) const FD_DATASYNC: u64 = 1;
    pub(crate) const FD_READ: u64 = 1 << 1;
    pub(crate) const FD_SEEK: u64 = 1 << 2;
    pub(crate) const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
    pub(crate) const FD_SYNC: u64 = 1 << 4;
    pub(crate) const FD_TELL: u64 = 1 << 5;
    pub(crate) const FD_WRITE: u64 = 1 << 6;
    pub(crate) const FD_ADVISE: u64 = 1 << 7;
    pub(crate) const FD_ALLOCATE: u64 = 1 << 8;
    pub(crate) const PATH_CREATE_DIRECTORY: u64 = 1 << 9;
    pub(crate) const PATH_CREATE_FILE: u64 = 1 << 10;
    pub(crate) const PATH_LINK_SOURCE: u64 = 1 << 11;
    pub(crate) const PATH_LINK_TARGET: u64 = 1 << 12;
    pub(crate) const PATH_OPEN: u64 = 1 << 13;
    pub(crate) const FD_READDIR: u64 = 1 << 14;
    pub(crate) const PATH_READLINK: u64 = 1 << 15;
    pub(crate) const PATH_RENAME_SOURCE: u64 = 1 << 16;
    pub(crate) const PATH_RENAME_TARGET: u64 = 1 << 17;
    pub(crate) const PATH_FILESTAT_GET: u64 = 1 << 18;
    pub(crate) const PATH_FILESTAT_SET_SIZE: u64 = 1 << 19;
    pub(crate) const PATH_FILESTAT_SET_TIMES: u64 = 1 << 20;
    pub(crate) const FD_FILESTAT_GET: u64 = 1 << 21;
    pub(crate) const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
    pub(crate) const FD_FILESTAT_SET_TIMES: u64 = 1 << 23;
    pub(crate) const PATH_SYMLINK: u64 = 1 << 24;
    pub(crate) const PATH_REMOVE_DIRECTORY: u64 = 1 << 25;
    pub(crate) const PATH_UNLINK_FILE: u64 = 1 << 26;
    pub(crate) const POLL_FD_READWRITE: u64 = 1 << 27;

    /// What can be changed through an open file.
    pub(crate) const WRITING: u64 = FD_WRITE | FD_DATASYNC | FD_ALLOCATE | FD_FILESTAT_SET_SIZE;
    /// Everything that means something for a regular file.
    pub(crate) const FILE: u64 = WRITING
        | FD_READ
        | FD_SEEK
        | FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | FD_TELL
        | FD_ADVISE
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_TIMES
        | POLL_FD_READWRITE;
    /// Everything that means something for a directory.
    pub(crate) const DIRECTORY: u64 = FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | PATH_CREATE_DIRECTORY
        | PATH_CREATE_FILE
        | PATH_LINK_SOURCE
        | PATH_LINK_TARGET
        | PATH_OPEN
        | FD_READDIR
        | PATH_READLINK
        | PATH_RENAME_SOURCE
        | PATH_RENAME_TARGET
        | PATH_FILESTAT_GET
        | PATH_FILESTAT_SET_SIZE
        | PATH_FILESTAT_SET_TIMES
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_TIMES
        | PATH_SYMLINK
        | PATH_REMOVE_DIRECTORY
        | PATH_UNLINK_FILE
        | POLL_FD_READWRITE;
    /// Standard input.
    pub(crate) const INPUT: u64 = FD_READ | FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE;
    /// Standard output and the log.
    pub(crate) const OUTPUT: u64 =
        FD_WRITE | FD_DATASYNC | FD_SYNC | FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE;
}

/// Flags of a descriptor.
pub(crate) mod flag {
    pub(crate) const APPEND: u16 = 1;
    pub(crate) const NONBLOCK: u16 = 1 << 2;
    /// All there are; those about syncing mean nothing where nothing is ever written later.
    pub(crate) const ALL: u16 = 31;
}

/// What a number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Input,
    Output,
    Log,
    Node(Id, Kind),
}

/// One open descriptor.
#[derive(Clone, Debug)]
pub(crate) struct Descriptor {
    pub(crate) target: Target,
    pub(crate) flags: u16,
    pub(crate) base: u64,
    pub(crate) inheriting: u64,
    pub(crate) offset: u64,
    /// Name of a directory that is open from the start.
    pub(crate) preopen: Option<&'static str>,
    /// It does not look like a terminal.
    pub(crate) plain: bool,
}

impl Descriptor {
    pub(crate) fn new(target: Target, base: u64, inheriting: u64) -> Descriptor {
        Descriptor { target, flags: 0, base, inheriting, offset: 0, preopen: None, plain: false }
    }

    /// WASI's number of its type.
    pub(crate) fn file_type(&self) -> u8 {
        match self.target {
            Target::Input => 0,
            Target::Output if self.plain => 0,
            Target::Output | Target::Log => 2,
            Target::Node(_, kind) => kind as u8,
        }
    }

    /// The directory that it is, if it has the rights.
    pub(crate) fn directory(&self, rights: u64) -> Result<Id, Errno> {
        match self.target {
            Target::Node(id, Kind::Directory) if self.base & rights == rights => Ok(id),
            Target::Node(_, Kind::Directory) => Err(Errno::NOTCAPABLE),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// The regular file that it is, if it has the rights. A missing right to read or write is EBADF, as in POSIX.
    pub(crate) fn file(&self, rights: u64) -> Result<Id, Errno> {
        match self.target {
            Target::Node(_, Kind::Directory) => Err(Errno::ISDIR),
            Target::Node(id, _) => {
                self.check(rights)?;
                Ok(id)
            }
            _ => Err(Errno::SPIPE),
        }
    }

    /// Checks rights.
    pub(crate) fn check(&self, rights: u64) -> Result<(), Errno> {
        let missing = rights & !self.base;
        match missing {
            0 => Ok(()),
            _ if missing & (right::FD_READ | right::WRITING) != 0 => Err(Errno::BADF),
            _ => Err(Errno::NOTCAPABLE),
        }
    }
}

/// Descriptors that can be open at once. What holds a node is bounded by the file system's own limit as well.
pub(crate) const LIMIT: usize = 1024;

/// The table. New descriptors take the lowest free number.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Option<Descriptor>>);

impl Table {
    pub(crate) fn get(&self, fd: u32) -> Result<&Descriptor, Errno> {
        self.0.get(fd as usize).and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    pub(crate) fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor, Errno> {
        self.0.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    /// All numbers up to the last one in use.
    pub(crate) fn slots(&self) -> &[Option<Descriptor>] {
        let used = self.0.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.0.get(..used).unwrap_or_default()
    }

    /// What [`Table::slots`] said. None: it never says this.
    pub(crate) fn of_slots_untrusted(slots: Vec<Option<Descriptor>>) -> Option<Table> {
        let good = slots.len() <= LIMIT && !matches!(slots.last(), Some(None));
        good.then_some(Table(slots))
    }

    /// Is there room for one more?
    pub(crate) fn check_room(&self) -> Result<(), Errno> {
        let full = self.0.len() >= LIMIT && self.0.iter().all(Option::is_some);
        if full { Err(Errno::MFILE) } else { Ok(()) }
    }

    pub(crate) fn add(&mut self, descriptor: Descriptor) -> Result<u32, Errno> {
        self.check_room()?;
        let free = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        match self.0.get_mut(free) {
            Some(slot) => *slot = Some(descriptor),
            None => self.0.push(Some(descriptor)),
        }
        u32::try_from(free).map_err(|_| Errno::MFILE)
    }

    pub(crate) fn take(&mut self, fd: u32) -> Result<Descriptor, Errno> {
        self.0.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::BADF)
    }

    /// Puts a descriptor at a number that is in use or was.
    pub(crate) fn put(&mut self, fd: u32, descriptor: Descriptor) {
        if let Some(slot) = self.0.get_mut(fd as usize) {
            *slot = Some(descriptor);
        }
    }
}
