//! What it costs a program that it can be stopped: the measure for the benchmark's keys `live_*`.
//!
//! ```text
//! gatebus-live compile FORM FILE IMAGE          admission of a module; prints its seconds and the bytes of native code
//! gatebus-live run ROUNDS IMAGE.. -- WORD..     runs images of one program in turn; prints the best seconds of each
//! gatebus-live poll FILE OUT                    a copy in which every loop asks whether to stop, for Asyncify
//! gatebus-live after ROUNDS FILE -- WORD..      stops a program a tenth into its run and continues it: prints both sums
//! ```
//!
//! FORM: `plain`, `suspendable`, `epoch` (plain, with the engine's epoch interruption); an image's name ends in its form. The engine is the
//! sandbox's own, with its configuration and its memories; there is no jail around it, so that nothing but the code is measured. Times are processor
//! time of the thread that runs the program, from the call of its entry to its return.

mod poll;
mod stop;
mod world;

use gatebus_module::{START, Suspendable};
use gatebus_sandbox::admission::admit_untrusted;
use gatebus_sandbox::engine::config;
use gatebus_sandbox::memory::Slots;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use wasmtime::{Engine, Instance, Module, Store};
use world::World;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The large class of stack: the interpreter needs it.
const STACK: usize = 8 << 20;
/// Of the thread that runs programs: the guest's stack and the engine's own frames.
const THREAD: usize = 64 << 20;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let worker = std::thread::Builder::new().stack_size(THREAD).spawn(move || perform(&words));
    match worker.map_err(Into::into).and_then(|worker| worker.join().map_err(|_| "it panicked".into()).flatten()) {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("gatebus-live: {error}");
            ExitCode::FAILURE
        }
    }
}

fn perform(words: &[String]) -> Result<serde_json::Value> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (command, program) = match words.iter().position(|word| *word == "--") {
        Some(at) => (&words[..at], &words[at + 1..]),
        None => (&words[..], &[][..]),
    };
    match command {
        ["compile", form, file, image] => compile(form, file, image),
        ["run", rounds, images @ ..] if !images.is_empty() => run(rounds.parse()?, images, program),
        ["poll", file, out] => {
            std::fs::write(out, poll::add_polls(&wat::parse_bytes(&std::fs::read(file)?)?)?)?;
            Ok(serde_json::Value::Null)
        }
        ["after", rounds, file] => stop::after(rounds.parse()?, file, program),
        _ => Err(
            "usage: gatebus-live compile FORM FILE IMAGE | run ROUNDS IMAGE.. -- WORD.. | after ROUNDS FILE -- WORD.."
                .into(),
        ),
    }
}

/// An engine and the memories of the program that runs in it.
pub(crate) struct Machine {
    pub(crate) engine: Engine,
    pub(crate) slots: Arc<Slots>,
}

impl Machine {
    pub(crate) fn new(form: &str) -> Result<Machine> {
        let slots = Slots::reserve()?;
        let mut config = config(STACK, &slots);
        config.epoch_interruption(form == "epoch");
        Ok(Machine { engine: Engine::new(&config)?, slots })
    }
}

/// The whole way from a module to an image, in this process and on one thread as in the compile worker.
fn compile(form: &str, file: &str, image: &str) -> Result<serde_json::Value> {
    let machine = Machine::new(form)?;
    let given = std::fs::read(file)?;
    let before = cpu_seconds()?;
    let admitted = admit_untrusted(&given).map_err(|refusal| refusal.text)?;
    let code = match form {
        "suspendable" => {
            let program = Suspendable::new_untrusted(&admitted.wasm)?;
            machine.engine.precompile_module(program.wasm())?
        }
        _ => machine.engine.precompile_module(&admitted.wasm)?,
    };
    let seconds = cpu_seconds()? - before;
    std::fs::write(image, &code)?;
    // SAFETY: the bytes come from this engine, a line above.
    let module = unsafe { Module::deserialize(&machine.engine, &code) }?;
    // The text itself is filled up to a page of 64 KiB.
    let text = module.functions().map(|function| function.offset + function.len).max().unwrap_or_default();
    Ok(serde_json::json!({"seconds": seconds, "text": text, "image": code.len(), "wasm": given.len()}))
}

fn run(rounds: u32, images: &[&str], words: &[&str]) -> Result<serde_json::Value> {
    let mut loaded = Vec::new();
    for image in images {
        let machine = Machine::new(image.rsplit('.').next().unwrap_or_default())?;
        // SAFETY: whoever measures names images that `compile` has written.
        let module = unsafe { Module::deserialize_file(&machine.engine, image) }?;
        loaded.push((machine, module, f64::INFINITY));
    }
    let mut said: Option<Vec<u8>> = None;
    for _ in 0..rounds {
        for (machine, module, best) in &mut loaded {
            let (seconds, out) = once(machine, module, words)?;
            *best = best.min(seconds);
            if said.get_or_insert_with(|| out.clone()) != &out {
                return Err("two images of one program give different results".into());
            }
        }
    }
    let seconds: Vec<f64> = loaded.iter().map(|(_, _, best)| *best).collect();
    let said = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
    Ok(serde_json::json!({"seconds": seconds, "said": said}))
}

fn once(machine: &Machine, module: &Module, words: &[&str]) -> Result<(f64, Vec<u8>)> {
    let mut running = Running::new(machine, module, words)?;
    let before = cpu_seconds()?;
    running.begin()?;
    let seconds = cpu_seconds()? - before;
    let out = running.said()?;
    drop(running);
    machine.slots.reset();
    Ok((seconds, out))
}

/// A program that was started.
pub(crate) struct Running {
    pub(crate) store: Store<World>,
    pub(crate) instance: Instance,
}

impl Running {
    pub(crate) fn new(machine: &Machine, module: &Module, words: &[&str]) -> Result<Running> {
        let world = World { words: words.iter().map(|word| (*word).to_owned()).collect(), ..World::default() };
        let mut store = Store::new(&machine.engine, world);
        // Far beyond every round; without epochs it says nothing.
        store.set_epoch_deadline(1 << 60);
        let instance = world::linker(module)?.instantiate(&mut store, module)?;
        Ok(Running { store, instance })
    }

    /// The start functions, then the entry: `run` of a kernel, `_start` of a program.
    pub(crate) fn begin(&mut self) -> Result<()> {
        for name in ["gatebus:load", START] {
            if let Some(start) = self.instance.get_func(&mut self.store, name) {
                start.call(&mut self.store, &[], &mut [])?;
            }
        }
        let entry = ["run", "_start"].into_iter().find_map(|name| self.instance.get_func(&mut self.store, name));
        self.call(entry.ok_or("no entry")?)
    }

    /// What a kernel returns counts as its exit code.
    pub(crate) fn call(&mut self, function: wasmtime::Func) -> Result<()> {
        let mut results = vec![wasmtime::Val::I32(0); function.ty(&self.store).results().len()];
        let ended = function.call(&mut self.store, &[], &mut results);
        if self.store.data().exit.is_none() {
            ended?;
            self.store.data_mut().exit = results.first().and_then(wasmtime::Val::i32).or(Some(0));
        }
        Ok(())
    }

    /// What it has written, once it has ended well: every program of the benchmark checks its own result.
    pub(crate) fn said(&self) -> Result<Vec<u8>> {
        let world = self.store.data();
        match world.exit {
            Some(0) => Ok(world.out.clone()),
            code => Err(format!("it ended with {code:?}: {}", String::from_utf8_lossy(&world.out)).into()),
        }
    }
}

/// Processor time of this thread, user and system, in the kernel's nanoseconds (getrusage would need unsafe code).
pub(crate) fn cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().ok_or("no schedstat")?.parse()?;
    Ok(nanoseconds / 1e9)
}
