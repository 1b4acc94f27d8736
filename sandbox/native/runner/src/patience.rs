//! How often a program looks for input before it sleeps. Words: no call is made here; `channel` does what this says.
//!
//! Waking a process whose processor is halted takes 15 to 40 us, and the waker pays for it; in a conversation of short
//! messages that is most of a round trip. So a program that is being answered quickly looks again, gives the processor
//! away, looks again ... and sleeps only when nothing comes. It must not cost others anything: it begins with one look,
//! each sleep that was short doubles them, and a long one, or looking to the end in vain, puts an end to it. Who gives a
//! processor away that others want gets it back milliseconds later: then it sleeps, which makes waking it urgent again.
//! There is no clock but the coarse one (layer "tsc"), whose ticks are 1 to 10 ms.

/// Looks before a sleep at most: 200 us, in which an answer of a client on this machine comes. 64 missed it, 128 did
/// where others used the machine.
const MOST: u32 = 256;
/// Waits without a look after two in a row in which the clock ticked while it looked (one may be chance): 0.1 s of a
/// conversation, for the 10 ms that finding it out again costs.
const REST: u32 = 1_000;
/// Looks for each millisecond of the program's CPU time: a look takes about 1 us, so at most an eighth goes to looking.
const LOOKS_PER_MS: u64 = 125;

/// One program's.
#[derive(Debug)]
pub struct Patience {
    looks: u32,
    /// The clock ticked while it looked last time.
    ticked: bool,
    /// Waits that are still to pass without a look.
    rest: u32,
    /// Of all that it will ever make.
    left: u64,
}

impl Patience {
    /// `cpu_ms`: the program's limit of CPU time, 0 is none.
    pub fn new(cpu_ms: u32) -> Patience {
        let left = if cpu_ms == 0 { u64::MAX } else { u64::from(cpu_ms) * LOOKS_PER_MS };
        Patience { looks: 1, ticked: false, rest: 0, left }
    }

    /// How often to look now.
    pub fn looks(&self) -> u32 {
        if self.rest > 0 { 0 } else { self.looks.min(u32::try_from(self.left).unwrap_or(MOST)) }
    }

    /// So often it was looked; the first tick of the clock ends it.
    pub fn looked(&mut self, looks: u32, found: bool, ticked: bool) {
        self.left -= u64::from(looks).min(self.left);
        if !found && looks >= MOST {
            self.looks = 0;
        }
        if ticked && self.ticked {
            self.rest = REST;
        }
        self.ticked = ticked;
    }

    /// Then it slept.
    pub fn slept(&mut self, ticked: bool) {
        self.rest = self.rest.saturating_sub(1);
        self.looks = if ticked { 1 } else { (self.looks * 2).clamp(1, MOST) };
    }
}

#[cfg(test)]
mod tests {
    use super::{LOOKS_PER_MS, MOST, Patience, REST};

    /// Waits that are answered while it sleeps, within a tick.
    fn short_waits(patience: &mut Patience, count: u32) {
        for _ in 0..count {
            let looks = patience.looks();
            patience.looked(looks, false, false);
            patience.slept(false);
        }
    }

    #[test]
    fn a_program_that_waits_seldom_looks_once_and_sleeps() {
        let mut patience = Patience::new(1000);
        for _ in 0..10 {
            assert_eq!(patience.looks(), 1);
            patience.looked(1, false, false);
            patience.slept(true);
        }
    }

    #[test]
    fn short_sleeps_double_the_looks_up_to_a_bound() {
        let mut patience = Patience::new(0);
        let seen: Vec<u32> = (0..10)
            .map(|_| {
                let looks = patience.looks();
                patience.looked(looks, looks == MOST, false);
                if looks < MOST {
                    patience.slept(false);
                }
                looks
            })
            .collect();
        assert_eq!(seen, [1, 2, 4, 8, 16, 32, 64, 128, MOST, MOST]);
    }

    #[test]
    fn what_was_found_while_looking_keeps_it_looking() {
        let mut patience = Patience::new(0);
        short_waits(&mut patience, MOST.ilog2());
        for _ in 0..100 {
            assert_eq!(patience.looks(), MOST);
            patience.looked(3, true, false);
        }
    }

    #[test]
    fn looking_to_the_end_in_vain_begins_anew_even_when_the_sleep_was_short() {
        let mut patience = Patience::new(0);
        short_waits(&mut patience, MOST.ilog2());
        assert_eq!(patience.looks(), MOST);
        short_waits(&mut patience, 1);
        assert_eq!(patience.looks(), 1);
    }

    #[test]
    fn a_long_sleep_begins_anew() {
        let mut patience = Patience::new(0);
        short_waits(&mut patience, 4);
        patience.slept(true);
        assert_eq!(patience.looks(), 1);
    }

    #[test]
    fn where_others_need_the_processor_it_rests_for_many_waits() {
        let mut patience = Patience::new(0);
        short_waits(&mut patience, MOST.ilog2());
        patience.looked(1, false, true);
        assert_eq!(patience.looks(), MOST, "one tick may be chance");
        patience.looked(1, false, true);
        for _ in 0..REST {
            assert_eq!(patience.looks(), 0);
            patience.slept(false);
        }
        assert_eq!(patience.looks(), MOST);
    }

    #[test]
    fn ticks_that_are_not_in_a_row_are_chance() {
        let mut patience = Patience::new(0);
        short_waits(&mut patience, MOST.ilog2());
        for _ in 0..10 {
            patience.looked(1, true, true);
            patience.looked(1, true, false);
        }
        assert_eq!(patience.looks(), MOST);
    }

    #[test]
    fn all_looks_together_are_bounded_by_a_share_of_the_cpu_time() {
        let mut patience = Patience::new(2);
        let mut total = 0;
        for _ in 0..1000 {
            let looks = patience.looks();
            total += u64::from(looks);
            patience.looked(looks, true, false);
            patience.slept(false);
        }
        assert_eq!(total, 2 * LOOKS_PER_MS);
        assert_eq!(patience.looks(), 0);
    }

    #[test]
    fn without_a_limit_of_cpu_time_there_is_none_of_looks() {
        let mut patience = Patience::new(0);
        for _ in 0..10_000 {
            let looks = patience.looks();
            patience.looked(looks, true, false);
            patience.slept(false);
        }
        assert_eq!(patience.looks(), MOST);
    }
}
