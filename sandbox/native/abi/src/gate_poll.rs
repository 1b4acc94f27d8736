//! Gate: waiting. Events come in the order of the subscriptions; what cannot be waited for is an event with an errno.

use crate::errno::{Errno, Outcome, answer};
use crate::gate::{GATE, Gate, Memory, STDERR, STDIN, STDOUT, deficiency, not_null, trap};
use crate::memory;
use crate::wasi_poll::{Happened, PREVIEW1, Subscribed, Subscription, put_event, subscription};
use crate::{Answer, Channel, Clock, Ready};

/// What a ready packet descriptor and the log say of their room.
const PACKETS: u64 = 65_536;
const LOG: u64 = 0x7fff_ffff;

/// The guest's list of subscriptions, and when its call began.
#[derive(Clone, Copy, Debug)]
struct Wishes {
    pointer: u32,
    count: u32,
    started: u64,
}

/// What is to be waited for.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    read: bool,
    write: bool,
    timeout: Option<u64>,
}

impl Plan {
    fn no_later_than(&mut self, ns: u64) {
        self.timeout = Some(self.timeout.map_or(ns, |before| before.min(ns)));
    }
}

/// State of one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Happened(Happened),
    /// In so many nanoseconds.
    After(u64),
    Read,
    Write,
}

impl Gate {
    /// Waits until at least one of the subscriptions has happened. For nothing it waits for ever.
    pub fn poll_oneoff(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        subscriptions: u32,
        events: u32,
        count: u32,
        nevents: u32,
    ) -> Answer<i32> {
        answer((|| {
            let count = if count.cast_signed() < 0 { 0 } else { count };
            if count > 0 {
                not_null(&[subscriptions, events])?;
            }
            not_null(&[nevents])?;
            let started = self.begin_to_wait(channel);
            let wishes = Wishes { pointer: subscriptions, count, started };
            let happened = self.poll(memory, channel, wishes, events)?;
            memory::put_u32(memory, nevents, happened).map_err(trap)
        })())
    }

    fn poll(&mut self, memory: Memory<'_>, channel: &mut dyn Channel, wishes: Wishes, events: u32) -> Outcome<u32> {
        loop {
            let plan = self.plan(memory, channel, wishes)?;
            let ready = self.wait(channel, (plan.read, plan.write), plan.timeout)?;
            let happened = self.report(memory, channel, wishes, (ready, events))?;
            if happened > 0 {
                return Ok(happened);
            }
            self.check_stop(wishes.started)?;
        }
    }

    fn plan(&self, memory: &[u8], channel: &mut dyn Channel, wishes: Wishes) -> Outcome<Plan> {
        let mut plan = Plan::default();
        for index in 0..wishes.count {
            let subscription = subscription(memory, wishes.pointer, index, PREVIEW1).map_err(trap)?;
            match self.state(channel, subscription, wishes.started)? {
                State::Happened(_) => plan.no_later_than(0),
                State::After(ns) => plan.no_later_than(ns),
                State::Read => plan.read = true,
                State::Write => plan.write = true,
            }
        }
        Ok(plan)
    }

    fn report(
        &self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        wishes: Wishes,
        (ready, events): (Ready, u32),
    ) -> Outcome<u32> {
        let mut count = 0;
        for index in 0..wishes.count {
            let subscription = subscription(memory, wishes.pointer, index, PREVIEW1).map_err(trap)?;
            let packets = Happened { bytes: PACKETS, ..Happened::default() };
            let happened = match self.state(channel, subscription, wishes.started)? {
                State::Happened(happened) => happened,
                State::Read if ready.readable => packets,
                State::Write if ready.writable => packets,
                _ => continue,
            };
            put_event(memory, (events, count), subscription, happened).map_err(trap)?;
            count += 1;
        }
        Ok(count)
    }

    fn state(&self, channel: &mut dyn Channel, subscription: Subscription, started: u64) -> Outcome<State> {
        let error = |errno| Ok(State::Happened(Happened::error(errno)));
        match subscription.wish {
            Some(Subscribed::Clock { id, timeout, absolute }) => self.clock(channel, (id, absolute), timeout, started),
            Some(Subscribed::Read(GATE)) => Ok(State::Read),
            Some(Subscribed::Write(GATE)) => Ok(State::Write),
            Some(Subscribed::Write(STDOUT | STDERR)) => {
                Ok(State::Happened(Happened { bytes: LOG, ..Happened::default() }))
            }
            Some(Subscribed::Read(STDIN | STDOUT | STDERR) | Subscribed::Write(STDIN)) => error(Errno::PERM),
            Some(_) => error(Errno::BADF),
            None => error(Errno::INVAL),
        }
    }

    fn clock(
        &self,
        channel: &mut dyn Channel,
        (id, absolute): (u32, bool),
        timeout: u64,
        started: u64,
    ) -> Outcome<State> {
        let clock = match id {
            0 => Clock::Realtime,
            1 => Clock::Monotonic,
            2 | 3 => return Err(deficiency("a clock of CPU time was waited for").into()),
            _ => return Ok(State::Happened(Happened::error(Errno::INVAL))),
        };
        let (clock, time) = match absolute {
            _ if timeout == 0 => return Ok(State::Happened(Happened::default())),
            true => (clock, timeout),
            false => (Clock::Monotonic, started.saturating_add(timeout)),
        };
        let now = self.clocks.precise(channel, clock);
        Ok(match self.clocks.tick_at(time).saturating_sub(now) {
            0 => State::Happened(Happened::default()),
            ns => State::After(ns),
        })
    }
}

#[cfg(test)]
#[path = "gate_poll_tests.rs"]
mod tests;
