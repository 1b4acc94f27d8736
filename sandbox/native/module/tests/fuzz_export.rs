//! Generated programs, stopped at random, exported, finished by an ordinary engine; and states that nobody left: refused, or a valid module. The fixed
//! run of the tests, and the long one of `make fuzz`.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

mod common;

use common::exported::{all_finish, export};
use common::plain::plain;
use common::running::Running;
use common::stopped::{Stopped, never};
use common::{Dice, generate, quick_engines};
use std::time::{Duration, Instant};
use wasmtime::{Engine, Module};

/// Programs of the fixed run, of each so many modules that are run and so many broken states.
const PROGRAMS: u64 = 8;
const MODULES: usize = 4;
const BROKEN: u32 = 60;
const BROKEN_PROGRAMS: u64 = 4;
const STOPS: usize = 100;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Stops at random places and host calls, with the states.
fn stopped<'a>(wasm: &'a [u8], engines: &[Engine], dice: &mut Dice) -> Stopped<'a> {
    let mut stopped = Stopped::new(wasm, engines);
    stopped.keep = true;
    let sites = stopped.program.table().sites.len() as u32 + 1;
    let mut random = |running: &mut Running, leg: usize| {
        never(running, leg);
        running.store.data_mut().block = None;
        if leg < STOPS {
            running.store.data_mut().block = (dice.roll(4) == 0).then(|| dice.roll(3));
            let share = 1 + dice.roll(4);
            (0..sites).filter(|_| dice.roll(share) == 0).for_each(|site| running.request_one(site as usize));
        }
    };
    stopped.run("run", &[], &mut random);
    stopped
}

#[test]
fn fuzz_exported_programs() {
    let engines = quick_engines();
    let first = number("GATEBUS_FUZZ_SEED").unwrap_or(1);
    let end = number("GATEBUS_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (mut modules, mut seed) = (0, first);
    while end.map_or(seed < first + PROGRAMS, |end| Instant::now() < end) {
        println!("seed {seed}");
        let wasm = wat::parse_str(generate::program(seed)).unwrap();
        let expected = plain(&engines[0], &wasm, "run", &[]);
        let mut dice = Dice(seed * 77_777 + 1);
        let once = stopped(&wasm, &engines, &mut dice);
        let exported = all_finish(&once, &engines, ("run", &[]), &expected, (MODULES, &mut dice));
        // The last one is stopped and exported in its turn.
        if let Some(module) = exported.last() {
            let expected = plain(&engines[0], module, "run", &[]);
            let twice = stopped(module, &engines, &mut dice);
            modules += all_finish(&twice, &engines, ("run", &[]), &expected, (1, &mut dice)).len();
        }
        modules += exported.len();
        seed += 1;
    }
    println!("{} programs, {modules} modules", seed - first);
    assert!(end.is_some() || modules as u64 > PROGRAMS * 3);
}

/// Any bytes: what is not refused has been validated by the library, and the engine takes it, too.
#[test]
fn fuzz_states_that_nobody_left() {
    let engines = quick_engines();
    let first = number("GATEBUS_FUZZ_SEED").unwrap_or(1);
    let end = number("GATEBUS_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (mut made, mut refused, mut seed) = (0, 0, first);
    while end.map_or(seed < first + BROKEN_PROGRAMS, |end| Instant::now() < end) {
        let wasm = wat::parse_str(generate::program(seed)).unwrap();
        let mut dice = Dice(seed * 77_777 + 3);
        let once = stopped(&wasm, &engines[..1], &mut dice);
        for _ in 0..if once.kept.is_empty() { 0 } else { BROKEN } {
            let place = dice.roll(once.kept.len() as u32) as usize;
            let mut bytes = once.kept[place].clone();
            for _ in 0..=dice.roll(3) {
                // Where frames, globals and tables are; behind them is mostly memory, where anything goes.
                let within = if dice.roll(4) > 0 { 300 } else { u32::MAX };
                let at = dice.roll(within.min(bytes.len() as u32)) as usize;
                bytes[at] = [0, 1, 0xff, bytes[at] ^ (1 << dice.roll(8))][dice.roll(4) as usize];
            }
            match export(&once.program, &bytes, &once.firsts[place]) {
                Err(_) => refused += 1,
                Ok(module) => {
                    Module::validate(&engines[0], &module).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                    made += 1;
                }
            }
        }
        seed += 1;
    }
    println!("{made} modules, {refused} refused");
    assert!(end.is_some() || (made > 30 && refused > 30));
}
