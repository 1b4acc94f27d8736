//! The whole rewriting under modules of broken bytes: it never panics, refuses, or makes valid modules. The fixed run of the tests, and the long one of
//! `make fuzz`.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

mod common;

use common::{Dice, generate};
use gatebus_module::{ACCEPTED, Guide, Refused, Suspendable};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};
use wasmparser::{Parser, Payload, Validator};

const ROUNDS: usize = 3_000;
/// Sites of a module for which a continuation is made.
const SITES: u32 = 5;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        include_str!("programs/constructs.wat"),
        include_str!("programs/segments.wat"),
        include_str!("programs/exceptions.wat"),
        include_str!("programs/tails.wat"),
        include_str!("programs/arms.wat"),
    ];
    let programs = texts.into_iter().map(str::to_owned).chain((1..25).map(generate::program));
    programs.map(|text| wat::parse_str(text).unwrap()).collect()
}

/// Where functions' bodies are: what is broken elsewhere is nearly always no module any more.
fn code(wasm: &[u8]) -> (usize, usize) {
    let payloads = Parser::new(0).parse_all(wasm).map(Result::unwrap);
    let range = payloads.into_iter().find_map(|payload| match payload {
        Payload::CodeSectionStart { range, .. } => Some((range.start, range.end)),
        _ => None,
    });
    range.unwrap_or((0, wasm.len()))
}

/// Bytes changed in place, taken from elsewhere, left out or doubled.
fn broken(seed: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut wasm = seed.to_vec();
    let (start, end) = if dice.roll(4) > 0 { code(seed) } else { (8, seed.len()) };
    for _ in 0..=dice.roll(2) {
        let at = (start + dice.roll((end - start) as u32) as usize).min(wasm.len() - 1);
        let from = dice.roll(wasm.len() as u32) as usize;
        match dice.roll(8) {
            0 => wasm[at] = dice.roll(256) as u8,
            1 => wasm[at] ^= 1 << dice.roll(8),
            2 => wasm[at] = wasm[at].wrapping_add(1),
            3 => wasm[at] = wasm[from],
            // An operator for another of its size: constants, locals, branches, arithmetic.
            4 => {
                wasm[at] =
                    [0x00, 0x01, 0x0c, 0x0d, 0x0f, 0x1a, 0x1b, 0x20, 0x21, 0x22, 0x45, 0x6a][dice.roll(12) as usize]
            }
            5 => wasm.swap(at, from),
            6 => drop(wasm.remove(at)),
            _ => wasm.insert(at, wasm[from]),
        }
    }
    wasm
}

/// Counts what was made of it.
fn rewrite(wasm: &[u8], dice: &mut Dice, [valid, refused, suspendable]: &mut [usize; 3]) {
    let is_valid = Validator::new_with_features(ACCEPTED).validate_all(wasm).is_ok();
    *valid += usize::from(is_valid);
    let program = match Suspendable::new_untrusted(wasm) {
        Ok(program) => program,
        Err(why) => {
            assert_eq!(matches!(why, Refused::Invalid(_)), !is_valid, "{why}");
            assert!(!why.to_string().is_empty());
            *refused += 1;
            return;
        }
    };
    assert!(is_valid);
    *suspendable += 1;
    Validator::new().validate_all(program.wasm()).unwrap();
    let count = program.table().sites.len() as u32;
    let sites: BTreeSet<u32> = (0..SITES.min(count)).map(|_| dice.roll(count)).collect();
    let continuation = program.continuation_untrusted(&sites).unwrap();
    Validator::new_with_features(ACCEPTED).validate_all(&continuation).unwrap();
    let guide = program.guide_untrusted(&sites).unwrap();
    assert_eq!(Guide::decode_untrusted(&guide.encode()), Ok(guide));
}

#[test]
fn fuzz_modules_of_broken_bytes() {
    let seed = number("GATEBUS_FUZZ_SEED").unwrap_or(1);
    let end = number("GATEBUS_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seeds = seeds();
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (mut counts, mut round) = ([0; 3], 0);
    while end.map_or(round < ROUNDS, |end| Instant::now() < end) {
        let wasm = broken(&seeds[dice.roll(seeds.len() as u32) as usize], &mut dice);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| rewrite(&wasm, &mut dice, &mut counts))) {
            let hex: String = wasm.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("the module was {hex}");
            resume_unwind(panic);
        }
        round += 1;
    }
    let [valid, refused, suspendable] = counts;
    println!("{round} modules: {valid} valid, {refused} refused, {suspendable} rewritten");
    assert!(end.is_some() || (suspendable > ROUNDS / 20 && refused > ROUNDS / 20));
}
