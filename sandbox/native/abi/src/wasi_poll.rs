//! WASI: waiting for several things at once.
//!
//! Subscriptions are read from the guest's memory anew in every round, so nothing is allocated however many there are.
//! Events are written only when at least one thing has happened; the round before that only looks.
//!
//! Whatever a program waits for comes through the one channel: input as data, room for output as credit. So a wait is
//! always for the channel to be readable or for the earliest time.

use gatebus_files::Kind;

use crate::descriptor::{Target, right};
use crate::errno::{Errno, Fail, Outcome, answer};
use crate::memory::{self, Checked};
use crate::wasi::{Memory, Wasi, clock_untrusted};
use crate::{Answer, Channel, Clock};

/// Bytes of an event: `u64 userdata, u16 errno, u8 type, 5 x 0, u64 bytes, u16 flags, 6 x 0`.
const EVENT: u64 = 32;
/// Event flag: the other side has closed.
const HANGUP: u16 = 1;
/// Flag of a clock subscription: the time is a time, not a duration.
const ABSOLUTE: u16 = 1;
/// Room that a write to something without credit (the log, a file) is said to have.
const PLENTY: u64 = 65_536;

/// Where the fields of a subscription are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    size: u64,
    clock: u64,
    timeout: u64,
    flags: u64,
}

/// Preview 1: userdata 0, tag 8; clock id 16, timeout 24, precision 32, flags 40; descriptor 16.
pub(crate) const PREVIEW1: Layout = Layout { size: 48, clock: 16, timeout: 24, flags: 40 };
/// Before: an identifier at 16 moves what follows it; descriptor 16.
pub(crate) const UNSTABLE: Layout = Layout { size: 56, clock: 24, timeout: 32, flags: 48 };
const TAG: u64 = 8;
const DESCRIPTOR: u64 = 16;

/// One subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) userdata: u64,
    pub(crate) tag: u8,
    pub(crate) wish: Option<Subscribed>,
}

/// What is waited for; None in its place: an unknown tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subscribed {
    Clock { id: u32, timeout: u64, absolute: bool },
    Read(u32),
    Write(u32),
}

/// Reads one of a list of subscriptions.
pub(crate) fn subscription(memory: &[u8], list: u32, index: u32, layout: Layout) -> Checked<Subscription> {
    let at = |by: u64| memory::offset(list, u64::from(index) * layout.size + by);
    // The whole structure must be there, also the part that this kind does not use.
    memory::get_u64(memory, at(layout.size - 8)?)?;
    let tag = memory::get_u8(memory, at(TAG)?)?;
    let wish = match tag {
        0 => Some(Subscribed::Clock {
            id: memory::get_u32(memory, at(layout.clock)?)?,
            timeout: memory::get_u64(memory, at(layout.timeout)?)?,
            absolute: memory::get_u16(memory, at(layout.flags)?)? & ABSOLUTE != 0,
        }),
        1 => Some(Subscribed::Read(memory::get_u32(memory, at(DESCRIPTOR)?)?)),
        2 => Some(Subscribed::Write(memory::get_u32(memory, at(DESCRIPTOR)?)?)),
        _ => None,
    };
    Ok(Subscription { userdata: memory::get_u64(memory, at(0)?)?, tag, wish })
}

/// What an event says besides whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Happened {
    pub(crate) errno: u16,
    pub(crate) bytes: u64,
    pub(crate) flags: u16,
}

impl Happened {
    pub(crate) fn error(errno: Errno) -> Happened {
        Happened { errno: u16::try_from(errno.0).unwrap_or(u16::MAX), ..Happened::default() }
    }
}

/// Writes the event number `index`.
pub(crate) fn put_event(
    memory: Memory<'_>,
    (list, index): (u32, u32),
    subscription: Subscription,
    happened: Happened,
) -> Checked<()> {
    let mut bytes = Vec::with_capacity(32);
    bytes.extend(subscription.userdata.to_le_bytes());
    bytes.extend(happened.errno.to_le_bytes());
    bytes.extend([subscription.tag, 0, 0, 0, 0, 0]);
    bytes.extend(happened.bytes.to_le_bytes());
    bytes.extend(happened.flags.to_le_bytes());
    bytes.extend([0; 6]);
    memory::put(memory, memory::offset(list, u64::from(index) * EVENT)?, &bytes)
}

/// The guest's lists.
#[derive(Clone, Copy, Debug)]
struct Lists {
    subscriptions: u32,
    events: u32,
    count: u32,
    layout: Layout,
}

/// State of one subscription now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Happened(Happened),
    /// In so many nanoseconds.
    After(u64),
    /// When something comes through the channel.
    Coming,
}

/// What a round of looking found.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    happened: u32,
    coming: bool,
    after: Option<u64>,
}

impl Round {
    fn add(&mut self, state: State) {
        match state {
            State::Happened(_) => self.happened += 1,
            State::Coming => self.coming = true,
            State::After(ns) => self.after = Some(self.after.map_or(ns, |before| before.min(ns))),
        }
    }
}

/// The signatures are WASI's.
#[allow(clippy::too_many_arguments)]
impl Wasi {
    /// Waits until at least one of the subscriptions has happened.
    pub fn poll_oneoff(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        subscriptions: u32,
        events: u32,
        count: u32,
        nevents: u32,
    ) -> Answer<i32> {
        let lists = Lists { subscriptions, events, count, layout: PREVIEW1 };
        answer(self.poll(memory, channel, lists, nevents))
    }

    /// The same with the subscriptions of `wasi_unstable`.
    pub fn unstable_poll_oneoff(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        subscriptions: u32,
        events: u32,
        count: u32,
        nevents: u32,
    ) -> Answer<i32> {
        let lists = Lists { subscriptions, events, count, layout: UNSTABLE };
        answer(self.poll(memory, channel, lists, nevents))
    }

    fn poll(&mut self, memory: Memory<'_>, channel: &mut dyn Channel, lists: Lists, nevents: u32) -> Outcome<()> {
        if lists.count == 0 {
            return Err(Errno::INVAL.into());
        }
        check_lists(memory, lists)?;
        memory::put_u32(memory, nevents, 0)?;
        // A call that is made again after a stop has waited already.
        let now = self.clocks.precise(channel, Clock::Monotonic);
        let started = self.waiting_since.take().unwrap_or(now);
        self.want_what_is_polled(memory, channel, lists)?;
        loop {
            let round = self.look(memory, channel, lists, started)?;
            if round.happened > 0 {
                break;
            }
            if self.origin.is_asked_to_stop() {
                self.waiting_since = Some(started);
                return Err(Fail::Suspend);
            }
            if channel.wait(true, false, round.after).readable {
                self.origin.pump(channel)?;
            }
        }
        let count = self.report(memory, channel, lists, started)?;
        Ok(memory::put_u32(memory, nevents, count)?)
    }

    /// Before the first look: lets the host send if input is polled, and takes in what is already there.
    fn want_what_is_polled(&mut self, memory: &[u8], channel: &mut dyn Channel, lists: Lists) -> Outcome<()> {
        let mut streams = false;
        for index in 0..lists.count {
            let target = match subscription(memory, lists.subscriptions, index, lists.layout)?.wish {
                Some(Subscribed::Read(fd) | Subscribed::Write(fd)) => self.table.get(fd).map(|found| found.target),
                _ => continue,
            };
            match target {
                Ok(Target::Input) => self.origin.want_input(channel)?,
                Ok(Target::Output) => {}
                _ => continue,
            }
            streams = true;
        }
        if streams { Ok(self.origin.pump(channel)?) } else { Ok(self.origin.look_untrusted()?) }
    }

    fn look(&self, memory: &[u8], channel: &mut dyn Channel, lists: Lists, started: u64) -> Outcome<Round> {
        let mut round = Round::default();
        for index in 0..lists.count {
            let subscription = subscription(memory, lists.subscriptions, index, lists.layout)?;
            round.add(self.state(channel, subscription, started));
        }
        Ok(round)
    }

    fn report(&self, memory: Memory<'_>, channel: &mut dyn Channel, lists: Lists, started: u64) -> Outcome<u32> {
        let mut count = 0;
        for index in 0..lists.count {
            let subscription = subscription(memory, lists.subscriptions, index, lists.layout)?;
            if let State::Happened(happened) = self.state(channel, subscription, started) {
                put_event(memory, (lists.events, count), subscription, happened)?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn state(&self, channel: &mut dyn Channel, subscription: Subscription, started: u64) -> State {
        match subscription.wish {
            Some(Subscribed::Clock { id, timeout, absolute }) => {
                self.clock_state(channel, (id, absolute), timeout, started)
            }
            Some(Subscribed::Read(fd)) => self.read_state(fd),
            Some(Subscribed::Write(fd)) => self.write_state(fd),
            None => State::Happened(Happened::error(Errno::INVAL)),
        }
    }

    fn clock_state(&self, channel: &mut dyn Channel, (id, absolute): (u32, bool), timeout: u64, started: u64) -> State {
        let clock = match clock_untrusted(id) {
            Ok(clock) => clock,
            Err(errno) => return State::Happened(Happened::error(errno)),
        };
        // A duration is measured on the monotonic clock, whichever clock it is said for: nobody sets that one back.
        let (clock, time) = match absolute {
            true => (clock, timeout),
            false if timeout == 0 => return State::Happened(Happened::default()),
            false => (Clock::Monotonic, started.saturating_add(timeout)),
        };
        let now = self.clocks.precise(channel, clock);
        match self.clocks.tick_at(time).saturating_sub(now) {
            0 => State::Happened(Happened::default()),
            ns => State::After(ns),
        }
    }

    fn read_state(&self, fd: u32) -> State {
        let (target, offset) = match self.readable(fd, right::FD_READ) {
            Ok(found) => found,
            Err(errno) => return State::Happened(Happened::error(errno)),
        };
        match target {
            Target::Input if self.origin.available() > 0 => ready(self.origin.available() as u64, 0),
            Target::Input if self.origin.input_ended() => ready(0, HANGUP),
            Target::Input => State::Coming,
            Target::Node(id, _) => {
                let size = self.files.stat(id).map_or(0, |stat| stat.size);
                ready(size.saturating_sub(offset), 0)
            }
            Target::Output | Target::Log => State::Happened(Happened::error(Errno::BADF)),
        }
    }

    fn write_state(&self, fd: u32) -> State {
        let (target, _) = match self.readable(fd, right::FD_WRITE) {
            Ok(found) => found,
            Err(errno) => return State::Happened(Happened::error(errno)),
        };
        match target {
            Target::Output if self.origin.output_ended() => ready(0, HANGUP),
            Target::Output if self.origin.writable() > 0 => ready(self.origin.writable(), 0),
            Target::Output => State::Coming,
            Target::Log | Target::Node(..) => ready(PLENTY, 0),
            Target::Input => State::Happened(Happened::error(Errno::BADF)),
        }
    }

    fn readable(&self, fd: u32, rights: u64) -> Result<(Target, u64), Errno> {
        let descriptor = self.table.get(fd)?;
        if !matches!(descriptor.target, Target::Node(_, Kind::Directory)) {
            descriptor.check(rights)?;
        }
        Ok((descriptor.target, descriptor.offset))
    }
}

fn ready(bytes: u64, flags: u16) -> State {
    State::Happened(Happened { errno: 0, bytes, flags })
}

/// Both lists lie in the memory, all of them.
fn check_lists(memory: &[u8], lists: Lists) -> Outcome<()> {
    let last = lists.count - 1;
    subscription(memory, lists.subscriptions, last, lists.layout)?;
    let end = memory::offset(lists.events, u64::from(last) * EVENT + (EVENT - 8))?;
    memory::get_u64(memory, end)?;
    Ok(())
}

#[cfg(test)]
#[path = "wasi_poll_tests.rs"]
mod tests;
