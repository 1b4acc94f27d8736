//! WASI: reading and writing, where the descriptor is or at an offset, in files and streams.

use gatebus_files::{Id, Kind};

use crate::descriptor::{Descriptor, Target, flag, right};
use crate::errno::{Errno, Outcome, answer};
use crate::log::{self, PIECE};
use crate::memory::{self, Cursor};
use crate::origin::Patience;
use crate::wasi::{Memory, Wasi};
use crate::{Answer, Channel};

/// Most bytes of one read or write, as on Linux: the answer must fit into 32 bits with room.
const TRANSFER: u64 = 0x7fff_f000;

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
    ) -> Answer<i32> {
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
    ) -> Answer<i32> {
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
    ) -> Answer<i32> {
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
    fn write_file(&mut self, memory: &[u8], (id, offset): (Id, u64), mut buffers: Buffers, now: u64) -> Outcome<usize> {
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
    ) -> Answer<i32> {
        answer((|| {
            let id = self.table.get(fd)?.file(right::FD_WRITE)?;
            let buffers = buffers_untrusted(memory, iovs, count)?;
            let now = self.now(channel);
            let done = self.write_file(memory, (id, offset_untrusted(offset)?), buffers, now)?;
            put_count(memory, nwritten, done)
        })())
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
pub(crate) mod tests;
