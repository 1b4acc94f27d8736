//! What a guest sees of time: ticks of the resolution that the host chose, and never a wake-up between two ticks.
//!
//! Waking up only at ticks keeps two promises at once: a sleep is never shorter than asked, as seen by the guest's own
//! clock, and a guest cannot tell time more finely by sleeping than by looking.

use crate::{Channel, Clock};

const SECOND: u64 = 1_000_000_000;
/// Gate's upper bound of a resolution, and ours.
const COARSEST: u64 = SECOND;

/// What no monotonic clock shows, in 146 years: sums with it have room.
const LATEST: u64 = 1 << 62;

/// Where the ticks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ticks {
    /// At multiples of the resolution.
    Every(u64),
    /// Within each second at multiples of a power of two, as Gate's mask makes them.
    Masked(u64),
}

/// The guest's clocks.
#[derive(Debug)]
pub(crate) struct Clocks {
    ticks: Ticks,
    /// The channel's monotonic clock when the guest's shows `base`: the host's uptime is nobody's business.
    zero: u64,
    /// One second at the start: zero means "no time" to some programs. Later what was saved.
    base: u64,
}

impl Clocks {
    /// Ticks at multiples of the resolution (ns); the monotonic clock starts at one second.
    pub(crate) fn every(resolution: u64, started: u64) -> Clocks {
        Clocks { ticks: Ticks::Every(resolution.clamp(1, COARSEST)), zero: started, base: SECOND }
    }

    /// Ticks as Gate has them: the next power of two above the resolution.
    pub(crate) fn masked(resolution: u64, started: u64) -> Clocks {
        let bits = u64::BITS - resolution.clamp(1, COARSEST).leading_zeros();
        Clocks { ticks: Ticks::Masked(1 << bits), zero: started, base: SECOND }
    }

    /// The monotonic clock as it is saved: the next tick, so that it never goes back, however coarse the clock is of whoever
    /// goes on.
    pub(crate) fn saved(&self, channel: &mut dyn Channel) -> u64 {
        self.tick_at(self.precise(channel, Clock::Monotonic))
    }

    /// The monotonic clock shows at least this from the start on. None: no program's clock ever showed it.
    pub(crate) fn resumed_untrusted(self, saved: u64) -> Option<Clocks> {
        let base = self.tick_at(saved);
        (SECOND..LATEST).contains(&saved).then_some(Clocks { base, ..self })
    }

    /// What `clock_res_get` says.
    pub(crate) fn resolution(&self) -> u64 {
        match self.ticks {
            Ticks::Every(resolution) => resolution,
            Ticks::Masked(resolution) => resolution.min(COARSEST),
        }
    }

    /// The guest's clock as precise as we know it. Only for waiting: the guest sees [`Clocks::now`].
    pub(crate) fn precise(&self, channel: &mut dyn Channel, clock: Clock) -> u64 {
        let now = channel.clock(clock);
        match clock {
            Clock::Realtime => now,
            Clock::Monotonic => now.saturating_sub(self.zero).saturating_add(self.base),
        }
    }

    /// The last tick.
    pub(crate) fn now(&self, channel: &mut dyn Channel, clock: Clock) -> u64 {
        let now = self.precise(channel, clock);
        match self.ticks {
            Ticks::Every(resolution) => now - now % resolution,
            Ticks::Masked(resolution) => now - now % SECOND + ((now % SECOND) & !(resolution - 1)),
        }
    }

    /// The first tick at or after this time: when a wait for it ends.
    pub(crate) fn tick_at(&self, time: u64) -> u64 {
        match self.ticks {
            Ticks::Every(resolution) => time.checked_next_multiple_of(resolution).unwrap_or(u64::MAX),
            Ticks::Masked(resolution) => {
                let second = time - time % SECOND;
                let within = (time % SECOND).next_multiple_of(resolution).min(SECOND);
                second.saturating_add(within)
            }
        }
    }
}

#[cfg(test)]
#[path = "time_tests.rs"]
mod tests;
