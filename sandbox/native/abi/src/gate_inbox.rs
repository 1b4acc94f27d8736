//! Gate: what the host sends, on its way to a guest that reads bytes, not packets.
//!
//! The bytes pass as they are, but each header is looked at before any byte of it passes: the host's word to stop stands
//! in the same stream and is not the guest's. So a header passes whole or not yet, and what cannot pass yet waits here.

use gatebus_wire::packets::{HEADER, Header};

use crate::link::{Link, is_suspend_untrusted, malformed};
use crate::{Channel, Exit};

/// Bytes that wait here at most. Whatever the guest waits for, its packets are taken in meanwhile, or the word to stop could
/// not come; a few times what a socket holds on its way (200 KiB by default) and whatever the largest ones hold.
pub(crate) const RECEIVED_MAX: usize = 4 << 20;
/// Of a program that stops: also what was on its way in front of the word to stop.
pub(crate) const SAVED_MAX: usize = 2 * RECEIVED_MAX;

/// Packets for the guest.
#[derive(Debug)]
pub(crate) struct Inbox {
    link: Link,
    /// Bytes from the first unread one on whose packets have a header that was looked at; some may be still to come.
    cleared: usize,
    /// Bytes that the guest has not read of the packet that it has begun to read.
    begun: usize,
    asked_to_stop: bool,
}

impl Inbox {
    pub(crate) fn new(mut link: Link) -> Inbox {
        link.set_limit(RECEIVED_MAX);
        Inbox { link, cleared: 0, begun: 0, asked_to_stop: false }
    }

    /// What was unread when a program was stopped: `begun` bytes that end a packet, and whole packets; and `later`, which has
    /// come since. None: it is something else.
    pub(crate) fn restore_untrusted(begun: usize, unread: &[u8], later: &Link) -> Option<Inbox> {
        if begun >= gatebus_wire::packets::PACKET_MAX {
            return None;
        }
        let mut inbox = Inbox { cleared: begun, begun, ..Inbox::new(Link::holding(unread.to_vec())) };
        inbox.look_untrusted().ok()?;
        let whole = inbox.cleared == unread.len() && !inbox.asked_to_stop;
        inbox.link.push(later.unread());
        (whole && unread.len() <= SAVED_MAX).then_some(inbox)
    }

    /// What [`Inbox::restore_untrusted`] takes.
    pub(crate) fn saved(&self) -> (usize, &[u8]) {
        (self.begun, self.link.unread())
    }

    /// Whoever would wait now must not.
    pub(crate) fn is_asked_to_stop(&self) -> bool {
        self.asked_to_stop
    }

    /// Whoever has left the guest takes everything in until the word is there.
    pub(crate) fn look_for_a_stop(&mut self) -> Result<(), Exit> {
        self.link.set_limit(SAVED_MAX);
        self.look_untrusted()
    }

    /// May more be taken in?
    pub(crate) fn has_room(&self) -> bool {
        self.link.has_room()
    }

    /// Bytes that the guest can have now.
    pub(crate) fn available(&mut self) -> Result<usize, Exit> {
        self.look_untrusted()?;
        Ok(self.cleared.min(self.link.unread().len()))
    }

    /// Takes in what has come, once, without blocking. False: nothing has.
    pub(crate) fn fill(&mut self, channel: &mut dyn Channel) -> Result<bool, Exit> {
        let came = self.link.fill(channel)?;
        if came && self.asked_to_stop {
            return Err(malformed());
        }
        self.look_untrusted()?;
        Ok(came)
    }

    /// Gives the guest what it can have, after a look whether there is more.
    pub(crate) fn read(&mut self, channel: &mut dyn Channel, into: &mut [u8]) -> Result<usize, Exit> {
        let mut done = 0;
        while done < into.len() {
            let seen = self.available()?;
            let more = seen == 0 && (done == 0 || self.link.was_filled()) && !self.asked_to_stop;
            if more && self.fill(channel)? {
                continue;
            }
            let count = seen.min(into.len() - done);
            if count == 0 {
                break;
            }
            let target = into.get_mut(done..done + count).unwrap_or_default();
            target.copy_from_slice(self.link.unread().split_at(count).0);
            self.consume(count);
            done += count;
        }
        Ok(done)
    }

    fn consume(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            if self.begun == 0 {
                let at = self.link.unread().get(count - left..).and_then(|rest| rest.first_chunk::<HEADER>());
                let header = at.and_then(|head| Header::decode_untrusted(*head).ok());
                // It was looked at: there is one.
                self.begun = header.map_or(left, |header| header.padded());
            }
            let step = left.min(self.begun);
            self.begun -= step;
            left -= step;
        }
        self.link.consume(count);
        self.cleared -= count;
    }

    fn look_untrusted(&mut self) -> Result<(), Exit> {
        loop {
            let rest = self.link.unread().get(self.cleared..).unwrap_or_default();
            let (len, Some(head)) = (rest.len(), rest.first_chunk::<HEADER>()) else { return Ok(()) };
            let header = Header::decode_untrusted(*head).map_err(|_| malformed())?;
            if is_suspend_untrusted(header)? {
                self.asked_to_stop = true;
                self.link.truncate(self.cleared);
                return if len == HEADER { Ok(()) } else { Err(malformed()) };
            }
            self.cleared += header.padded();
        }
    }
}

#[cfg(test)]
#[path = "gate_inbox_tests.rs"]
mod tests;
