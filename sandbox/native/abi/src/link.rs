//! The packet stream between runtime and host: whole packets in, bytes out, blocking only in `wait`.
//!
//! While a write waits for room, packets that come in are taken too (by whoever owns the link), so that two sides that
//! both write cannot stop each other. The buffer starts at one page and grows to one packet: an idle program never needs
//! more than a page.

use gatebus_wire::control::Kind;
use gatebus_wire::packets::{CODE_CONTROL, DOMAIN_CALL, HEADER, Header, PACKET_MAX};
use gatebus_wire::status;

use crate::{Channel, Exit, Io};

/// First size of the buffer: setup and credit of ordinary programs fit into a page.
const FIRST: usize = 4096;
const SUSPEND: u8 = Kind::Suspend as u8;

/// Bytes that came in and are not taken yet.
#[derive(Debug)]
pub(crate) struct Link {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read filled the buffer: there is more, and a larger buffer takes it in fewer calls.
    filled: bool,
    /// Most bytes that wait in here.
    limit: usize,
}

impl Link {
    pub(crate) fn new() -> Link {
        Link { buffer: Vec::new(), start: 0, end: 0, filled: true, limit: PACKET_MAX }
    }

    /// So many bytes may wait in here from now on.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Could [`Link::fill`] take one byte more?
    pub(crate) fn has_room(&self) -> bool {
        self.end - self.start < self.limit
    }

    /// Was there as much to read the last time as there was room for?
    pub(crate) fn was_filled(&self) -> bool {
        self.filled
    }

    /// Only so many bytes of it were meant for us.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
    }

    /// These bytes are there, and nothing else.
    pub(crate) fn holding(bytes: Vec<u8>) -> Link {
        Link { end: bytes.len(), buffer: bytes, ..Link::new() }
    }

    /// These bytes come after what is there, without having been read from anywhere.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.truncate(self.end);
        self.buffer.extend_from_slice(bytes);
        self.end = self.buffer.len();
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
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end >= self.limit {
            return Err(malformed());
        }
        if self.filled || self.end == self.buffer.len() {
            self.filled = false;
            self.buffer.resize((self.buffer.len() * 2).clamp(FIRST, self.limit), 0);
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

/// Is this the host's word to stop? Anything else of its control packets is none that comes after GO.
pub(crate) fn is_suspend_untrusted(header: Header) -> Result<bool, Exit> {
    match (header.code, header.domain, header.index, header.size as usize) {
        (CODE_CONTROL, DOMAIN_CALL, SUSPEND, HEADER) => Ok(true),
        (CODE_CONTROL, ..) => Err(malformed()),
        _ => Ok(false),
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
