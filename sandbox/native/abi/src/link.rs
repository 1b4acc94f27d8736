//! The packet stream between runtime and host: whole packets in, bytes out, blocking only in `wait`.
//!
//! While a write waits for room, packets that come in are taken too (by whoever owns the link), so that two sides that
//! both write cannot stop each other. The buffer starts at one page and grows to one packet: an idle program never needs
//! more than a page.

use gatebus_wire::packets::{HEADER, Header, PACKET_MAX};
use gatebus_wire::status;

use crate::{Channel, Exit, Io};

/// First size of the buffer: setup and credit of ordinary programs fit into a page.
const FIRST: usize = 4096;

/// Bytes that came in and are not taken yet.
#[derive(Debug)]
pub(crate) struct Link {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read filled the buffer: there is more, and a larger buffer takes it in fewer calls.
    filled: bool,
}

impl Link {
    pub(crate) fn new() -> Link {
        Link { buffer: Vec::new(), start: 0, end: 0, filled: true }
    }

    /// What is there.
    pub(crate) fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// So many bytes of it are done with.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// Reads once without blocking. False: nothing there.
    pub(crate) fn fill(&mut self, channel: &mut dyn Channel) -> Result<bool, Exit> {
        self.make_room()?;
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        match channel.read(room) {
            Io::Done(count) => {
                self.end = self.end.saturating_add(count).min(self.buffer.len());
                self.filled = self.end == self.buffer.len();
                Ok(true)
            }
            Io::WouldBlock => Ok(false),
            Io::Closed => Err(orphaned()),
        }
    }

    fn make_room(&mut self) -> Result<(), Exit> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end >= PACKET_MAX {
            return Err(malformed());
        }
        if self.filled {
            self.filled = false;
            self.buffer.resize((self.buffer.len() * 2).clamp(FIRST, PACKET_MAX), 0);
        }
        Ok(())
    }

    /// Header and content of the next packet, if all of it is there; then [`Link::consume`] its padded size.
    pub(crate) fn packet_untrusted(&self) -> Result<Option<(Header, &[u8])>, Exit> {
        let Some(head) = self.unread().first_chunk::<HEADER>() else { return Ok(None) };
        let header = Header::decode_untrusted(*head).map_err(|_| malformed())?;
        let whole = self.unread().get(..header.padded());
        Ok(whole.and_then(|packet| packet.get(HEADER..header.size as usize)).map(|content| (header, content)))
    }
}

/// The host is gone.
pub(crate) fn orphaned() -> Exit {
    Exit::because(u32::from(status::ORPHANED), "the host closed the packet socket")
}

/// The host sent something that it never sends: a bug on our side, not the guest's fault.
pub(crate) fn malformed() -> Exit {
    Exit::because(u32::from(status::PANIC), "the host sent a packet that the runtime does not understand")
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
