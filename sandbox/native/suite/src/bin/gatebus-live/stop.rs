//! Stops a program in the middle and continues it in a fresh instance: what it costs to live in a continuation.

use crate::world::{Parts, World};
use crate::{Machine, Result, Running, cpu_seconds};
use gatebus_module::{CONTROL, FRAMES, PROGRAM, Suspendable, UNWINDING, WRITTEN, ZONE, read_untrusted, sites_of};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;
use wasmtime::{Linker, Module, Mutability, Store};

/// Which part of the run is over when it is stopped: early, so that the continuation does nearly all of the work.
const PART: f64 = 0.1;

/// Both sums of seconds, the best of the rounds: never stopped, and before plus after the stop.
pub(crate) fn after(rounds: u32, file: &str, words: &[&str]) -> Result<serde_json::Value> {
    let machine = Machine::new("suspendable")?;
    let bytes = std::fs::read(file)?;
    let wasm = wat::parse_bytes(&bytes)?;
    let program = Suspendable::new_untrusted(&wasm)?;
    let module = Module::new(&machine.engine, program.wasm())?;
    let (mut whole, mut parts, mut frames, mut compiling) = (f64::INFINITY, f64::INFINITY, 0, f64::INFINITY);
    for _ in 0..rounds {
        let mut running = Running::new(&machine, &module, words)?;
        let before = cpu_seconds()?;
        running.begin()?;
        whole = whole.min(cpu_seconds()? - before);
        let said = running.said()?;
        drop(running);
        machine.slots.reset();
        let stopped = stopped(&machine, &module, &program, words, whole * PART)?;
        if stopped.said != said {
            return Err("stopped and continued, it gives another result".into());
        }
        parts = parts.min(stopped.seconds);
        compiling = compiling.min(stopped.compiling);
        frames = stopped.frames;
    }
    Ok(serde_json::json!({"whole": whole, "parts": parts, "frames": frames, "compiling": compiling}))
}

struct Outcome {
    seconds: f64,
    compiling: f64,
    said: Vec<u8>,
    frames: usize,
}

fn stopped(machine: &Machine, module: &Module, program: &Suspendable<'_>, words: &[&str], at: f64) -> Result<Outcome> {
    let mut running = Running::new(machine, module, words)?;
    let before = cpu_seconds()?;
    interrupted(&mut running, at)?;
    let first = cpu_seconds()? - before;
    let Some(frames) = frames(&mut running)? else { return Err("it was over before it was stopped".into()) };
    let state = State::take(&mut running);
    drop(running);
    machine.slots.reset();
    let frames = read_untrusted(program.table(), &frames).map_err(|bad| bad.text)?;
    let sites = sites_of(&frames);
    let guide = program.guide_untrusted(&sites).map_err(|bad| bad.text)?;
    let before = cpu_seconds()?;
    let continuation = program.continuation_untrusted(&sites).map_err(|bad| bad.text)?;
    let continuation = Module::new(&machine.engine, continuation)?;
    let compiling = cpu_seconds()? - before;
    let mut running = Running::new(machine, module, words)?;
    state.put(&mut running)?;
    let control = running.instance.get_memory(&mut running.store, CONTROL).ok_or("no control memory")?;
    let bytes = guide.write_frames(&frames).map_err(|bad| bad.text)?;
    control.write(&mut running.store, FRAMES as usize, &bytes)?;
    let mut linker: Linker<World> = Linker::new(&machine.engine);
    linker.instance(&mut running.store, PROGRAM, running.instance)?;
    let resumed = linker.instantiate(&mut running.store, &continuation)?;
    let name = guide.resume_name(&frames).ok_or("no such site")?;
    let resume = resumed.get_func(&mut running.store, name).ok_or("no way to resume")?;
    let before = cpu_seconds()?;
    running.call(resume)?;
    let seconds = first + cpu_seconds()? - before;
    let outcome = Outcome { seconds, compiling, said: running.said()?, frames: frames.len() };
    drop(running);
    machine.slots.reset();
    Ok(outcome)
}

/// Runs it until another thread has asked it to stop, or to its end.
fn interrupted(running: &mut Running, seconds: f64) -> Result<()> {
    let control = running.instance.get_memory(&mut running.store, CONTROL).ok_or("no control memory")?;
    let address = control.data_ptr(&running.store) as usize;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs_f64(seconds));
            for byte in 0..ZONE as usize {
                // SAFETY: the control memory never moves, and its instance outlives this scope.
                unsafe { &*((address + byte) as *const AtomicU8) }.store(1, Ordering::Relaxed);
            }
            over.store(true, Ordering::Release);
        });
        running.begin()
    })?;
    running.store.data_mut().exit = None;
    Ok(())
}

fn word(store: &Store<World>, control: wasmtime::Memory, at: u32) -> u32 {
    let mut bytes = [0; 4];
    _ = control.read(store, at as usize, &mut bytes);
    u32::from_le_bytes(bytes)
}

fn frames(running: &mut Running) -> Result<Option<Vec<u8>>> {
    let control = running.instance.get_memory(&mut running.store, CONTROL).ok_or("no control memory")?;
    if word(&running.store, control, UNWINDING) == 0 {
        return Ok(None);
    }
    let mut bytes = vec![0; word(&running.store, control, WRITTEN) as usize];
    control.read(&running.store, FRAMES as usize, &mut bytes)?;
    Ok(Some(bytes))
}

/// What a stopped program was besides its frames.
struct State {
    memories: Vec<Vec<u8>>,
    globals: Vec<wasmtime::Val>,
    out: Vec<u8>,
}

impl State {
    fn take(running: &mut Running) -> State {
        let parts = Parts::of(&mut running.store, running.instance);
        State {
            memories: parts.memories.iter().map(|memory| memory.data(&running.store).to_vec()).collect(),
            globals: parts.globals.iter().map(|global| global.get(&mut running.store)).collect(),
            out: running.store.data().out.clone(),
        }
    }

    fn put(self, running: &mut Running) -> Result<()> {
        let parts = Parts::of(&mut running.store, running.instance);
        for (memory, bytes) in parts.memories.iter().zip(&self.memories) {
            let missing = bytes.len() - memory.data_size(&running.store);
            memory.grow(&mut running.store, missing as u64 / 65536)?;
            memory.write(&mut running.store, 0, bytes)?;
        }
        for (global, value) in parts.globals.iter().zip(self.globals) {
            if global.ty(&running.store).mutability() == Mutability::Var {
                global.set(&mut running.store, value)?;
            }
        }
        running.store.data_mut().out = self.out;
        Ok(())
    }
}
