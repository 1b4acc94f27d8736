//! A state from outside: whatever its bytes are, it is refused, or it is a run inside the engine that ends. Nothing of the library panics.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

mod common;

use common::running::Running;
use common::stopped::Stopped;
use common::{Dice, generate, quick_engines};
use gatebus_module::{
    BadFrames, FUNCTIONS, GLOBAL, Guide, PROGRAM, REFERENCES, State, Suspendable, TABLE, continue_untrusted,
    read_untrusted, sites_of,
};
use std::collections::{BTreeMap, BTreeSet};
use wasmtime::{Engine, Extern, Instance, Module};

/// One program with its continuations, as a host keeps them.
struct Host<'a> {
    program: Suspendable<'a>,
    engine: Engine,
    module: Module,
    compiled: BTreeMap<BTreeSet<u32>, (Module, Guide)>,
}

/// What became of a state.
#[derive(Debug, Default)]
struct Ends {
    refused: usize,
    ran: usize,
}

impl<'a> Host<'a> {
    fn new(wasm: &'a [u8]) -> Host<'a> {
        let program = Suspendable::new_untrusted(wasm).unwrap();
        let [engine, _] = quick_engines();
        let module = Module::new(&engine, program.wasm()).unwrap();
        Host { program, engine, module, compiled: BTreeMap::new() }
    }

    /// The whole way of bytes from outside.
    fn go_on(&mut self, bytes: &[u8], first: &[u8]) -> Result<(), &'static str> {
        let state = State::decode_untrusted(bytes).map_err(|bad| bad.text)?;
        let text = |bad: BadFrames| bad.text;
        let frames = read_untrusted(self.program.table(), &state.frames).map_err(text)?;
        let sites = sites_of(&frames);
        if !self.compiled.contains_key(&sites) {
            let wasm = self.program.continuation_untrusted(&sites).map_err(text)?;
            let guide = self.program.guide_untrusted(&sites).map_err(text)?;
            self.compiled.insert(sites.clone(), (Module::new(&self.engine, wasm).unwrap(), guide));
        }
        let (continuation, guide) = &self.compiled[&sites];
        let frames = guide.read_untrusted(&state.frames).map_err(text)?;
        guide.check_untrusted(state.call(), &frames, state.references.len()).map_err(text)?;
        let mut running = Running::new(&self.engine, &self.module).map_err(|_| "no instance")?;
        fits(&mut running, &state, first)?;
        running.restore(&state, first);
        running.write_frames(&guide.write_frames(&frames).map_err(text)?);
        let import = |name: &str, running: &mut Running| running.instance.get_export(&mut running.store, name).unwrap();
        let hidden: Vec<Extern> = continuation
            .imports()
            .map(|import_of| {
                assert_eq!(import_of.module(), PROGRAM);
                import(import_of.name(), &mut running)
            })
            .collect();
        let instance = Instance::new(&mut running.store, continuation, &hidden).unwrap();
        let resume = instance.get_func(&mut running.store, guide.resume_name(&frames).unwrap()).unwrap();
        // Also a trap is an end, and that of the watch.
        running.store.set_epoch_deadline(2);
        _ = running.call_function(resume, &[]);
        Ok(())
    }
}

/// What a host asks of the instance before it puts the state into it.
fn fits(running: &mut Running, state: &State, first: &[u8]) -> Result<(), &'static str> {
    let own = running.capture(state.phase, "run");
    let functions = running.instance.get_table(&mut running.store, FUNCTIONS);
    let functions = functions.map_or(0, |table| table.size(&running.store)) as u32;
    let known = |number: &u32| *number <= functions;
    let same_globals = own
        .globals
        .iter()
        .map(|global| (global.number, global.ty))
        .eq(state.globals.iter().map(|global| (global.number, global.ty)));
    let references = state.globals.iter().filter(|global| global.ty == gatebus_module::Scalar::Function);
    let sound = same_globals
        && references.into_iter().all(|global| global.bits <= u128::from(functions))
        && own.tables.iter().map(|table| table.number).eq(state.tables.iter().map(|table| table.number))
        && own
            .tables
            .iter()
            .zip(&state.tables)
            .all(|(own, table)| table.entries.len() >= own.entries.len() && table.entries.len() <= 12)
        && state.tables.iter().flat_map(|table| &table.entries).all(known)
        && state.references.len() <= 1000
        && state.references.iter().all(known)
        && (running.instance.get_table(&mut running.store, REFERENCES).is_some() || state.references.is_empty())
        && own.memories.len() == state.memories.len()
        && own.memories.iter().zip(&state.memories).all(|(own, memory)| memory.pages >= own.pages && memory.pages <= 3)
        && (state.pages as usize) << 16 == first.len()
        && state.dropped_data.iter().all(|segment| running.exports(&format!("gatebus:data.drop:{segment}")))
        && state.dropped_elements.iter().all(|segment| running.exports(&format!("gatebus:elem.drop:{segment}")))
        && std::str::from_utf8(&state.world).is_ok();
    let tables = state.tables.iter().all(|table| running.exports(&format!("{TABLE}{}", table.number)));
    let globals = state.globals.iter().all(|global| running.exports(&format!("{GLOBAL}{}", global.number)));
    // The limits of the memories and tables of these programs are those of the generator.
    if sound && tables && globals && tables_within(state) { Ok(()) } else { Err("it does not fit the program") }
}

fn tables_within(state: &State) -> bool {
    let most = |number: u32| if number == 1 { 8 } else { 12 };
    state.tables.iter().all(|table| table.entries.len() <= most(table.number))
}

/// States of one run of a generated program, with what memory 0 held.
fn states(wasm: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let engines = quick_engines();
    let mut stopped = Stopped::new(wasm, &engines[..1]);
    let found = std::cell::RefCell::new(Vec::new());
    let mut note = |running: &mut Running, leg: usize| {
        running.withdraw();
        if leg < 40 {
            running.request();
        }
        // Between the start function and the entry it is asked once more without a stop.
        if leg > found.borrow().len() {
            let memory = running.memory(0).unwrap().data(&running.store).to_vec();
            found.borrow_mut().push(memory);
        }
    };
    let mut all = Vec::new();
    stopped.keep = true;
    stopped.run("run", &[], &mut note);
    for (state, memory) in stopped.kept.iter().zip(found.borrow().iter()) {
        all.push((state.clone(), memory.clone()));
    }
    all
}

#[test]
fn every_byte_of_a_state_changed_is_refused_or_a_run_that_ends() {
    let mut ends = Ends::default();
    for seed in [4, 23] {
        let wasm = wat::parse_str(generate::program(seed)).unwrap();
        let mut host = Host::new(&wasm);
        let states = states(&wasm);
        assert!(!states.is_empty());
        for (good, memory) in states.iter().step_by(1 + states.len() / 2) {
            assert_eq!(host.go_on(good, memory), Ok(()));
            let mut dice = Dice(seed + 5);
            for at in 0..good.len() {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << dice.roll(8);
                match host.go_on(&bytes, memory) {
                    Ok(()) => ends.ran += 1,
                    Err(_) => ends.refused += 1,
                }
            }
        }
    }
    println!("{ends:?}");
    assert!(ends.refused > 100 && ends.ran > 100, "{ends:?}");
}

#[test]
fn a_state_of_another_program_is_refused_or_a_run_that_ends() {
    let programs: Vec<Vec<u8>> = (1..6).map(|seed| wat::parse_str(generate::program(seed)).unwrap()).collect();
    let mut ends = Ends::default();
    for wasm in &programs {
        let mut host = Host::new(wasm);
        for other in programs.iter().filter(|other| *other != wasm) {
            for (state, memory) in states(other).iter().take(12) {
                match host.go_on(state, memory) {
                    Ok(()) => ends.ran += 1,
                    Err(_) => ends.refused += 1,
                }
            }
        }
    }
    println!("{ends:?}");
    assert!(ends.refused > 20, "{ends:?}");
}

/// It is believed as far as the image beside it. Of another shape than the module it is left aside; else there is a continuation, another one, or none, or the worker ends.
#[test]
fn a_wrong_summary_is_left_aside_or_spoils_a_continuation_and_nothing_else() {
    let wasm = wat::parse_str(include_str!("programs/constructs.wat")).unwrap();
    let program = Suspendable::new_untrusted(&wasm).unwrap();
    let (summary, sites) = (program.summary(), program.table().sites.keys().copied().collect());
    let made = |summary: &[u8]| continue_untrusted(&wasm, summary, &sites).ok();
    let right = made(&summary);
    assert!(right.is_some());
    for cut in 0..summary.len() {
        assert!(made(&summary[..cut]) == right, "the first {cut} bytes");
    }
    let mut same = 0;
    for (at, bit) in (0..summary.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut wrong = summary.clone();
        wrong[at] ^= 1 << bit;
        let made = std::panic::catch_unwind(|| made(&wrong));
        same += usize::from(made.is_ok_and(|made| made == right));
    }
    assert!((1..summary.len() * 8).contains(&same), "{same} of {} bits say nothing", summary.len() * 8);
}
