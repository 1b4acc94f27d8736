//! A deterministic fuzzer for decoders: takes good inputs, breaks them in the ways that break parsers, calls the target.
//!
//! Ordinary tests run a fixed number of rounds from a fixed seed, so that they say the same everywhere. `make fuzz` sets
//! `GATEBUS_FUZZ_SECONDS` (how long each target runs) and `GATEBUS_FUZZ_SEED` (where it starts). What lost: a coverage
//! guided fuzzer, which needs a nightly compiler and a second build of everything.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

/// Values at which decoders change their minds: zero, limits of the packet protocol, signs, overflows.
const NUMBERS: [u32; 16] =
    [0, 1, 7, 8, 9, 15, 16, 127, 128, 255, 65_535, 65_536, 65_537, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/// Longer inputs only repeat what shorter ones do; every decoder refuses them by size first.
const LONGEST: usize = 1 << 17;

/// Breaks inputs; the same seed breaks them the same way.
#[derive(Debug)]
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// Any seed will do.
    pub fn new(seed: u64) -> Mutator {
        Mutator { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// A number below `bound`, or 0 when that is 0 (xorshift64*: no crate is worth it here).
    pub fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let number = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or(0) % bound.max(1)
    }

    /// `input` with one to four things broken; pieces of `other` may appear in it.
    pub fn mutate(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(4) {
            self.break_once(&mut bytes, other);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn break_once(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let (from, to) = self.range(bytes.len());
        match self.below(8) {
            0 => self.change(bytes, |byte, random| byte ^ (1 << (random % 8))),
            1 => self.change(bytes, |_, random| random),
            2 => self.overwrite_number(bytes),
            3 => bytes.truncate(from),
            4 => drop(bytes.drain(from..to)),
            5 => {
                let copy = bytes[from..to].to_vec();
                bytes.splice(from..from, copy);
            }
            6 => {
                let (start, end) = self.range(other.len());
                bytes.splice(from..to, other[start..end].iter().copied());
            }
            _ => bytes.insert(from, u8::try_from(self.below(256)).unwrap_or(0)),
        }
    }

    fn range(&mut self, length: usize) -> (usize, usize) {
        let from = self.below(length + 1);
        (from, from + self.below((length - from).min(64) + 1))
    }

    fn change(&mut self, bytes: &mut [u8], how: impl Fn(u8, u8) -> u8) {
        let (at, random) = (self.below(bytes.len()), u8::try_from(self.below(256)).unwrap_or(0));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = how(*byte, random);
        }
    }

    fn overwrite_number(&mut self, bytes: &mut [u8]) {
        let at = self.below(bytes.len());
        let number = NUMBERS[self.below(NUMBERS.len())].to_le_bytes();
        let width = [1, 2, 4][self.below(3)];
        for (place, byte) in bytes.iter_mut().skip(at).take(width).zip(number) {
            *place = byte;
        }
    }
}

/// Calls the target with each seed, then with broken ones: `rounds` of them, or for GATEBUS_FUZZ_SECONDS.
///
/// A panic of the target is passed on, after the input that caused it was printed.
pub fn campaign(seeds: &[Vec<u8>], rounds: u64, mut target: impl FnMut(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let until = number("GATEBUS_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut mutator = Mutator::new(number("GATEBUS_FUZZ_SEED").unwrap_or(1));
    seeds.iter().for_each(|seed| attempt(seed, &mut target));
    let mut round = 0;
    while until.map_or(round < rounds, |until| Instant::now() < until) {
        let (one, other) = (mutator.below(seeds.len()), mutator.below(seeds.len()));
        attempt(&mutator.mutate(&seeds[one], &seeds[other]), &mut target);
        round += 1;
    }
}

fn attempt(input: &[u8], target: &mut impl FnMut(&[u8])) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("the input was {hex}");
        resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_breaks_in_the_same_way() {
        let make = |seed| {
            let mut mutator = Mutator::new(seed);
            (0..50).map(|_| mutator.mutate(b"some input", b"another one")).collect::<Vec<_>>()
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }

    #[test]
    fn every_seed_and_every_round_reaches_the_target() {
        let mut inputs = Vec::new();
        campaign(&[b"one".to_vec(), b"two".to_vec()], 100, |input| inputs.push(input.to_vec()));
        if std::env::var_os("GATEBUS_FUZZ_SECONDS").is_none() {
            assert_eq!(inputs.len(), 102);
        }
        assert_eq!(inputs[..2], [b"one".to_vec(), b"two".to_vec()]);
        assert!(inputs[2..].iter().any(|input| input.len() > 3));
        assert!(inputs[2..].iter().any(|input| input.len() < 3));
    }

    #[test]
    fn nothing_to_break_is_no_problem() {
        let mut mutator = Mutator::new(1);
        assert!((0..1000).all(|_| mutator.mutate(b"", b"").len() <= 4));
    }

    #[test]
    #[should_panic(expected = "found it")]
    fn what_the_target_cannot_bear_is_passed_on() {
        campaign(&[b"\0".to_vec()], 10_000, |input| assert!(input.len() < 3, "found it"));
    }
}
