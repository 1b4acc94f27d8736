//! WASI: everything that starts from a directory and a path.

use gatebus_files::{At, Follow, Id, Kind, Open};

use crate::descriptor::{Descriptor, Target, right};
use crate::errno::{Errno, Outcome, answer};
use crate::memory;
use crate::wasi::{Memory, Wasi};
use crate::wasi_fd::put_count;
use crate::wasi_stat::{FileStat, flags_untrusted, layout, times_untrusted, unstable_layout};
use crate::{Answer, Channel};

/// A path in the guest's memory.
type Text = (u32, u32);

/// Flags of `path_open`.
const CREATE: u32 = 1;
const DIRECTORY: u32 = 2;
const EXCLUSIVE: u32 = 4;
const TRUNCATE: u32 = 8;

fn text_untrusted(memory: &[u8], (pointer, len): Text) -> Outcome<&str> {
    let bytes = memory::bytes(memory, pointer, len)?;
    Ok(str::from_utf8(bytes).map_err(|_| Errno::ILSEQ)?)
}

fn follow_untrusted(flags: u32) -> Result<Follow, Errno> {
    match flags {
        0 => Ok(Follow::Nothing),
        1 => Ok(Follow::Links),
        _ => Err(Errno::INVAL),
    }
}

/// What `path_open` asks for, checked.
struct Wish {
    how: Open,
    base: u64,
    inheriting: u64,
    flags: u16,
}

impl Wish {
    fn new_untrusted(follow: u32, oflags: u32, (base, inheriting): (u64, u64), flags: u32) -> Result<Wish, Errno> {
        if oflags & !(CREATE | DIRECTORY | EXCLUSIVE | TRUNCATE) != 0 {
            return Err(Errno::INVAL);
        }
        let how = Open {
            follow: follow_untrusted(follow)?,
            create: oflags & CREATE != 0,
            exclusive: oflags & EXCLUSIVE != 0,
            directory: oflags & DIRECTORY != 0,
            truncate: oflags & TRUNCATE != 0,
            write: base & right::FD_WRITE != 0,
        };
        Ok(Wish { how, base, inheriting, flags: flags_untrusted(flags)? })
    }

    /// Rights that the directory must have.
    fn needed(&self) -> u64 {
        let create = if self.how.create { right::PATH_CREATE_FILE } else { 0 };
        let truncate = if self.how.truncate { right::PATH_FILESTAT_SET_SIZE } else { 0 };
        right::PATH_OPEN | create | truncate
    }

    /// Rights of the new descriptor. All that its kind has and the directory hands down, except reading and writing: those
    /// are what programs ask for and see. Asking for neither means reading, as everywhere else.
    fn granted(&self, kind: Kind, handed_down: u64) -> (u64, u64) {
        match kind {
            Kind::Directory => (right::DIRECTORY & handed_down, self.inherited(handed_down)),
            Kind::File | Kind::Link => {
                let wants = self.base & (right::FD_READ | right::WRITING);
                let wants = if wants & right::FD_WRITE != 0 { wants | right::WRITING } else { wants };
                let wants = if wants & (right::FD_READ | right::WRITING) == 0 { right::FD_READ } else { wants };
                let rest = right::FILE & !(right::FD_READ | right::WRITING);
                ((rest | wants) & handed_down, 0)
            }
        }
    }

    fn inherited(&self, handed_down: u64) -> u64 {
        // Many programs ask for nothing to be handed down and still open files below.
        if self.inheriting == 0 { handed_down } else { self.inheriting & handed_down }
    }
}

/// The signatures are WASI's.
#[allow(clippy::too_many_arguments)]
impl Wasi {
    fn directory(&self, fd: u32, rights: u64) -> Outcome<Id> {
        Ok(self.table.get(fd)?.directory(rights)?)
    }

    /// Opens a path relative to a directory.
    pub fn path_open(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        fd: u32,
        flags: u32,
        path: u32,
        len: u32,
        oflags: u32,
        base: u64,
        inheriting: u64,
        fdflags: u32,
        opened: u32,
    ) -> Answer<i32> {
        answer((|| {
            let wish = Wish::new_untrusted(flags, oflags, (base, inheriting), fdflags)?;
            memory::put_u32(memory, opened, u32::MAX)?;
            let now = self.now(channel);
            let new = self.open(text_untrusted(memory, (path, len))?, fd, &wish, now)?;
            Ok(memory::put_u32(memory, opened, new)?)
        })())
    }

    fn open(&mut self, path: &str, fd: u32, wish: &Wish, now: u64) -> Outcome<u32> {
        let handed_down = self.table.get(fd)?.inheriting;
        let base = self.directory(fd, wish.needed())?;
        self.table.check_room()?;
        let id = self.files.open(At { base, path }, wish.how, now)?;
        let kind = self.files.stat(id)?.kind;
        let (rights, inheriting) = wish.granted(kind, handed_down);
        let descriptor = Descriptor::new(Target::Node(id, kind), rights, inheriting);
        Ok(self.table.add(Descriptor { flags: wish.flags, ..descriptor })?)
    }

    /// Makes a directory.
    pub fn path_create_directory(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        fd: u32,
        path: u32,
        len: u32,
    ) -> Answer<i32> {
        answer((|| {
            let base = self.directory(fd, right::PATH_CREATE_DIRECTORY)?;
            let path = text_untrusted(memory, (path, len))?;
            let now = self.now(channel);
            Ok(self.files.make_directory(At { base, path }, now)?)
        })())
    }

    /// Removes an empty directory.
    pub fn path_remove_directory(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        fd: u32,
        path: u32,
        len: u32,
    ) -> Answer<i32> {
        answer((|| {
            let base = self.directory(fd, right::PATH_REMOVE_DIRECTORY)?;
            let path = text_untrusted(memory, (path, len))?;
            let now = self.now(channel);
            Ok(self.files.remove_directory(At { base, path }, now)?)
        })())
    }

    /// Removes a name that is not a directory's.
    pub fn path_unlink_file(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        fd: u32,
        path: u32,
        len: u32,
    ) -> Answer<i32> {
        answer((|| {
            let base = self.directory(fd, right::PATH_UNLINK_FILE)?;
            let path = text_untrusted(memory, (path, len))?;
            let now = self.now(channel);
            Ok(self.files.unlink(At { base, path }, now)?)
        })())
    }

    /// Gives a node another name. The source is never followed.
    pub fn path_link(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        old_fd: u32,
        flags: u32,
        old: u32,
        old_len: u32,
        new_fd: u32,
        new: u32,
        new_len: u32,
    ) -> Answer<i32> {
        answer((|| {
            if follow_untrusted(flags)? == Follow::Links {
                return Err(Errno::INVAL.into());
            }
            let from = self.directory(old_fd, right::PATH_LINK_SOURCE)?;
            let to = self.directory(new_fd, right::PATH_LINK_TARGET)?;
            let from = At { base: from, path: text_untrusted(memory, (old, old_len))? };
            let to = At { base: to, path: text_untrusted(memory, (new, new_len))? };
            let now = self.now(channel);
            Ok(self.files.link(from, to, now)?)
        })())
    }

    /// Moves a name.
    pub fn path_rename(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        old_fd: u32,
        old: u32,
        old_len: u32,
        new_fd: u32,
        new: u32,
        new_len: u32,
    ) -> Answer<i32> {
        answer((|| {
            let from = self.directory(old_fd, right::PATH_RENAME_SOURCE)?;
            let to = self.directory(new_fd, right::PATH_RENAME_TARGET)?;
            let from = At { base: from, path: text_untrusted(memory, (old, old_len))? };
            let to = At { base: to, path: text_untrusted(memory, (new, new_len))? };
            let now = self.now(channel);
            Ok(self.files.rename(from, to, now)?)
        })())
    }

    /// Makes a symbolic link; one that would lead out of the directory by an absolute path is refused.
    pub fn path_symlink(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        target: u32,
        target_len: u32,
        fd: u32,
        path: u32,
        len: u32,
    ) -> Answer<i32> {
        answer((|| {
            let base = self.directory(fd, right::PATH_SYMLINK)?;
            let target = text_untrusted(memory, (target, target_len))?;
            let path = text_untrusted(memory, (path, len))?;
            if target.starts_with('/') {
                return Err(Errno::NOTCAPABLE.into());
            }
            let now = self.now(channel);
            Ok(self.files.symlink(target, At { base, path }, now)?)
        })())
    }

    /// The target of a symbolic link, as much of it as fits.
    pub fn path_readlink(
        &mut self,
        memory: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        path: u32,
        len: u32,
        buffer: u32,
        buffer_len: u32,
        used: u32,
    ) -> Answer<i32> {
        answer((|| {
            let base = self.directory(fd, right::PATH_READLINK)?;
            let path = text_untrusted(memory, (path, len))?;
            let target = self.files.read_link(At { base, path })?.as_bytes();
            let into = memory::bytes_mut(memory, buffer, buffer_len)?;
            let count = into.len().min(target.len());
            into.split_at_mut(count).0.copy_from_slice(target.split_at(count).0);
            put_count(memory, used, count)
        })())
    }

    /// What is known about the node at a path.
    pub fn path_filestat_get(
        &mut self,
        memory: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        flags: u32,
        path: u32,
        len: u32,
        stat: u32,
    ) -> Answer<i32> {
        let found = self.path_stat(memory, (fd, flags), (path, len));
        answer(found.and_then(|found| Ok(memory::put(memory, stat, &layout(found))?)))
    }

    /// The same in the layout of `wasi_unstable`.
    pub fn unstable_path_filestat_get(
        &mut self,
        memory: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        flags: u32,
        path: u32,
        len: u32,
        stat: u32,
    ) -> Answer<i32> {
        let found = self.path_stat(memory, (fd, flags), (path, len));
        answer(found.and_then(|found| Ok(memory::put(memory, stat, &unstable_layout(found))?)))
    }

    fn path_stat(&self, memory: &[u8], (fd, flags): (u32, u32), path: Text) -> Outcome<FileStat> {
        let id = self.find(memory, (fd, flags), path, right::PATH_FILESTAT_GET)?;
        Ok(self.files.stat(id)?.into())
    }

    fn find(&self, memory: &[u8], (fd, flags): (u32, u32), path: Text, rights: u64) -> Outcome<Id> {
        let base = self.directory(fd, rights)?;
        let path = text_untrusted(memory, path)?;
        Ok(self.files.find(At { base, path }, follow_untrusted(flags)?)?)
    }

    /// Sets the times of the node at a path.
    pub fn path_filestat_set_times(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        fd: u32,
        flags: u32,
        path: u32,
        len: u32,
        accessed: u64,
        modified: u64,
        times: u32,
    ) -> Answer<i32> {
        answer((|| {
            let now = self.now(channel);
            let (accessed, modified) = times_untrusted((accessed, modified), times, now)?;
            let id = self.find(memory, (fd, flags), (path, len), right::PATH_FILESTAT_SET_TIMES)?;
            Ok(self.files.set_times(id, accessed, modified, now)?)
        })())
    }
}

#[cfg(test)]
#[path = "wasi_path_tests.rs"]
mod tests;
