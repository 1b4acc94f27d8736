//! Gate: the packet stream as the guest reads and writes it, waiting for it, and the log between its packets.
//!
//! LOG packets of ours stand between packets of the guest's. They wait in a bounded buffer while the socket is full; what
//! does not fit is dropped and counted. The log never makes the guest wait: in Gate it is a channel of its own.

use gatebus_wire::packets::PACKET_MAX;
use gatebus_wire::status;

use crate::errno::{Errno, Fail, Outcome, answer};
use crate::gate::{GATE, Gate, Memory, STDERR, STDIN, STDOUT, not_null, trap};
use crate::link::orphaned;
use crate::log::{self, PIECE};
use crate::memory::{self, Cursor};
use crate::{Answer, Channel, Clock, Exit, Ready};

/// The program was started or resumed since `io` last said so.
pub(crate) const FLAG_STARTED: u64 = 1;
/// Bytes that wait at most when one more LOG packet is to wait: two full pieces, so that one call of the guest always fits
/// when nothing waits, behind what two packets of the guest's may have left.
const WAITING: usize = 2 * PIECE + 4096 + 2 * PACKET_MAX;
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
    ) -> Answer<()> {
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

    /// Waits until something can be moved or the time is over; a stop is only ever here, before anything is moved.
    fn wait_io(
        &mut self,
        channel: &mut dyn Channel,
        (receiving, sending): (bool, bool),
        timeout: i64,
    ) -> Outcome<Ready> {
        let timeout = u64::try_from(timeout).ok();
        if (receiving || sending) && timeout.is_some_and(|ns| ns < NO_WAIT_NS) {
            return Ok(Ready { readable: true, writable: true });
        }
        let started = self.begin_to_wait(channel);
        let mut left = timeout.map(|ns| self.left(channel, (started, ns)));
        loop {
            let ready = self.wait(channel, (receiving, sending), left)?;
            left = timeout.map(|ns| self.left(channel, (started, ns)));
            if ready != Ready::default() || left == Some(0) {
                return Ok(ready);
            }
            self.check_stop(started)?;
        }
    }

    /// When the present wait began: now, but for a call that is made again after a stop.
    pub(crate) fn begin_to_wait(&mut self, channel: &mut dyn Channel) -> u64 {
        let now = self.clocks.precise(channel, Clock::Monotonic);
        self.waiting_since.take().unwrap_or(now)
    }

    /// A wait must not go on when the program is to stop.
    pub(crate) fn check_stop(&mut self, started: u64) -> Outcome<()> {
        if self.inbox.is_asked_to_stop() {
            self.waiting_since = Some(started);
            return Err(Fail::Suspend);
        }
        Ok(())
    }

    /// How long to wait so that the guest's clock will show that the time is over.
    fn left(&self, channel: &mut dyn Channel, (started, ns): (u64, u64)) -> u64 {
        if ns == 0 {
            return 0;
        }
        let now = self.clocks.precise(channel, Clock::Monotonic);
        self.clocks.tick_at(started.saturating_add(ns)).saturating_sub(now)
    }

    /// Waits once, not at all when the program is to stop. What waits of the log goes out on the way, and packets are taken
    /// in, wanted or not. May come back early with nothing.
    pub(crate) fn wait(
        &mut self,
        channel: &mut dyn Channel,
        (readable, writable): (bool, bool),
        timeout: Option<u64>,
    ) -> Result<Ready, Exit> {
        let mut free = self.outbox.flush(channel)?;
        let here = self.inbox.available()? > 0 && readable;
        let timeout = if here || self.inbox.is_asked_to_stop() { Some(0) } else { timeout };
        let listens = !here && self.inbox.has_room();
        let found = channel.wait(listens, writable || !free, timeout);
        if found.readable && !here {
            // Not listening and yet told: there is nobody there any more.
            if !listens {
                return Err(orphaned());
            }
            self.inbox.fill(channel)?;
        }
        if !free && found.writable {
            free = self.outbox.flush(channel)?;
        }
        let came = self.inbox.available()? > 0;
        Ok(Ready { readable: readable && came, writable: writable && found.writable && free })
    }

    /// Takes in everything that the host says before its word to stop, and sends everything that is ready. Blocks.
    pub fn drain_until_suspend(&mut self, channel: &mut dyn Channel) -> Result<(), Exit> {
        // The word may have come with the setup already.
        self.inbox.look_for_a_stop()?;
        while !self.inbox.is_asked_to_stop() {
            if !self.inbox.has_room() {
                return Err(Exit::because(u32::from(status::PANIC), "too much input to be saved"));
            }
            if !self.inbox.fill(channel)? {
                channel.wait(true, false, None);
            }
        }
        while !self.outbox.flush(channel)? {
            channel.wait(false, true, None);
        }
        Ok(())
    }

    /// Reads packets without blocking. EAGAIN: nothing there.
    pub fn fd_read(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        fd: u32,
        iovs: u32,
        count: u32,
        nread: u32,
    ) -> Answer<i32> {
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
            let count = u32::try_from(self.inbox.read(channel, into)?).unwrap_or(u32::MAX);
            done = done.saturating_add(count);
            if count < piece.len {
                return Ok((done, true));
            }
        }
        Ok((done, false))
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
    ) -> Answer<i32> {
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
            let written = self.outbox.write(channel, &gathered)?;
            done += written;
            if count == 0 || written < count {
                return Ok(u32::try_from(done).unwrap_or(u32::MAX));
            }
        }
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
        if self.outbox.waiting() + packet.len() > WAITING {
            self.log.drop(piece.len());
            return Ok(());
        }
        self.outbox.add(&packet);
        self.outbox.flush(channel)?;
        Ok(())
    }
}

fn put_unless_null(memory: Memory<'_>, pointer: u32, bytes: &[u8]) -> Outcome<()> {
    if pointer == 0 { Ok(()) } else { memory::put(memory, pointer, bytes).map_err(trap) }
}

#[cfg(test)]
#[path = "gate_log_tests.rs"]
mod log_tests;
#[cfg(test)]
#[path = "gate_io_tests.rs"]
mod tests;
