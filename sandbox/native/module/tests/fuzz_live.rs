//! Generated programs, stopped and continued: the short fixed run of the tests, and the long one of `make fuzz`.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

mod common;

use common::plain::plain;
use common::running::Running;
use common::stopped::{Stopped, always, block, never};
use common::{Dice, generate, quick_engines};
use gatebus_module::{Loops, Suspendable};
use std::time::{Duration, Instant};
use wasmtime::{Engine, FuncType, Module, Val};

/// Stops that the fixed run takes at least.
const STOPS: usize = 100_000;
/// Functions of a module of wasm-smith that are called, each in an instance of its own.
const CALLS: usize = 3;
/// Stops of one run; behind them it goes on undisturbed. With 500 instead of 300 the fixed run takes its stops of a tenth
/// fewer programs: compiling is two thirds of its time, and `make fuzz` has other programs for as long as asked.
const STOPS_OF_A_RUN: usize = 500;
/// Runs of one program that are disturbed at random, each in its own way, and stops after which it is enough of them. The continuations of the earlier runs are
/// there already: compiling costs fifty times as much as stopping.
const RUNS: u64 = 300;
const STOPS_OF_A_PROGRAM: usize = 8_000;
/// A run with fewer stops costs more than it shows: on to the next program.
const FEW: usize = 8;

/// All the ways in which one program is disturbed; the number of stops.
fn try_program(seed: u64, program: Suspendable<'_>, call: (&[u8], &str, &[Val]), engines: &[Engine]) -> usize {
    let (wasm, entry, arguments) = call;
    let expected = plain(&engines[0], wasm, entry, arguments);
    let mut stopped = Stopped::of(program, engines);
    assert_eq!(stopped.run(entry, arguments, &mut never), expected, "seed {seed}, {entry}, never stopped");
    let mut first = |running: &mut Running, leg: usize| {
        if leg < STOPS_OF_A_RUN { always(running, leg) } else { never(running, leg) }
    };
    assert_eq!(stopped.run(entry, arguments, &mut first), expected, "seed {seed}, {entry}, stopped at every visit");
    let mut blocking = |running: &mut Running, leg: usize| {
        if leg < STOPS_OF_A_RUN { block(running, leg) } else { never(running, leg) }
    };
    assert_eq!(stopped.run(entry, arguments, &mut blocking), expected, "seed {seed}, {entry}, every host call blocks");
    for run in 0..RUNS {
        let before = stopped.legs;
        let mut dice = Dice(seed + run * 77_777 + 1);
        let sites = stopped.program.table().sites.len() as u32 + 1;
        let mut random = |running: &mut Running, leg: usize| {
            running.withdraw();
            running.store.data_mut().block = None;
            if leg < STOPS_OF_A_RUN {
                running.store.data_mut().block = (dice.roll(4) == 0).then(|| dice.roll(3));
                let share = 1 + dice.roll(4);
                (0..sites).filter(|_| dice.roll(share) == 0).for_each(|site| running.request_one(site as usize));
            }
        };
        assert_eq!(
            stopped.run(entry, arguments, &mut random),
            expected,
            "seed {seed}, {entry}, stopped at random ({run})"
        );
        if stopped.legs >= STOPS_OF_A_PROGRAM || stopped.legs < before + FEW {
            break;
        }
    }
    if std::env::var("GATEBUS_FUZZ_VERBOSE").is_ok() {
        println!(
            "seed {seed}: {:?} {} stops {} continuations",
            expected.results,
            stopped.legs,
            stopped.continuations()
        );
    }
    stopped.legs
}

fn try_seed(seed: u64, engines: &[Engine]) -> usize {
    let wat = generate::program(seed);
    let wasm = wat::parse_str(&wat).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{wat}"));
    // Both searchers, of the odd and of the even seeds, come by all of them.
    let loops = [Loops::Usual, Loops::Outermost, Loops::Never][(seed / 2 % 3) as usize];
    let program = Suspendable::entered_untrusted(&wasm, loops).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    try_program(seed, program, (&wasm, "run", &[]), engines)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// How long the search lasts; without that a fixed run.
fn end() -> Option<Instant> {
    number("GATEBUS_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds))
}

/// Two searchers, of the odd and of the even seeds, so that the run is the same however many processors there are.
#[test]
fn fuzz_generated_programs() {
    let engines = quick_engines();
    let first = number("GATEBUS_FUZZ_SEED").unwrap_or(1);
    let end = end();
    let search = |first: u64| {
        let (mut stops, mut seed) = (0, first);
        while end.map_or(stops < STOPS / 2, |end| Instant::now() < end) {
            stops += try_seed(seed, &engines);
            seed += 2;
        }
        ((seed - first) / 2, stops)
    };
    let ((odd, some), (even, others)) = std::thread::scope(|scope| {
        let odd = scope.spawn(|| search(first));
        let even = search(first + 1);
        (odd.join().unwrap(), even)
    });
    println!("{} programs from seed {first} on, {} stops", odd + even, some + others);
    assert!(end.is_some() || some + others >= STOPS);
}

/// The modules of sandbox/native/smith, made by wasm-smith: a file of them is kept for the tests, `make fuzz` has new ones made.
fn smith() -> Vec<Vec<u8>> {
    let file = std::env::var("GATEBUS_SMITH").map(|path| std::fs::read(path).unwrap());
    let bytes = file.unwrap_or_else(|_| include_bytes!("programs/smith.bin").to_vec());
    let mut rest = bytes.as_slice();
    let mut modules = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (module, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
        modules.push(module.to_vec());
        rest = behind;
    }
    modules
}

/// The first functions that a module exports, called with ones.
fn calls(wasm: &[u8], engine: &Engine) -> Vec<(String, Vec<Val>)> {
    let module = Module::new(engine, wasm).unwrap();
    let functions = module.exports().filter_map(|export| Some((export.name().to_owned(), export.ty().func()?.clone())));
    let arguments = |ty: &FuncType| ty.params().map(|ty| common::world::value(&ty, 1)).collect();
    functions.take(CALLS).map(|(name, ty)| (name, arguments(&ty))).collect()
}

#[test]
fn fuzz_modules_of_wasm_smith() {
    let engines = quick_engines();
    let (modules, end) = (smith(), end());
    let (mut stops, mut refused, mut tried) = (0, 0, 0);
    for (number, wasm) in modules.iter().enumerate() {
        if end.is_some_and(|end| Instant::now() > end) {
            break;
        }
        tried += 1;
        for (name, arguments) in calls(wasm, &engines[0]) {
            match Suspendable::new_untrusted(wasm) {
                Ok(program) => stops += try_program(number as u64, program, (wasm, &name, &arguments), &engines),
                Err(why) => {
                    refused += 1;
                    assert!(why.to_string().contains("exception"), "module {number}: {why}");
                    break;
                }
            }
        }
    }
    println!("{tried} modules of wasm-smith, {stops} stops, {refused} modules cannot be suspended");
    assert!(refused * 4 < tried, "{refused} of {tried} modules refused");
}
