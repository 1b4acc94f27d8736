//! The story of one program's process: from an image to the end of its guest.
//!
//! Before the lock: the image is mapped and linked, memory gets its place. After the lock, under the final filter: the
//! setup packets are read, the instance is made (segments, start function), the entry function runs, and what the
//! guest leaves goes out. Instantiation comes after the lock because it runs code from the image: the engine compiles
//! the initialisation of memories, tables and globals into a function of the module's own.

use crate::ending::{Phase, because, of_error, of_return};
use crate::entry::{self, Entry};
use crate::host::{Host, Rules};
use crate::limiter::Limiter;
use crate::link::Linkers;
use crate::memory::Slots;
use gatebus_abi::{Channel, Exit, Personality, Setup};
use gatebus_wire::status;
use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use wasmtime::{Engine, Instance, InstancePre, Module, Store};

/// What every program of one class of stack needs; made once, inherited by fork.
pub struct Stage {
    /// With its stack limit.
    pub engine: Engine,
    /// All functions that a guest may import.
    pub linkers: Linkers,
    /// Places for memories.
    pub slots: Arc<Slots>,
}

/// What the host ordered.
pub struct Order {
    /// Bytes of all memories.
    pub memory_limit: u64,
    /// Elements of all tables.
    pub table_limit: u32,
    /// From the compile worker.
    pub image: OwnedFd,
    /// Memory 0; None for the warm-up, whose memory is anonymous.
    pub memory: Option<OwnedFd>,
}

/// A program whose next step is the lock.
struct Ready {
    engine: Engine,
    instance: InstancePre<Host>,
    personality: Personality,
    slots: Arc<Slots>,
    limiter: Limiter,
}

/// How a program ended.
pub struct End {
    /// Of its process.
    pub status: u32,
    /// Dropping it gives memory back, by calls that a locked process may not make any more: that one keeps it and
    /// ends; a warm-up drops it, so that the program finds the same pages warm.
    _remains: Option<Store<Host>>,
}

impl End {
    fn before_the_guest(exit: &Exit) -> End {
        End { status: exit.status, _remains: None }
    }
}

/// Runs a program. `lock` is called with the ranges in which memory grows.
pub fn run(stage: &mut Stage, order: Order, mut channel: Box<dyn Channel>, lock: impl FnOnce(&[Range<u64>])) -> End {
    let ready = match prepare(stage, order) {
        Ok(ready) => ready,
        Err(exit) => return End::before_the_guest(&exit),
    };
    lock(&[ready.slots.range()]);
    match Setup::receive_untrusted(&mut *channel) {
        Ok(setup) => perform(ready, setup, channel),
        // Without a setup there is nobody to report to.
        Err(exit) => End::before_the_guest(&exit),
    }
}

fn prepare(stage: &mut Stage, order: Order) -> Result<Ready, Exit> {
    let file = File::from(order.image);
    // SAFETY: the image comes from our own compile worker through the host, sealed. It may be spoilt by a module that
    // took the worker over: nothing of it runs before the lock, and what it can do afterwards is what any guest can.
    let module = unsafe { Module::deserialize_open_file(&stage.engine, file) };
    let module = module.map_err(|_| because(status::IMAGE_UNUSABLE, "the image cannot be used"))?;
    let linked = stage.linkers.link(&module);
    let (personality, instance) = linked.map_err(|_| because(status::IMPORTS_UNSATISFIED, "imports are missing"))?;
    let limit = usize::try_from(order.memory_limit).unwrap_or(usize::MAX);
    if let Some(memory) = order.memory {
        let mapped = stage.slots.map_first(memory.as_raw_fd(), limit);
        mapped.map_err(|_| because(status::PANIC, "the guest's memory cannot be mapped"))?;
    }
    let limiter = Limiter::new(limit, order.table_limit as usize);
    Ok(Ready { engine: stage.engine.clone(), instance, personality, slots: stage.slots.clone(), limiter })
}

/// Everything after the setup.
fn perform(ready: Ready, setup: Setup, channel: Box<dyn Channel>) -> End {
    let function = setup.words.function.clone();
    let rules = Rules::new(ready.personality, setup);
    let host = Host { rules, channel, slots: ready.slots, slot: 0, limiter: ready.limiter, unwind: None };
    let mut store = Store::new(&ready.engine, host);
    store.limiter(|host| &mut host.limiter);
    let end = guest(&mut store, &ready.instance, ready.personality, function.as_deref());
    // The host may be gone, or the guest may have broken off a packet: the status says the same.
    let told = store.data_mut().finish(&end);
    End { status: told.map_or_else(|gone| gone.status, |()| end.status), _remains: Some(store) }
}

/// From nothing to the end of the guest.
fn guest(store: &mut Store<Host>, pre: &InstancePre<Host>, personality: Personality, function: Option<&str>) -> Exit {
    let instance = match pre.instantiate(&mut *store) {
        Ok(instance) => instance,
        Err(error) => return of_error(&error, Phase::Instantiation, store.data().limiter.refused_minimum),
    };
    choose_memory(store, &instance);
    match entry::find(store, &instance, personality, function) {
        Ok(Some(entry)) => enter(store, entry),
        Ok(None) => of_return(None),
        Err(exit) => exit,
    }
}

fn enter(store: &mut Store<Host>, entry: Entry) -> Exit {
    match entry.call(store) {
        Ok(result) => of_return(result),
        Err(error) => of_error(&error, Phase::Call, false),
    }
}

/// Pointers in arguments of host functions mean the memory exported as `memory`, if there is one.
fn choose_memory(store: &mut Store<Host>, instance: &Instance) {
    if let Some(memory) = instance.get_memory(&mut *store, "memory") {
        let address = memory.data_ptr(&*store) as usize;
        let host = store.data_mut();
        host.slot = host.slots.slot_at(address);
    }
}
