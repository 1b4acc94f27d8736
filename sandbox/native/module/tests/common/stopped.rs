//! A transformed program that is stopped again and again, each leg in a fresh instance on another engine.

use super::plain::{Outcome, Seen};
use super::running::{Results, Running};
use gatebus_module::{Guide, PROGRAM, Phase, Place, START, State, Suspendable, read_untrusted, sites_of};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use wasmtime::{Engine, Extern, Func, Instance, Module, Val};

/// Ten times what the longest test needs: a program that is stopped without making progress is a failure, not a hanging test.
const MOST_LEGS: usize = 20_000;

/// How a run is disturbed before each leg.
pub trait Disturb {
    fn disturb(&mut self, running: &mut Running, leg: usize);
}

impl<F: FnMut(&mut Running, usize)> Disturb for F {
    fn disturb(&mut self, running: &mut Running, leg: usize) {
        self(running, leg)
    }
}

/// Where every request is always set: each leg ends at the next site.
pub fn always(running: &mut Running, _leg: usize) {
    running.request();
}

/// Every host call would block once: in each leg but the first, the first one is the one that did, made again.
pub fn block(running: &mut Running, leg: usize) {
    running.withdraw();
    running.store.data_mut().block = Some(u32::from(leg > 0));
}

pub fn never(running: &mut Running, _leg: usize) {
    running.withdraw();
}

/// A transformed program on some engines, with the continuations that were compiled so far.
pub struct Stopped<'a> {
    pub program: Suspendable<'a>,
    /// The module and its summary, from which each continuation must come out the same; none where it is entered at other loops than usual.
    again: Option<(&'a [u8], Vec<u8>)>,
    engines: Vec<(Engine, Module)>,
    compiled: BTreeMap<(usize, BTreeSet<u32>), (Module, Guide)>,
    /// Sites that were the innermost frame.
    pub hit: BTreeSet<u32>,
    pub legs: usize,
    pub deepest: usize,
    /// The states of all stops, as bytes, where somebody wants them.
    pub kept: Vec<Vec<u8>>,
    /// With each, what memory 0 held.
    pub firsts: Vec<Vec<u8>>,
    pub keep: bool,
    spoil: fn(Vec<u8>) -> Vec<u8>,
    /// Stops of one run.
    pub most: usize,
}

impl<'a> Stopped<'a> {
    pub fn new(wasm: &'a [u8], engines: &[Engine]) -> Stopped<'a> {
        let program = Suspendable::new_untrusted(wasm).unwrap();
        let again = Some((wasm, program.summary()));
        Stopped { again, ..Stopped::of(program, engines) }
    }

    pub fn of(program: Suspendable<'a>, engines: &[Engine]) -> Stopped<'a> {
        let wasm = program.wasm().to_vec();
        Stopped::spoilt(program, &wasm, |continuation| continuation, engines)
    }

    /// With another transformed program than its own, and other continuations: a harness has to see that.
    pub fn spoilt(
        program: Suspendable<'a>,
        wasm: &[u8],
        spoil: fn(Vec<u8>) -> Vec<u8>,
        engines: &[Engine],
    ) -> Stopped<'a> {
        let engines = engines.iter().map(|engine| (engine.clone(), Module::new(engine, wasm).unwrap())).collect();
        let (compiled, hit) = (BTreeMap::new(), BTreeSet::new());
        Stopped {
            program,
            again: None,
            engines,
            compiled,
            hit,
            legs: 0,
            deepest: 0,
            kept: Vec::new(),
            firsts: Vec::new(),
            keep: false,
            spoil,
            most: MOST_LEGS,
        }
    }

    /// Runs to the end; after each stop in a fresh instance, engines taking turns.
    pub fn run(&mut self, entry: &str, arguments: &[Val], disturb: &mut dyn Disturb) -> Outcome {
        let nothing = |trap| Outcome { results: Err(trap), seen: Seen::default(), trace: Vec::new() };
        let (engine, module) = self.engines[0].clone();
        let mut running = match Running::new(&engine, &module) {
            Ok(running) => running,
            Err(trap) => return nothing(trap),
        };
        if let Err(trap) = running.load() {
            return nothing(trap);
        }
        let mut leg = 0;
        if running.has_start() {
            let results = self.phase(&mut running, Phase::Start, (entry, &[]), disturb, &mut leg);
            if let Err(trap) = results {
                return nothing(trap);
            }
        }
        let results = self.phase(&mut running, Phase::Entry, (entry, arguments), disturb, &mut leg);
        let functions = self.functions(&mut running);
        Outcome::of(&mut running, results, &functions)
    }

    /// One call of the host, through all its legs.
    fn phase(
        &mut self,
        running: &mut Running,
        phase: Phase,
        (entry, arguments): (&str, &[Val]),
        disturb: &mut dyn Disturb,
        leg: &mut usize,
    ) -> Results {
        disturb.disturb(running, *leg);
        let name = if phase == Phase::Start { START } else { entry };
        let mut results = running.call(name, arguments);
        // A trap that follows the last frame's return cannot be: nothing of the program runs while it is left.
        while running.was_left() && results.is_ok() {
            *leg += 1;
            assert!(*leg < self.most, "it does not come forward");
            let resume = self.move_on(running, phase, entry, *leg);
            disturb.disturb(running, *leg);
            results = running.call_function(resume, &[]);
        }
        results
    }

    fn move_on(&mut self, running: &mut Running, phase: Phase, entry: &str, leg: usize) -> Func {
        let state = running.capture(phase, entry);
        let first = running.memory(0).map_or(Vec::new(), |memory| memory.data(&running.store).to_vec());
        let bytes = state.encode();
        let state = State::decode_untrusted(&bytes).unwrap();
        assert_eq!(state.encode(), bytes);
        if self.keep {
            self.kept.push(bytes);
            self.firsts.push(first.clone());
        }
        let turn = leg % self.engines.len();
        let (engine, module) = self.engines[turn].clone();
        let mut next = Running::new(&engine, &module).unwrap();
        next.restore(&state, &first);
        *running = next;
        let (continuation, guide) = self.continuation(turn, &state);
        let frames = guide.read_untrusted(&state.frames).unwrap();
        guide.check_untrusted(state.call(), &frames, state.references.len()).unwrap();
        running.write_frames(&guide.write_frames(&frames).unwrap());
        let hidden: Vec<Extern> = continuation
            .imports()
            .map(|import| {
                assert_eq!(import.module(), PROGRAM);
                running.instance.get_export(&mut running.store, import.name()).unwrap()
            })
            .collect();
        let continuation = Instance::new(&mut running.store, continuation, &hidden).unwrap();
        let resume = continuation.get_func(&mut running.store, guide.resume_name(&frames).unwrap()).unwrap();
        self.note(&frames);
        resume
    }

    /// Compiled once for each set of sites and engine. The guide takes the way through bytes, too.
    fn continuation(&mut self, turn: usize, state: &State) -> &(Module, Guide) {
        let frames = read_untrusted(self.program.table(), &state.frames).unwrap();
        let sites = sites_of(&frames);
        let (program, again, engines, spoil) = (&self.program, &self.again, &self.engines, self.spoil);
        self.compiled.entry((turn, sites)).or_insert_with_key(|(turn, sites)| {
            let wasm = program.continuation_untrusted(sites).unwrap();
            let guide = program.guide_untrusted(sites).unwrap();
            if let Some((source, summary)) = again {
                let known = Suspendable::known_untrusted(source, summary, sites).unwrap();
                assert!(known.continuation_untrusted(sites).as_ref() == Ok(&wasm), "by the summary alone: {sites:?}");
                assert_eq!(known.guide_untrusted(sites), Ok(guide.clone()));
            }
            let decoded = Guide::decode_untrusted(&guide.encode()).unwrap();
            assert_eq!(decoded, guide);
            (Module::new(&engines[*turn].0, spoil(wasm)).unwrap(), decoded)
        })
    }

    /// By pointer, the number in the source of each function that a reference can mean, plus 1.
    fn functions(&self, running: &mut Running) -> HashMap<usize, u32> {
        let number = |place: u32| self.program.referenced()[place as usize - 1] + 1;
        running.numbers().into_iter().map(|(pointer, place)| (pointer, number(place))).collect()
    }

    /// The sites that were never innermost, though they can be: behind a call there is always the callee's frame.
    pub fn missed(&self) -> Vec<String> {
        self.missed_but("")
    }

    /// Those of another entry are left out.
    pub fn missed_but(&self, other: &str) -> Vec<String> {
        let other = self.program.entry(other);
        let sites = self.program.table().sites.iter();
        sites
            .filter(|(number, site)| !self.hit.contains(number) && Some(site.function) != other)
            .filter(|(_, site)| !matches!(site.place, Place::Call(_)))
            .map(|(number, site)| format!("{number} {site:?}"))
            .collect()
    }

    pub fn continuations(&self) -> usize {
        self.compiled.len()
    }

    fn note(&mut self, frames: &[gatebus_module::Frame<'_>]) {
        self.legs += 1;
        self.deepest = self.deepest.max(frames.len());
        self.hit.extend(frames.last().map(|frame| frame.site));
    }
}
