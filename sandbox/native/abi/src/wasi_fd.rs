//! WASI: reading, writing, seeking, and what else is done with an open descriptor.

use gatebus_files::{Id, Kind};

use crate::descriptor::{Descriptor, Target, flag, right};
use crate::errno::{Errno, Outcome, answer};
use crate::log::{self, PIECE};
use crate::memory::{self, Cursor};
use crate::origin::Patience;
use crate::wasi::{Memory, Wasi};
use crate::{Channel, Exit};

/// Most bytes of one read or write, as on Linux: the answer must fit into 32 bits with room.
const TRANSFER: u64 = 0x7fff_f000;

/// Where a seek starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whence {
    Set,
    Current,
    End,
}

/// A checked list of buffers and how much of it is to be moved.
struct Buffers {
    cursor: Cursor,
    total: usize,
}

fn buffers_untrusted(memory: &[u8], list: u32, count: u32) -> Outcome<Buffers> {
    let total = memory::buffers(memory, list, count)?.min(TRANSFER);
    let total = usize::try_from(total).map_err(|_| Errno::INVAL)?;
    Ok(Buffers { cursor: Cursor::new(list, count), total })
}

fn patience(descriptor: &Descriptor) -> Patience {
    if descriptor.flags & flag::NONBLOCK == 0 { Patience::Wait } else { Patience::Again }
}

/// The signatures are WASI's.
#[allow(clippy::too_many_arguments)]
impl Wasi {
    /// Reads from where the descriptor is.
    pub fn fd_read(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        fd: u32,
        iovs: u32,
        count: u32,
        nread: u32,
    ) -> Result<i32, Exit> {
        answer(self.read(memory, channel, fd, (iovs, count)).and_then(|n| put_count(memory, nread, n)))
    }

    fn read(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        fd: u32,
        (iovs, count): (u32, u32),
    ) -> Outcome<usize> {
        let descriptor = self.table.get(fd)?;
        if !matches!(descriptor.target, Target::Node(_, Kind::Directory)) {
            descriptor.check(right::FD_READ)?;
        }
        let buffers = buffers_untrusted(memory, iovs, count)?;
        match descriptor.target {
            Target::Input => self.read_input(memory, channel, fd, buffers),
            Target::Output | Target::Log => Err(Errno::BADF.into()),
            Target::Node(..) => {
                let id = descriptor.file(right::FD_READ)?;
                let offset = descriptor.offset;
                let done = self.read_file(memory, id, offset, buffers)?;
                self.table.get_mut(fd)?.offset = offset.saturating_add(done as u64);
                Ok(done)
            }
        }
    }

    /// Blocks until there is something; then takes what is there.
    fn read_input(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        fd: u32,
        mut buffers: Buffers,
    ) -> Outcome<usize> {
        let patience = patience(self.table.get(fd)?);
        if buffers.total == 0 {
            return Ok(0);
        }
        if !self.origin.wait_input(channel, patience)? {
            return Err(Errno::AGAIN.into());
        }
        let mut done = 0;
        while let Some(piece) = buffers.cursor.next(memory, u32::MAX)? {
            let into = memory::bytes_mut(memory, piece.pointer, piece.len)?;
            let room = into.len();
            let count = self.origin.read(into);
            done += count;
            if count < room {
                break;
            }
        }
        Ok(done)
    }

    fn read_file(&mut self, memory: Memory<'_>, id: Id, offset: u64, mut buffers: Buffers) -> Outcome<usize> {
        let mut done = 0usize;
        while done < buffers.total {
            let left = u32::try_from(buffers.total - done).unwrap_or(u32::MAX);
            let Some(piece) = buffers.cursor.next(memory, left)? else { break };
            let into = memory::bytes_mut(memory, piece.pointer, piece.len)?;
            let room = into.len();
            let count = self.files.read_at(id, offset.saturating_add(done as u64), into)?;
            done += count;
            if count < room {
                break;
            }
        }
        Ok(done)
    }

    /// Reads from an offset and leaves the descriptor where it is.
    pub fn fd_pread(
        &mut self,
        memory: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        iovs: u32,
        count: u32,
        offset: u64,
        nread: u32,
    ) -> Result<i32, Exit> {
        answer((|| {
            let id = self.table.get(fd)?.file(right::FD_READ)?;
            let buffers = buffers_untrusted(memory, iovs, count)?;
            let done = self.read_file(memory, id, offset_untrusted(offset)?, buffers)?;
            put_count(memory, nread, done)
        })())
    }

    /// Writes to where the descriptor is, or to the end.
    pub fn fd_write(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        fd: u32,
        iovs: u32,
        count: u32,
        nwritten: u32,
    ) -> Result<i32, Exit> {
        answer(self.write(memory, channel, fd, (iovs, count)).and_then(|n| put_count(memory, nwritten, n)))
    }

    fn write(
        &mut self,
        memory: &[u8],
        channel: &mut dyn Channel,
        fd: u32,
        (iovs, count): (u32, u32),
    ) -> Outcome<usize> {
        let descriptor = self.table.get(fd)?;
        if !matches!(descriptor.target, Target::Node(_, Kind::Directory)) {
            descriptor.check(right::FD_WRITE)?;
        }
        let buffers = buffers_untrusted(memory, iovs, count)?;
        match descriptor.target {
            Target::Input => Err(Errno::BADF.into()),
            Target::Output => {
                let patience = patience(descriptor);
                self.origin.write(channel, (memory, buffers.cursor, buffers.total), patience)
            }
            Target::Log => self.write_log(memory, channel, buffers),
            Target::Node(..) => self.write_at_offset(memory, channel, fd, buffers),
        }
    }

    /// Never fails: what is over the limit is dropped and counted.
    fn write_log(&mut self, memory: &[u8], channel: &mut dyn Channel, mut buffers: Buffers) -> Outcome<usize> {
        let mut left = self.log.admit(buffers.total);
        let mut piece = Vec::new();
        while left > 0 {
            piece.clear();
            let count = buffers.cursor.gather(memory, left.min(PIECE), &mut piece)?;
            if count == 0 {
                break;
            }
            left -= count;
            self.origin.send(channel, &log::packet(2, &piece))?;
        }
        Ok(buffers.total)
    }

    fn write_at_offset(
        &mut self,
        memory: &[u8],
        channel: &mut dyn Channel,
        fd: u32,
        buffers: Buffers,
    ) -> Outcome<usize> {
        let descriptor = self.table.get(fd)?;
        let id = descriptor.file(right::FD_WRITE)?;
        let append = descriptor.flags & flag::APPEND != 0;
        let offset = if append { self.files.stat(id)?.size } else { descriptor.offset };
        let now = self.now(channel);
        let done = self.write_file(memory, (id, offset), buffers, now)?;
        self.table.get_mut(fd)?.offset = offset.saturating_add(done as u64);
        Ok(done)
    }

    /// Writes as much as there is room for; an error only if that is nothing.
    fn write_file(
        &mut self,
        memory: &[u8],
        (id, offset): (Id, u64),
        mut buffers: Buffers,
        now: u64,
    ) -> Outcome<usize> {
        let mut done = 0usize;
        while done < buffers.total {
            let left = u32::try_from(buffers.total - done).unwrap_or(u32::MAX);
            let Some(piece) = buffers.cursor.next(memory, left)? else { break };
            let from = memory::bytes(memory, piece.pointer, piece.len)?;
            match self.files.write_at(id, offset.saturating_add(done as u64), from, now) {
                Ok(count) => {
                    done += count;
                    if count < from.len() {
                        break;
                    }
                }
                Err(problem) if done == 0 => return Err(problem.into()),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Writes to an offset (also of a file that is open for appending: POSIX, not Linux) and leaves the descriptor where it is.
    pub fn fd_pwrite(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        fd: u32,
        iovs: u32,
        count: u32,
        offset: u64,
        nwritten: u32,
    ) -> Result<i32, Exit> {
        answer((|| {
            let id = self.table.get(fd)?.file(right::FD_WRITE)?;
            let buffers = buffers_untrusted(memory, iovs, count)?;
            let now = self.now(channel);
            let done = self.write_file(memory, (id, offset_untrusted(offset)?), buffers, now)?;
            put_count(memory, nwritten, done)
        })())
    }

    /// Moves the descriptor. 0 set, 1 current, 2 end.
    pub fn fd_seek(
        &mut self,
        memory: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        offset: u64,
        whence: u32,
        position: u32,
    ) -> Result<i32, Exit> {
        let whence = [Whence::Set, Whence::Current, Whence::End].get(whence as usize).copied();
        answer(self.seek(memory, fd, (offset.cast_signed(), whence), position))
    }

    /// The same with the numbers of `wasi_unstable`: 0 current, 1 end, 2 set.
    pub fn unstable_fd_seek(
        &mut self,
        memory: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        offset: u64,
        whence: u32,
        position: u32,
    ) -> Result<i32, Exit> {
        let whence = [Whence::Current, Whence::End, Whence::Set].get(whence as usize).copied();
        answer(self.seek(memory, fd, (offset.cast_signed(), whence), position))
    }

    fn seek(
        &mut self,
        memory: Memory<'_>,
        fd: u32,
        (offset, whence): (i64, Option<Whence>),
        position: u32,
    ) -> Outcome<()> {
        let descriptor = self.table.get_mut(fd)?;
        let id = descriptor.file(right::FD_SEEK)?;
        let from = match whence.ok_or(Errno::INVAL)? {
            Whence::Set => 0,
            Whence::Current => descriptor.offset,
            Whence::End => self.files.stat(id)?.size,
        };
        let new = from.checked_add_signed(offset).ok_or(Errno::INVAL)?;
        i64::try_from(new).map_err(|_| Errno::OVERFLOW)?;
        memory::put_u64(memory, position, new)?;
        descriptor.offset = new;
        Ok(())
    }

    /// Where the descriptor is.
    pub fn fd_tell(
        &mut self,
        memory: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        position: u32,
    ) -> Result<i32, Exit> {
        answer((|| {
            let descriptor = self.table.get(fd)?;
            descriptor.file(right::FD_TELL)?;
            Ok(memory::put_u64(memory, position, descriptor.offset)?)
        })())
    }

    /// Lets the descriptor go. Closing input or output tells the host.
    pub fn fd_close(&mut self, _: Memory<'_>, channel: &mut dyn Channel, fd: u32) -> Result<i32, Exit> {
        answer((|| {
            let descriptor = self.table.take(fd)?;
            self.release(channel, descriptor.target)
        })())
    }

    fn release(&mut self, channel: &mut dyn Channel, target: Target) -> Outcome<()> {
        match target {
            Target::Input => self.origin.close_input(channel)?,
            Target::Output => self.origin.close_output(channel)?,
            Target::Log => {}
            Target::Node(id, _) => self.files.close(id),
        }
        Ok(())
    }

    /// Moves a descriptor to another number, which must be in use and is closed.
    pub fn fd_renumber(
        &mut self,
        _: Memory<'_>,
        channel: &mut dyn Channel,
        from: u32,
        to: u32,
    ) -> Result<i32, Exit> {
        answer((|| {
            self.table.get(from)?;
            self.table.get(to)?;
            if from == to {
                return Ok(());
            }
            let moved = self.table.take(from)?;
            let closed = self.table.take(to)?;
            self.table.put(to, moved);
            self.release(channel, closed.target)
        })())
    }

    /// Makes sure that there is room for a range.
    pub fn fd_allocate(
        &mut self,
        _: Memory<'_>,
        channel: &mut dyn Channel,
        fd: u32,
        offset: u64,
        len: u64,
    ) -> Result<i32, Exit> {
        answer((|| {
            let id = self.table.get(fd)?.file(right::FD_ALLOCATE)?;
            if len == 0 {
                return Err(Errno::INVAL.into());
            }
            let now = self.now(channel);
            Ok(self.files.allocate(id, offset, len, now)?)
        })())
    }

    /// Advice is checked and then of no use: everything is in memory.
    pub fn fd_advise(
        &mut self,
        _: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        offset: u64,
        len: u64,
        advice: u32,
    ) -> Result<i32, Exit> {
        answer((|| {
            self.table.get(fd)?.file(right::FD_ADVISE)?;
            let end = offset.checked_add(len).ok_or(Errno::INVAL)?;
            if advice > 5 || i64::try_from(end).is_err() {
                return Err(Errno::INVAL.into());
            }
            Ok(())
        })())
    }

    /// Nothing is ever written later.
    pub fn fd_sync(&mut self, _: Memory<'_>, _: &mut dyn Channel, fd: u32) -> Result<i32, Exit> {
        answer((|| Ok(self.table.get(fd)?.check(right::FD_SYNC)?))())
    }

    /// Nothing is ever written later.
    pub fn fd_datasync(&mut self, _: Memory<'_>, _: &mut dyn Channel, fd: u32) -> Result<i32, Exit> {
        answer((|| {
            let descriptor = self.table.get(fd)?;
            let right = right::FD_DATASYNC | right::FD_SYNC;
            if descriptor.base & right == 0 { Err(Errno::NOTCAPABLE.into()) } else { Ok(()) }
        })())
    }

    /// Entries of a directory after a cookie, as many as fit; the last one may be cut.
    pub fn fd_readdir(
        &mut self,
        memory: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        buffer: u32,
        len: u32,
        cookie: u64,
        used: u32,
    ) -> Result<i32, Exit> {
        answer((|| {
            let id = self.table.get(fd)?.directory(right::FD_READDIR)?;
            let done = self.list(memory::bytes_mut(memory, buffer, len)?, id, cookie)?;
            put_count(memory, used, done)
        })())
    }

    /// `u64 next, u64 serial, u32 name length, u8 type, u8[3] 0, name` for each entry.
    fn list(&self, into: &mut [u8], id: Id, mut cookie: u64) -> Outcome<usize> {
        let mut done = 0;
        while let Some(entry) = self.files.entry_after(id, cookie)? {
            let mut bytes = Vec::with_capacity(24 + entry.name.len());
            bytes.extend(entry.cookie.to_le_bytes());
            bytes.extend(entry.serial.to_le_bytes());
            bytes.extend(u32::try_from(entry.name.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend([entry.kind as u8, 0, 0, 0]);
            bytes.extend(entry.name.as_bytes());
            let room = into.get_mut(done..).unwrap_or_default();
            let fitting = room.len().min(bytes.len());
            room.split_at_mut(fitting).0.copy_from_slice(bytes.split_at(fitting).0);
            done += fitting;
            if fitting < bytes.len() {
                break;
            }
            cookie = entry.cookie;
        }
        Ok(done)
    }
}

/// A number of bytes, which always fits: nothing moves more than [`TRANSFER`] or than 32 bits can say.
pub(crate) fn put_count(memory: Memory<'_>, pointer: u32, count: usize) -> Outcome<()> {
    let count = u32::try_from(count).map_err(|_| Errno::OVERFLOW)?;
    Ok(memory::put_u32(memory, pointer, count)?)
}

/// Offsets are signed in POSIX, and a negative one is EINVAL.
fn offset_untrusted(offset: u64) -> Result<u64, Errno> {
    if i64::try_from(offset).is_ok() { Ok(offset) } else { Err(Errno::INVAL) }
}

#[cfg(test)]
#[path = "wasi_fd_tests.rs"]
mod tests;
