//! Gate: what the guest writes, on its way to the host: bytes come in, whole packets go out.
//!
//! The guest may write a packet in pieces of any size; the pieces wait here until the packet is whole. So the stream to the
//! host never stands in the middle of a packet for longer than the socket is full: LOG packets of ours can go between, and
//! a program that is stopped keeps its unfinished packet. A guest that forges a control packet ends.

use gatebus_wire::{Boundary, status};

use crate::link::orphaned;
use crate::log::PIECE;
use crate::{Channel, Exit, Io};

/// Packets of the guest's, and of its log.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Whole packets that have to go out before anything else; the first may be half gone.
    ready: Vec<u8>,
    /// What the guest has written of the packet that it has not finished: less than one packet.
    unfinished: Vec<u8>,
    boundary: Boundary,
}

impl Outbox {
    /// With an unfinished packet. None: these bytes do not begin one.
    pub(crate) fn restore_untrusted(unfinished: &[u8]) -> Option<Outbox> {
        let mut boundary = Boundary::new();
        boundary.feed(unfinished).ok()?;
        let one = boundary.unfinished() == unfinished.len();
        one.then(|| Outbox { ready: Vec::new(), unfinished: unfinished.to_vec(), boundary })
    }

    /// What [`Outbox::restore_untrusted`] takes.
    pub(crate) fn unfinished(&self) -> &[u8] {
        &self.unfinished
    }

    /// Bytes that wait for the socket.
    pub(crate) fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// Takes a packet of ours.
    pub(crate) fn add(&mut self, packet: &[u8]) {
        self.ready.extend_from_slice(packet);
    }

    /// Takes bytes of the guest's: all of them, or none while the socket is full.
    pub(crate) fn write(&mut self, channel: &mut dyn Channel, bytes: &[u8]) -> Result<usize, Exit> {
        if bytes.is_empty() || !self.flush(channel)? {
            return Ok(0);
        }
        let mut next = self.boundary.clone();
        next.feed(bytes).map_err(|violation| Exit::because(u32::from(status::ABI_VIOLATION), violation.text))?;
        // Of a packet that has begun earlier everything is unfinished, not only these bytes.
        let later = next.unfinished().min(bytes.len());
        let (whole, rest) = bytes.split_at(bytes.len() - later);
        if !whole.is_empty() && !self.send(channel, whole)? {
            return Ok(0);
        }
        self.unfinished.extend_from_slice(rest);
        self.boundary = next;
        Ok(bytes.len())
    }

    /// Sends the end of what is unfinished; what the socket does not take is ready. False: it took nothing.
    fn send(&mut self, channel: &mut dyn Channel, end: &[u8]) -> Result<bool, Exit> {
        let begun = self.unfinished.len();
        let joined = if begun > 0 {
            self.unfinished.extend_from_slice(end);
            self.unfinished.as_slice()
        } else {
            end
        };
        let left = match channel.write(joined) {
            Io::Done(count) => joined.get(count..).unwrap_or_default().to_vec(),
            Io::Closed => return Err(orphaned()),
            Io::WouldBlock => {
                self.unfinished.truncate(begun);
                return Ok(false);
            }
        };
        self.ready = left;
        self.unfinished.clear();
        // One write takes 64 KiB at most, and this may be two packets.
        self.flush(channel)?;
        Ok(true)
    }

    /// Sends what is ready. False: not all of it, and the guest's own bytes have to wait.
    pub(crate) fn flush(&mut self, channel: &mut dyn Channel) -> Result<bool, Exit> {
        while !self.ready.is_empty() {
            match channel.write(&self.ready) {
                Io::Done(count) => drop(self.ready.drain(..count.min(self.ready.len()))),
                Io::WouldBlock => return Ok(false),
                Io::Closed => return Err(orphaned()),
            }
        }
        Ok(true)
    }

    /// At the end: what is unfinished stays so, and goes out as it is. False: nothing is.
    pub(crate) fn break_off(&mut self) -> bool {
        self.ready.append(&mut self.unfinished);
        !std::mem::take(&mut self.boundary).at_boundary()
    }

    /// At the end: sends everything that is ready. What still comes in is nobody's any more.
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

#[cfg(test)]
#[path = "gate_outbox_tests.rs"]
mod tests;
