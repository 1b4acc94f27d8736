//! A host for the tests: runs modules plain and transformed, stops them, carries the state as bytes to a new instance on another engine.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::cast_possible_truncation)]

pub mod generate;

use gatebus_module::{CONTROL, FRAMES, Frame, PROGRAM, START, Suspendable, UNWINDING, WRITTEN, ZONE, read_untrusted};
use std::collections::{BTreeMap, BTreeSet};
use wasmtime::{Config, Engine, Extern, Func, Instance, Linker, Module, OptLevel, Store, Val, ValType};

/// Ten times what the longest test needs: a program that is stopped without making progress is a failure, not a hanging test.
const MOST_LEGS: usize = 20_000;

/// Room for the frames of the tests' programs.
pub const ROOM: u32 = 1 << 20;

pub fn engine(pulley: bool) -> Engine {
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::Speed).wasm_tail_call(true).wasm_multi_memory(true).wasm_branch_hinting(true);
    config.wasm_exceptions(true).max_wasm_stack(4 << 20).async_stack_size(8 << 20);
    if pulley {
        config.target("pulley64").unwrap();
    }
    Engine::new(&config).unwrap()
}

/// What the host calls of a run did, and whether the next one "would block".
#[derive(Default)]
pub struct World {
    pub trace: Vec<String>,
    /// After so many host calls the next one would block.
    pub block: Option<u32>,
    pub control: Option<wasmtime::Memory>,
}

/// All of the state that a program can see, as bits.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct State {
    pub memories: Vec<Vec<u8>>,
    pub globals: Vec<u128>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The results, or the trap.
    pub results: Result<Vec<u128>, String>,
    pub state: State,
    pub trace: Vec<String>,
}

pub fn bits(value: &Val) -> u128 {
    match value {
        Val::I32(x) => u128::from(x.cast_unsigned()),
        Val::I64(x) => u128::from(x.cast_unsigned()),
        Val::F32(x) => u128::from(*x),
        Val::F64(x) => u128::from(*x),
        Val::V128(x) => x.as_u128(),
        _ => 0,
    }
}

fn value(ty: &ValType, bits: u128) -> Val {
    match ty {
        ValType::I32 => Val::I32((bits as u32).cast_signed()),
        ValType::I64 => Val::I64((bits as u64).cast_signed()),
        ValType::F32 => Val::F32(bits as u32),
        ValType::F64 => Val::F64(bits as u64),
        ValType::V128 => Val::V128(bits.into()),
        ValType::Ref(ty) => Val::null_ref(ty.heap_type()),
    }
}

/// An instance and its store.
pub struct Running {
    pub store: Store<World>,
    pub instance: Instance,
}

impl Running {
    /// Imports are host functions that write the trace and answer with a mixture of their arguments.
    pub fn new(engine: &Engine, module: &Module) -> Running {
        let mut store = Store::new(engine, World::default());
        let imports: Vec<Extern> =
            module.imports().map(|import| host(&mut store, import.name(), import.ty().unwrap_func())).collect();
        let instance = Instance::new(&mut store, module, &imports).unwrap();
        let control = instance.get_memory(&mut store, CONTROL);
        store.data_mut().control = control;
        Running { store, instance }
    }

    pub fn control(&self) -> wasmtime::Memory {
        self.store.data().control.unwrap()
    }

    pub fn request(&mut self) {
        let control = self.control();
        control.data_mut(&mut self.store)[..ZONE as usize].fill(1);
    }

    /// Only the sites with this number, modulo the size of the zone, are to stop.
    pub fn request_one(&mut self, byte: usize) {
        let control = self.control();
        control.data_mut(&mut self.store)[byte % ZONE as usize] = 1;
    }

    pub fn word(&self, at: u32) -> u32 {
        let bytes = &self.control().data(&self.store)[at as usize..][..4];
        u32::from_le_bytes(bytes.try_into().unwrap())
    }

    pub fn call(&mut self, name: &str, arguments: &[Val]) -> Result<Vec<u128>, String> {
        let function = self.instance.get_func(&mut self.store, name).unwrap();
        call(&mut self.store, function, arguments)
    }

    /// Memories and globals in the order of the source's numbers, by the hidden names.
    pub fn state(&mut self) -> State {
        let mut state = State::default();
        while let Some(memory) =
            self.instance.get_memory(&mut self.store, &format!("gatebus:memory:{}", state.memories.len()))
        {
            state.memories.push(memory.data(&self.store).to_vec());
        }
        while let Some(global) =
            self.instance.get_global(&mut self.store, &format!("gatebus:global:{}", state.globals.len()))
        {
            state.globals.push(bits(&global.get(&mut self.store)));
        }
        state
    }

    pub fn restore(&mut self, state: &State) {
        for (number, bytes) in state.memories.iter().enumerate() {
            let memory = self.instance.get_memory(&mut self.store, &format!("gatebus:memory:{number}")).unwrap();
            let missing = bytes.len() - memory.data_size(&self.store);
            memory.grow(&mut self.store, missing as u64 / 65536).unwrap();
            memory.data_mut(&mut self.store).copy_from_slice(bytes);
        }
        for (number, bits) in state.globals.iter().enumerate() {
            let global = self.instance.get_global(&mut self.store, &format!("gatebus:global:{number}")).unwrap();
            let ty = global.ty(&self.store);
            if ty.mutability() == wasmtime::Mutability::Var {
                global.set(&mut self.store, value(ty.content(), *bits)).unwrap();
            }
        }
    }

    /// The frames that were written when the program was left; `None` when it was not.
    pub fn frames(&self, program: &Suspendable<'_>) -> Option<Vec<Frame>> {
        (self.word(UNWINDING) == 1).then(|| {
            let bytes = &self.control().data(&self.store)[FRAMES as usize..][..self.word(WRITTEN) as usize];
            read_untrusted(program.table(), bytes).unwrap()
        })
    }
}

fn call(store: &mut Store<World>, function: Func, arguments: &[Val]) -> Result<Vec<u128>, String> {
    let mut results = vec![Val::I32(0); function.ty(&*store).results().len()];
    match function.call(store, arguments, &mut results) {
        Ok(()) => Ok(results.iter().map(bits).collect()),
        Err(error) => {
            Err(error.downcast_ref::<wasmtime::Trap>().map_or_else(|| error.to_string(), |trap| trap.to_string()))
        }
    }
}

fn host(store: &mut Store<World>, name: &str, ty: &wasmtime::FuncType) -> Extern {
    let name = name.to_owned();
    let results: Vec<ValType> = ty.results().collect();
    let function = Func::new(store, ty.clone(), move |mut caller, arguments, answer| {
        let bits: Vec<u128> = arguments.iter().map(bits).collect();
        let mix = bits.iter().fold(7u128, |sum, bits| sum.wrapping_mul(31).wrapping_add(*bits));
        for (slot, ty) in answer.iter_mut().zip(&results) {
            *slot = value(ty, mix);
        }
        let left = caller.data().block;
        caller.data_mut().block = left.and_then(|calls| calls.checked_sub(1));
        if left == Some(0) {
            let control = caller.data().control.unwrap();
            control.data_mut(&mut caller)[UNWINDING as usize] = 1;
            return Ok(());
        }
        caller.data_mut().trace.push(format!("{name}{bits:?}"));
        Ok(())
    });
    function.into()
}

/// The untransformed module, with hidden exports of its memories and globals so that the end states can be compared.
pub fn plain(engine: &Engine, wasm: &[u8], entry: &str, arguments: &[Val]) -> Outcome {
    let shown = expose(wasm);
    let module = Module::new(engine, shown).unwrap();
    let mut running = Running::new(engine, &module);
    let results = running.call(entry, arguments);
    Outcome { results, state: running.state(), trace: running.store.data().trace.clone() }
}

/// Only the exports are other ones; the code stays as it was.
fn expose(wasm: &[u8]) -> Vec<u8> {
    use wasmparser::{Parser, Payload};
    let mut module = wasm_encoder::Module::new();
    let mut exports = wasm_encoder::ExportSection::new();
    let (mut memories, mut globals) = (0, 0);
    let mut after = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.unwrap();
        match &payload {
            Payload::MemorySection(section) => memories = section.count(),
            Payload::GlobalSection(section) => globals = section.count(),
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let export = export.unwrap();
                    if export.kind == wasmparser::ExternalKind::Func {
                        exports.export(export.name, wasm_encoder::ExportKind::Func, export.index);
                    }
                }
                continue;
            }
            _ => {}
        }
        if let Some((id, range)) = payload.as_section() {
            let section = (id, range);
            // Sections behind the exports: start, elements, data count, code, data.
            if matches!(id, 8..=12) {
                after.push(section)
            } else if id != 0 {
                module.section(&wasm_encoder::RawSection { id, data: &wasm[section.1] });
            }
        }
    }
    (0..memories).for_each(|number| {
        _ = exports.export(&format!("gatebus:memory:{number}"), wasm_encoder::ExportKind::Memory, number)
    });
    (0..globals).for_each(|number| {
        _ = exports.export(&format!("gatebus:global:{number}"), wasm_encoder::ExportKind::Global, number)
    });
    module.section(&exports);
    for (id, range) in after {
        module.section(&wasm_encoder::RawSection { id, data: &wasm[range] });
    }
    module.finish()
}

/// A small generator of numbers that is the same everywhere.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 33) % u64::from(sides)) as u32
    }
}

/// How a run is disturbed before each leg.
pub trait Disturb {
    fn disturb(&mut self, running: &mut Running, leg: usize);
}

impl<F: FnMut(&mut Running, usize)> Disturb for F {
    fn disturb(&mut self, running: &mut Running, leg: usize) {
        self(running, leg)
    }
}

/// A transformed program on some engines, with the continuations that were compiled so far.
pub struct Stopped<'a> {
    pub program: Suspendable<'a>,
    engines: Vec<(Engine, Module)>,
    compiled: BTreeMap<(usize, BTreeSet<u32>), Module>,
    /// Sites that were the innermost frame.
    pub hit: BTreeSet<u32>,
    pub legs: usize,
    pub deepest: usize,
}

impl<'a> Stopped<'a> {
    pub fn new(wasm: &'a [u8], engines: &[Engine]) -> Stopped<'a> {
        let program = Suspendable::new_untrusted(wasm, ROOM).unwrap();
        let engines =
            engines.iter().map(|engine| (engine.clone(), Module::new(engine, program.wasm()).unwrap())).collect();
        Stopped { program, engines, compiled: BTreeMap::new(), hit: BTreeSet::new(), legs: 0, deepest: 0 }
    }

    /// Runs to the end; after each stop in a fresh instance, engines taking turns.
    pub fn run(&mut self, entry: &str, arguments: &[Val], disturb: &mut dyn Disturb) -> Outcome {
        let (engine, module) = self.engines[0].clone();
        let mut running = Running::new(&engine, &module);
        if let Some(start) = running.instance.get_func(&mut running.store, START) {
            start.call(&mut running.store, &[], &mut []).unwrap();
        }
        disturb.disturb(&mut running, 0);
        let mut results = running.call(entry, arguments);
        let number = self.program.entry(entry).unwrap();
        for leg in 1.. {
            let Some(frames) = running.frames(&self.program) else { break };
            assert!(leg < MOST_LEGS, "it does not come forward");
            self.program.check_untrusted(number, &frames).unwrap();
            let (next, resume) = self.move_on(&mut running, &frames, leg);
            running = next;
            disturb.disturb(&mut running, leg);
            results = call(&mut running.store, resume, &[]);
        }
        Outcome { results, state: running.state(), trace: running.store.data().trace.clone() }
    }

    fn move_on(&mut self, old: &mut Running, frames: &[Frame], leg: usize) -> (Running, Func) {
        self.note(frames);
        let turn = leg % self.engines.len();
        let (engine, module) = &self.engines[turn];
        let mut new = Running::new(engine, module);
        new.restore(&old.state());
        new.store.data_mut().trace = std::mem::take(&mut old.store.data_mut().trace);
        let sites = Suspendable::sites_of(frames);
        let bytes = self.program.write_frames(&sites, frames);
        let control = new.control();
        control.data_mut(&mut new.store)[FRAMES as usize..][..bytes.len()].copy_from_slice(&bytes);
        let program = &self.program;
        let compile = || Module::new(engine, program.continuation(&sites).unwrap()).unwrap();
        let continuation = self.compiled.entry((turn, sites.clone())).or_insert_with(compile);
        let mut linker = Linker::new(engine);
        linker.instance(&mut new.store, PROGRAM, new.instance).unwrap();
        let continuation = linker.instantiate(&mut new.store, continuation).unwrap();
        let name = program.resume_name(frames[0].site).unwrap();
        let resume = continuation.get_func(&mut new.store, &name).unwrap();
        (new, resume)
    }

    /// The sites that were never innermost.
    pub fn missed(&self) -> Vec<String> {
        let sites = self.program.table().sites.iter().zip(0..);
        sites
            .filter(|(_, number)| !self.hit.contains(number))
            .map(|(site, number)| format!("{number} {site:?}"))
            .collect()
    }

    fn note(&mut self, frames: &[Frame]) {
        self.legs += 1;
        self.deepest = self.deepest.max(frames.len());
        let innermost = frames.iter().rev().find(|frame| frame.site & gatebus_module::RETURNED == 0);
        self.hit.extend(innermost.map(|frame| frame.site));
    }
}

/// Where every request is always set: each leg ends at the next site.
pub fn always(running: &mut Running, _leg: usize) {
    running.request();
}

/// Every host call would block once: in each leg but the first, the first one is the one that did, made again.
pub fn block(running: &mut Running, leg: usize) {
    running.store.data_mut().block = Some(u32::from(leg > 0));
}

pub fn never(_running: &mut Running, _leg: usize) {}
