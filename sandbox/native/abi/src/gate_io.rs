//! Gate: the packet stream as the guest reads and writes it, and the log between its packets.
//!
//! The guest's bytes pass as they are. Before they pass, the boundary tracker looks at the headers: a guest that forges
//! a control packet ends. LOG packets of ours may only stand between packets of the guest's, so they wait in a bounded
//! buffer while the guest is in the middle of one or the socket is full; what does not fit is dropped and counted. The log
//! never makes the guest wait: in Gate it is a channel of its own.

use gatebus_wire::packets::PACKET_MAX;
use gatebus_wire::status;

use crate::errno::{Errno, Outcome, answer};
use crate::gate::{GATE, Gate, Memory, STDERR, STDIN, STDOUT, not_null, trap};
use crate::link::orphaned;
use crate::log::{self, PIECE};
use crate::memory::{self, Cursor};
use crate::{Channel, Clock, Exit, Io, Ready};

/// The program was started or resumed since `io` last said so.
pub(crate) const FLAG_STARTED: u64 = 1;
/// Bytes of LOG packets that wait at most: two full pieces, so that one call of the guest always fits when nothing waits.
const WAITING: usize = 2 * PIECE + 4096;
/// Shorter waits are not worth a system call, Gate says.
const NO_WAIT_NS: u64 = 1000;

/// A list of buffers. Gate takes the count for a signed number: a negative one is none.
#[derive(Clone, Copy, Debug)]
struct List {
    pointer: u32,
    count: u32,
}

impl List {
    fn new(pointer: u32, count: u32) -> List {
        List { pointer, count: if count.cast_signed() < 0 { 0 } else { count } }
    }

    fn check(self) -> Outcome<()> {
        if self.count > 0 { not_null(&[self.pointer]) } else { Ok(()) }
    }

    /// Bytes in all. The trap for a bad pointer comes here, before anything is moved.
    fn total(self, memory: &[u8]) -> Outcome<u64> {
        memory::buffers(memory, self.pointer, self.count).map_err(trap)
    }

    fn cursor(self) -> Cursor {
        Cursor::new(self.pointer, self.count)
    }
}

/// The signatures are Gate's.
#[allow(clippy::too_many_arguments)]
impl Gate {
    /// Sends and receives what can be moved, after waiting until something can be.
    pub fn io(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        received: u32,
        received_count: u32,
        nreceived: u32,
        sent: u32,
        sent_count: u32,
        nsent: u32,
        timeout: u64,
        flags: u32,
    ) -> Result<(), Exit> {
        let lists = (List::new(received, received_count), List::new(sent, sent_count));
        let outcome = self.transfer(memory, channel, lists, timeout.cast_signed()).and_then(|(read, written)| {
            put_unless_null(memory, nreceived, &read.to_le_bytes())?;
            put_unless_null(memory, nsent, &written.to_le_bytes())?;
            if flags != 0 {
                put_unless_null(memory, flags, &self.flags.to_le_bytes())?;
                self.flags = 0;
            }
            Ok(())
        });
        // There is no errno to answer: only an end can come out of it.
        answer(outcome).map(drop)
    }

    /// First out, then in.
    fn transfer(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        (received, sent): (List, List),
        timeout: i64,
    ) -> Outcome<(u32, u32)> {
        let receiving = received.total(memory)? > 0;
        let sending = sent.total(memory)? > 0;
        let ready = self.wait_io(channel, (receiving, sending), timeout)?;
        let written = if ready.writable && sending { self.write_list(memory, channel, sent)? } else { 0 };
        let read = if ready.readable && receiving { self.read_list(memory, channel, received)?.0 } else { 0 };
        Ok((read, written))
    }

    fn wait_io(
        &mut self,
        channel: &mut dyn Channel,
        (receiving, sending): (bool, bool),
        timeout: i64,
    ) -> Result<Ready, Exit> {
        let timeout = u64::try_from(timeout).ok();
        if (receiving || sending) && timeout.is_some_and(|ns| ns < NO_WAIT_NS) {
            return Ok(Ready { readable: true, writable: true });
        }
        let until = timeout.map(|ns| self.until(channel, ns));
        self.wait(channel, (receiving, sending), until)
    }

    /// How long to wait so that the guest's clock will show that the time is over.
    fn until(&self, channel: &mut dyn Channel, ns: u64) -> u64 {
        if ns == 0 {
            return 0;
        }
        let now = self.clocks.precise(channel, Clock::Monotonic);
        self.clocks.tick_at(now.saturating_add(ns)).saturating_sub(now)
    }

    /// Waits once. What waits of the log goes out on the way. May come back early with nothing.
    pub(crate) fn wait(
        &mut self,
        channel: &mut dyn Channel,
        (readable, writable): (bool, bool),
        timeout: Option<u64>,
    ) -> Result<Ready, Exit> {
        let log = !self.flush(channel)?;
        let here = readable && !self.link.unread().is_empty();
        let timeout = if here { Some(0) } else { timeout };
        let ready = channel.wait(readable, writable || log, timeout);
        if ready.readable && !readable {
            return Err(orphaned());
        }
        let free = if log && ready.writable { self.flush(channel)? } else { !log };
        Ok(Ready { readable: here || (readable && ready.readable), writable: writable && ready.writable && free })
    }

    /// Reads packets without blocking, first what came with the setup. EAGAIN: nothing there.
    pub fn fd_read(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        fd: u32,
        iovs: u32,
        count: u32,
        nread: u32,
    ) -> Result<i32, Exit> {
        answer((|| {
            let list = List::new(iovs, count);
            list.check()?;
            not_null(&[nread])?;
            match fd {
                GATE => {}
                STDIN | STDOUT | STDERR => return Err(Errno::PERM.into()),
                _ => return Err(Errno::BADF.into()),
            }
            list.total(memory)?;
            match self.read_list(memory, channel, list)? {
                (0, true) => Err(Errno::AGAIN.into()),
                (count, _) => memory::put_u32(memory, nread, count).map_err(trap),
            }
        })())
    }

    /// Fills the buffers as far as there is something; the second value: it stopped at a buffer that is not full.
    fn read_list(&mut self, memory: Memory<'_>, channel: &mut dyn Channel, list: List) -> Outcome<(u32, bool)> {
        let mut cursor = list.cursor();
        let mut done = 0u32;
        while let Some(piece) = cursor.next(memory, u32::MAX).map_err(trap)? {
            let into = memory::bytes_mut(memory, piece.pointer, piece.len).map_err(trap)?;
            let count = self.read_some(channel, into)?;
            done = done.saturating_add(count);
            if count < piece.len {
                return Ok((done, true));
            }
        }
        Ok((done, false))
    }

    fn read_some(&mut self, channel: &mut dyn Channel, into: &mut [u8]) -> Result<u32, Exit> {
        let unread = self.link.unread();
        let count = unread.len().min(into.len());
        if count > 0 {
            into.split_at_mut(count).0.copy_from_slice(unread.split_at(count).0);
            self.link.consume(count);
            return Ok(u32::try_from(count).unwrap_or(u32::MAX));
        }
        match channel.read(into) {
            Io::Done(count) => Ok(u32::try_from(count.min(into.len())).unwrap_or(u32::MAX)),
            Io::WouldBlock => Ok(0),
            Io::Closed => Err(orphaned()),
        }
    }

    /// Writes packets without blocking, or to the log. EAGAIN: no room for a single byte.
    pub fn fd_write(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        fd: u32,
        iovs: u32,
        count: u32,
        nwritten: u32,
    ) -> Result<i32, Exit> {
        answer((|| {
            let list = List::new(iovs, count);
            list.check()?;
            not_null(&[nwritten])?;
            let written = match fd {
                GATE => match (list.total(memory)?, self.write_list(memory, channel, list)?) {
                    (1.., 0) => return Err(Errno::AGAIN.into()),
                    (_, written) => written,
                },
                STDOUT | STDERR => self.write_log(memory, channel, (fd, list))?,
                STDIN => return Err(Errno::PERM.into()),
                _ => return Err(Errno::BADF.into()),
            };
            memory::put_u32(memory, nwritten, written).map_err(trap)
        })())
    }

    /// Gathers up to a packet's worth at a time, so that header and content leave in one write.
    fn write_list(&mut self, memory: &[u8], channel: &mut dyn Channel, list: List) -> Outcome<u32> {
        let mut cursor = list.cursor();
        let mut gathered = Vec::new();
        let mut done = 0usize;
        loop {
            gathered.clear();
            let count = cursor.gather(memory, PACKET_MAX, &mut gathered).map_err(trap)?;
            let written = self.write_some(channel, &gathered)?;
            done += written;
            if count == 0 || written < count {
                return Ok(u32::try_from(done).unwrap_or(u32::MAX));
            }
        }
    }

    fn write_some(&mut self, channel: &mut dyn Channel, bytes: &[u8]) -> Result<usize, Exit> {
        if bytes.is_empty() || !self.flush(channel)? {
            return Ok(0);
        }
        let mut next = self.boundary.clone();
        next.feed(bytes).map_err(|violation| Exit::because(u32::from(status::ABI_VIOLATION), violation.text))?;
        let written = match channel.write(bytes) {
            Io::Done(count) => count.min(bytes.len()),
            Io::WouldBlock => return Ok(0),
            Io::Closed => return Err(orphaned()),
        };
        if written == bytes.len() {
            self.boundary = next;
        } else {
            // A part of good bytes is good.
            self.boundary.feed(bytes.split_at(written).0).unwrap_or_default();
        }
        Ok(written)
    }

    /// Everything counts as written, whatever becomes of it.
    fn write_log(&mut self, memory: &[u8], channel: &mut dyn Channel, (fd, list): (u32, List)) -> Outcome<u32> {
        let total = list.total(memory)?;
        let mut left = self.log.admit(usize::try_from(total).unwrap_or(usize::MAX));
        let mut cursor = list.cursor();
        let mut piece = Vec::new();
        while left > 0 {
            piece.clear();
            let count = cursor.gather(memory, left.min(PIECE), &mut piece).map_err(trap)?;
            if count == 0 {
                break;
            }
            left -= count;
            self.queue_log(channel, u8::try_from(fd).unwrap_or(0), &piece)?;
        }
        Ok(u32::try_from(total).unwrap_or(u32::MAX))
    }

    fn queue_log(&mut self, channel: &mut dyn Channel, stream: u8, piece: &[u8]) -> Result<(), Exit> {
        let packet = log::packet(stream, piece);
        if self.waiting.len() + packet.len() > WAITING {
            self.log.drop(piece.len());
            return Ok(());
        }
        self.waiting.extend(packet);
        self.flush(channel)?;
        Ok(())
    }

    /// Sends what waits of the log, if it may go now. False: the guest's own bytes must wait for it, also because half
    /// a packet of ours may be out.
    fn flush(&mut self, channel: &mut dyn Channel) -> Result<bool, Exit> {
        while self.boundary.at_boundary() && !self.waiting.is_empty() {
            match channel.write(&self.waiting) {
                Io::Done(count) => drop(self.waiting.drain(..count.min(self.waiting.len()))),
                Io::WouldBlock => return Ok(false),
                Io::Closed => return Err(orphaned()),
            }
        }
        Ok(true)
    }

    /// At the end: sends everything that waits. What still comes in is nobody's any more.
    pub(crate) fn drain(&mut self, channel: &mut dyn Channel) -> Result<(), Exit> {
        let mut nobody = vec![0; PIECE];
        while !self.flush(channel)? {
            if channel.wait(true, true, None).readable && channel.read(&mut nobody) == Io::Closed {
                return Err(orphaned());
            }
        }
        Ok(())
    }
}

fn put_unless_null(memory: Memory<'_>, pointer: u32, bytes: &[u8]) -> Outcome<()> {
    if pointer == 0 { Ok(()) } else { memory::put(memory, pointer, bytes).map_err(trap) }
}

const _: () = assert!(WAITING > PIECE && WAITING < 2 * PACKET_MAX);

#[cfg(test)]
#[path = "gate_log_tests.rs"]
mod log_tests;
#[cfg(test)]
#[path = "gate_io_tests.rs"]
mod tests;
