//! Gate: the world of a stopped program as bytes and back. The format: STATE.md.
//!
//! Not in it: the seed of randomness, which is fresh after each resume and whole again, as Gate has it (clones of one state
//! must not share secrets); and the flag that tells the guest, once, that it was resumed.

use gatebus_wire::control::{FLAG_DEBUG_LOG, Kind, Report, STATE_MAX, encode};
use gatebus_wire::fields::Reader;
use gatebus_wire::{Malformed, status};

use crate::gate::Gate;
use crate::gate_inbox::Inbox;
use crate::gate_outbox::Outbox;
use crate::log::Log;
use crate::state::{BadState, Head, Resumed};
use crate::table::Personality;
use crate::time::Clocks;
use crate::{Channel, Exit, Setup};

impl Gate {
    /// The world, after [`Gate::drain_until_suspend`].
    pub fn save(&self, channel: &mut dyn Channel) -> Vec<u8> {
        let head = Head { clocks: &self.clocks, waiting_since: self.waiting_since, log: &self.log };
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (begun, unread) = self.inbox.saved();
        let unfinished = self.outbox.unfinished();
        let sizes = head.save(Personality::Gate, channel).u32(number(begun)).u32(number(unread.len()));
        sizes.u32(number(unfinished.len())).u32(0).bytes(unread).bytes(unfinished).done()
    }

    /// The world that [`Gate::save`] wrote, with the limits and the clock of this setup.
    pub fn restore_untrusted(setup: Setup, state: &[u8]) -> Result<Gate, BadState> {
        let mut fields = Reader::new(state);
        let clocks = Clocks::masked(setup.resolution(), setup.started);
        let log = Log::new(setup.flag(FLAG_DEBUG_LOG), setup.words.begin.log_limit);
        let head = Resumed::read_untrusted(&mut fields, Personality::Gate, (clocks, log))?;
        let (begun, unread, unfinished) = (fields.u32()?, fields.u32()?, fields.u32()?);
        fields.reserved()?;
        let inbox = Inbox::restore_untrusted(begun as usize, fields.bytes(unread as usize)?, &setup.link);
        let outbox = Outbox::restore_untrusted(fields.bytes(unfinished as usize)?);
        fields.end()?;
        Ok(Gate {
            inbox: inbox.ok_or(Malformed("input that is not packets"))?,
            outbox: outbox.ok_or(Malformed("output that does not begin a packet"))?,
            clocks: head.clocks,
            log: head.log,
            waiting_since: head.waiting_since,
            ..Gate::new(setup)
        })
    }

    /// Sends the state of a stopped program and the report of the stop. `memory` is the size of all linear memories.
    pub fn finish_suspended(&mut self, channel: &mut dyn Channel, state: &[u8], memory: u64) -> Result<(), Exit> {
        for piece in state.chunks(STATE_MAX) {
            self.outbox.add(&encode(Kind::State, piece).unwrap_or_default());
            self.outbox.drain(channel)?;
        }
        let (status, log_dropped) = (u32::from(status::SUSPENDED), self.log.dropped());
        let report = Report { status, result: 0, memory, log_dropped, text: String::new() };
        self.outbox.add(&report.packet());
        self.outbox.drain(channel)
    }
}
