//! The story of one program's process: from an image to the end of its guest.
//!
//! Before the lock: the image is mapped and linked, memory gets its place. After the lock, under the final filter: the
//! setup packets are read, the instance is made (segments, start function), the entry function runs, and what the
//! guest leaves goes out. Instantiation comes after the lock because it runs code from the image: the engine compiles
//! the initialisation of memories, tables and globals into a function of the module's own.

use crate::bounds;
use crate::ending::{Phase, because, of_error, of_return, of_unsaved};
use crate::entry::{self, Failed, Returned};
use crate::go::Restored;
use crate::host::{Host, Rules};
use crate::limiter::Limiter;
use crate::link::Linkers;
use crate::memory::{Base, PAGE, Slots, control_offset, entries};
use crate::stop::{Left, keep, report, suspend};
use gatebus_abi::{Channel, Exit, Personality, Setup};
use gatebus_wire::control::FLAG_KEEP;
use gatebus_wire::keeper::SCAN_MOST;
use gatebus_wire::status;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
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
    /// Memory 0, and behind it the control memory; None for the warm-up, whose memory is anonymous.
    pub memory: Option<OwnedFd>,
    /// Bytes of the control memory; 0: the program cannot be suspended.
    pub control_bytes: usize,
    /// The image of what continues a suspended program.
    pub continuation: Option<OwnedFd>,
    /// The files of a memory that it goes on from without a copy, and how many pages of 64 KiB there are of it.
    pub base: (Vec<OwnedFd>, u32),
}

impl Order {
    /// A program without a memfd: limits of nothing, to be replaced.
    pub fn anonymous(image: OwnedFd) -> Order {
        Order {
            memory_limit: 0,
            table_limit: 0,
            image,
            memory: None,
            control_bytes: 0,
            continuation: None,
            base: (Vec::new(), 0),
        }
    }
}

/// A program whose next step is the lock.
struct Ready {
    engine: Engine,
    instance: InstancePre<Host>,
    personality: Personality,
    slots: Arc<Slots>,
    limiter: Limiter,
    continuation: Option<Module>,
}

impl Ready {
    /// After the lock, without a guest. Images stay mapped: giving them back is a call that is not allowed any more.
    fn ends(self, exit: &Exit) -> End {
        std::mem::forget(self);
        End::before_the_guest(exit)
    }
}

/// How a program ended.
pub struct End {
    /// Of its process.
    pub status: u32,
    /// Dropping it gives memory back, by calls that a locked process may not make any more: that one keeps it and
    /// ends; a warm-up drops it, so that the program finds the same pages warm.
    _remains: Option<(Store<Host>, Option<Module>)>,
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
    // A state is bounded by the heap, which is made for it.
    let state_max = if ready.slots.has_control() { STATE_MAX } else { 0 };
    match Setup::receive_resumable_untrusted(&mut *channel, state_max) {
        Ok(setup) => perform(ready, setup, channel),
        // Without a setup there is nobody to report to.
        Err(exit) => ready.ends(&exit),
    }
}

fn prepare(stage: &mut Stage, order: Order) -> Result<Ready, Exit> {
    let Order { memory_limit, table_limit, image, memory, control_bytes, continuation, base } = order;
    let module = module_of(&stage.engine, image)?;
    let continuation = continuation.map(|image| module_of(&stage.engine, image)).transpose()?;
    let linked = stage.linkers.link(&module);
    let (personality, instance) = linked.map_err(|_| because(status::IMPORTS_UNSATISFIED, "imports are missing"))?;
    let limit = usize::try_from(memory_limit).unwrap_or(usize::MAX);
    if let Some(memory) = memory {
        let mapped = match base.0.first() {
            None => stage.slots.map_first(memory.as_raw_fd(), limit),
            Some(_) => share(&stage.slots, &memory, limit, &base),
        };
        mapped.map_err(|_| because(status::PANIC, "the guest's memory cannot be mapped"))?;
        if control_bytes > 0 {
            map_control(&stage.slots, &module, memory.as_raw_fd(), memory_limit, control_bytes)?;
        }
    }
    let elements = table_limit as usize + hidden_elements(&module, control_bytes);
    let limiter = Limiter::new(limit, elements, control_bytes).beside(references_most(&module, control_bytes));
    let (engine, slots) = (stage.engine.clone(), stage.slots.clone());
    Ok(Ready { engine, instance, personality, slots, limiter, continuation })
}

fn module_of(engine: &Engine, image: OwnedFd) -> Result<Module, Exit> {
    // SAFETY: the image comes from our own compile worker through the host, sealed. It may be spoilt by a module that
    // took the worker over: nothing of it runs before the lock, and what it can do afterwards is what any guest can.
    let module = unsafe { Module::deserialize_open_file(engine, File::from(image)) };
    module.map_err(|_| because(status::IMAGE_UNUSABLE, "the image cannot be used"))
}

/// Memory 0 from the files of a stopped program. Which pieces the second one has stands where the frames will be, in the file of
/// the program's own: `u32 count, count x (u32 page, u32 pages)`, of 4 KiB.
fn share(slots: &Slots, own: &OwnedFd, limit: usize, base: &(Vec<OwnedFd>, u32)) -> Result<(), String> {
    let (files, pages) = base;
    let [file, changes @ ..] = files.as_slice() else { return Err("no file".to_owned()) };
    let pieces = match changes {
        [] => Vec::new(),
        _ => pieces(own, control_offset(limit as u64) + u64::from(gatebus_module::FRAMES))
            .map_err(|error| error.to_string())?,
    };
    let changes = changes.first().map(AsRawFd::as_raw_fd);
    let length = (*pages as usize) << 16;
    slots.map_shared(own.as_raw_fd(), limit, &Base { file: file.as_raw_fd(), length, changes, pieces: &pieces })
}

fn pieces(own: &OwnedFd, at: u64) -> std::io::Result<Vec<(usize, usize)>> {
    let mut file = File::from(own.try_clone()?);
    let mut count = [0; 4];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut count)?;
    let mut list = vec![0; (u32::from_le_bytes(count) as usize).min(SCAN_MOST) * 8];
    file.read_exact(&mut list)?;
    Ok(entries(&list).map(|(page, pages)| (page as usize * PAGE, pages as usize * PAGE)).collect())
}

/// The control memory is the last one: the others are exported, hidden, under their numbers.
fn map_control(slots: &Slots, module: &Module, memfd: RawFd, memory_limit: u64, bytes: usize) -> Result<(), Exit> {
    let own = module.exports().filter(|export| export.name().starts_with("gatebus:memory:")).count();
    let unusable = || because(status::IMAGE_UNUSABLE, "the image is not of a program that can be suspended");
    module.get_export(gatebus_module::CONTROL).and_then(|export| export.memory().cloned()).ok_or_else(unusable)?;
    let mapped = slots.map_control(memfd, memory_limit, bytes, own);
    mapped.map_err(|_| because(status::PANIC, "the control memory cannot be mapped"))
}

/// Bytes of a guide and a state together, with the guide's length.
const STATE_MAX: usize = 4 + bounds::GUIDE + bounds::STATE;
/// The maximum of the table of references in frames, which no table of the program has.
fn references_most(module: &Module, control_bytes: usize) -> usize {
    let references = module.get_export(gatebus_module::REFERENCES).filter(|_| control_bytes > 0);
    let most = references.and_then(|export| export.table()?.maximum());
    most.map_or(0, |most| usize::try_from(most).unwrap_or(0))
}

/// Elements of the table of functions that the transformation has added: they are not the program's.
fn hidden_elements(module: &Module, control_bytes: usize) -> usize {
    if control_bytes == 0 {
        return 0;
    }
    let functions = module.get_export(gatebus_module::FUNCTIONS).and_then(|export| export.table().cloned());
    functions.map_or(0, |table| usize::try_from(table.minimum()).unwrap_or(usize::MAX))
}

/// Everything after the setup.
fn perform(ready: Ready, mut setup: Setup, mut channel: Box<dyn Channel>) -> End {
    let function = setup.words.function.take();
    let keep = ready.slots.has_control() && setup.words.begin.flags & FLAG_KEEP != 0;
    let (rules, restored) = match world(&ready, setup) {
        Ok(world) => world,
        Err(exit) => {
            report(&mut *channel, &exit);
            return ready.ends(&exit);
        }
    };
    let host = Host { rules, channel, slots: ready.slots.clone(), slot: 0, limiter: ready.limiter };
    let mut store = Store::new(&ready.engine, host);
    store.limiter(|host| &mut host.limiter);
    let guest = Guest { pre: ready.instance, personality: ready.personality, keep };
    let end = match (&restored, &ready.continuation) {
        (Some(restored), Some(continuation)) => guest.goes_on(&mut store, restored, continuation),
        (Some(restored), None) => guest.is_called(&mut store, restored, function.as_deref()),
        _ => guest.begins(&mut store, function.as_deref()),
    };
    // The host may be gone, or the guest may have broken off a packet: the status says the same.
    let told = store.data_mut().finish(&end);
    let status = told.map_or_else(|gone| gone.status, |()| end.status);
    End { status, _remains: Some((store, ready.continuation)) }
}

/// What the host functions answer from: at the start, or where the program stopped.
fn world(ready: &Ready, mut setup: Setup) -> Result<(Rules, Option<Restored>), Exit> {
    if ready.continuation.is_none() && setup.words.restore.is_empty() {
        return Ok((Rules::new(ready.personality, setup), None));
    }
    let given = std::mem::take(&mut setup.words.restore);
    let mut restored = Restored::read_untrusted(&given)?;
    // Files may be most of it: one copy less.
    drop(given);
    let world = std::mem::take(&mut restored.going.state.world);
    Ok((Rules::restore_untrusted(ready.personality, setup, &world)?, Some(restored)))
}

/// The program itself, from its instance to its end.
struct Guest {
    pre: InstancePre<Host>,
    personality: Personality,
    /// Its end is told as a stop is.
    keep: bool,
}

impl Guest {
    /// Another function of one that had come to its end.
    fn is_called(&self, store: &mut Store<Host>, restored: &Restored, function: Option<&str>) -> Exit {
        let found = self.instance(store).and_then(|instance| {
            restored.apply_data(store, &instance)?;
            Ok((instance, entry::find(store, &instance, self.personality, function)?))
        });
        match found {
            Ok((instance, entry)) => {
                let returned = entry.call_again(store);
                self.ends(store, instance, function.unwrap_or("_start"), returned)
            }
            Err(exit) => exit,
        }
    }

    fn begins(&self, store: &mut Store<Host>, function: Option<&str>) -> Exit {
        let instance = match self.instance(store).and_then(|instance| load(store, &instance).map(|()| instance)) {
            Ok(instance) => instance,
            Err(exit) => return exit,
        };
        match entry::find(store, &instance, self.personality, function) {
            Ok(entry) => {
                let returned = entry.call(store);
                self.ends(store, instance, function.unwrap_or("_start"), returned)
            }
            Err(exit) => exit,
        }
    }

    fn goes_on(&self, store: &mut Store<Host>, restored: &Restored, continuation: &Module) -> Exit {
        let state = &restored.going.state;
        let function = Some(state.entry.as_str()).filter(|name| *name != "_start");
        let found = self.instance(store).and_then(|instance| {
            let resume = restored.apply(store, &instance, continuation)?;
            Ok((instance, resume, entry::find(store, &instance, self.personality, function)?))
        });
        match found {
            Ok((instance, resume, entry)) => {
                let returned = entry.resume(store, state.phase, resume);
                self.ends(store, instance, &state.entry, returned)
            }
            Err(exit) => exit,
        }
    }

    fn instance(&self, store: &mut Store<Host>) -> Result<Instance, Exit> {
        let made = self.pre.instantiate(&mut *store);
        let refused = store.data().limiter.refused_minimum;
        let instance = made.map_err(|error| of_error(&error, Phase::Instantiation, refused))?;
        choose_memory(store, &instance);
        Ok(instance)
    }

    fn ends(
        &self,
        store: &mut Store<Host>,
        instance: Instance,
        entry: &str,
        returned: Result<Returned, Failed>,
    ) -> Exit {
        match returned {
            Ok(Returned::Done(result)) => {
                let left = Left { module: self.pre.module(), instance, phase: gatebus_module::Phase::Entry, entry };
                let kept = if self.keep { keep(store, &left) } else { Ok(()) };
                kept.map_or_else(|exit| exit, |()| of_return(result))
            }
            Ok(Returned::Left(phase)) => suspend(store, &Left { module: self.pre.module(), instance, phase, entry }),
            Err(Failed { error, .. }) if store.data().slots.is_unwinding() => of_unsaved(&error),
            // As of a program that cannot be stopped, where it is a part of the making of the instance.
            Err(Failed { part: gatebus_module::Phase::Start, error }) => of_error(&error, Phase::Instantiation, false),
            Err(Failed { error, .. }) => of_error(&error, Phase::Call, false),
        }
    }
}

/// The data segments of a program that can be suspended: their instance is made without them.
fn load(store: &mut Store<Host>, instance: &Instance) -> Result<(), Exit> {
    if !store.data().slots.has_control() {
        return Ok(());
    }
    let Ok(load) = instance.get_typed_func::<(), ()>(&mut *store, gatebus_module::LOAD) else { return Ok(()) };
    load.call(&mut *store, ()).map_err(|error| of_error(&error, Phase::Instantiation, false))
}

/// Pointers in arguments of host functions mean the memory exported as `memory`, if there is one.
fn choose_memory(store: &mut Store<Host>, instance: &Instance) {
    if let Some(memory) = instance.get_memory(&mut *store, "memory") {
        let address = memory.data_ptr(&*store) as usize;
        let host = store.data_mut();
        host.slot = host.slots.slot_at(address);
    }
}
