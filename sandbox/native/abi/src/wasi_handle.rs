//! WASI: what else is done with an open descriptor: moving it, closing it, listing it.

use gatebus_files::Id;

use crate::descriptor::{Target, right};
use crate::errno::{Errno, Outcome, answer};
use crate::memory;
use crate::wasi::{Memory, Wasi};
use crate::wasi_fd::put_count;
use crate::{Answer, Channel};

/// Where a seek starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whence {
    Set,
    Current,
    End,
}

/// The signatures are WASI's.
#[allow(clippy::too_many_arguments)]
impl Wasi {
    /// Moves the descriptor. 0 set, 1 current, 2 end.
    pub fn fd_seek(
        &mut self,
        memory: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        offset: u64,
        whence: u32,
        position: u32,
    ) -> Answer<i32> {
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
    ) -> Answer<i32> {
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
    pub fn fd_tell(&mut self, memory: Memory<'_>, _: &mut dyn Channel, fd: u32, position: u32) -> Answer<i32> {
        answer((|| {
            let descriptor = self.table.get(fd)?;
            descriptor.file(right::FD_TELL)?;
            Ok(memory::put_u64(memory, position, descriptor.offset)?)
        })())
    }

    /// Lets the descriptor go. Closing input or output tells the host.
    pub fn fd_close(&mut self, _: Memory<'_>, channel: &mut dyn Channel, fd: u32) -> Answer<i32> {
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
    pub fn fd_renumber(&mut self, _: Memory<'_>, channel: &mut dyn Channel, from: u32, to: u32) -> Answer<i32> {
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
    ) -> Answer<i32> {
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
    ) -> Answer<i32> {
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
    pub fn fd_sync(&mut self, _: Memory<'_>, _: &mut dyn Channel, fd: u32) -> Answer<i32> {
        answer((|| Ok(self.table.get(fd)?.check(right::FD_SYNC)?))())
    }

    /// Nothing is ever written later.
    pub fn fd_datasync(&mut self, _: Memory<'_>, _: &mut dyn Channel, fd: u32) -> Answer<i32> {
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
    ) -> Answer<i32> {
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

#[cfg(test)]
#[path = "wasi_handle_tests.rs"]
mod tests;
