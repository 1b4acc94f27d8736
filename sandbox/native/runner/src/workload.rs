//! What the jail runs: an engine for each size of stack, made once in the spawner, programs and compile workers in its children.

use crate::channel::Socket;
use crate::clocks;
use crate::compile;
use crate::engine::{config, fingerprint};
use crate::heap;
use crate::link::Linkers;
use crate::memory::Slots;
use crate::program::{self, Order, Stage};
use crate::rehearsal::{MODULE, Rehearsal};
use crate::text::Text;
use crate::touched::{Before, Touched, forget_deep_stack};
use gatebus_jail::descriptors::sealed_memfd;
use gatebus_jail::{CompileDescriptors, CompileLock, ProgramDescriptors, ProgramLock, StackClass, Workload};
use gatebus_wire::{Compile, Start, status};
use std::fs::File;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::Engine;

/// Engines for both classes of stack, and the image of the warm-up.
pub struct Native {
    small: Stage,
    large: Stage,
    large_suspendable: Stage,
    small_again: Stage,
    large_again: Stage,
    rehearsal: File,
    slots: Arc<Slots>,
    touched: Touched,
}

/// Of the kernel's limit on a program's private memory, what is not for the runtime's heap: further memories of the
/// guest, exception objects, and what the executable has written of its own pages.
const HEADROOM: u64 = 16 << 20;
/// The heap of a program with the product's default limits (sandbox/limits.py).
const USUAL_HEAP: usize = 72 << 20;
/// Of a compile worker's addresses, what is not for its heap: the executable and the stack (16 MiB).
const WORKER_HEADROOM: u64 = 48 << 20;

fn stage(stack: u64, slots: &Arc<Slots>) -> Result<Stage, String> {
    let stack = usize::try_from(stack).map_err(|error| error.to_string())?;
    let engine = Engine::new(&config(stack, slots)).map_err(|error| format!("engine: {error}"))?;
    let linkers = Linkers::new(&engine).map_err(|error| format!("linker: {error}"))?;
    Ok(Stage { engine, linkers, slots: slots.clone() })
}

/// A file in memory that nobody changes any more: every child has it open, and maps it before it is locked.
fn memfd(content: &[u8]) -> Result<File, String> {
    sealed_memfd(content).map(File::from).map_err(|failure| format!("warm-up: {failure}"))
}

fn size_of_file(file: &OwnedFd) -> u64 {
    // SAFETY: the descriptor stays the caller's: this File is never dropped.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(file.as_raw_fd()) });
    file.metadata().map_or(0, |found| found.len())
}

/// The end of a process of this crate, without unwinding or clean-up.
pub fn exit(status: u32) -> ! {
    gatebus_jail::sys::exit_group(u8::try_from(status).unwrap_or(status::PANIC))
}

/// After the lock nothing can be printed any more: a panic is its status.
fn silent_panics() {
    std::panic::set_hook(Box::new(|_| exit(u32::from(status::PANIC))));
}

impl Native {
    /// Both engines, and each has run once: signal stack, thread-locals and hash keys are inherited by every child.
    pub(crate) fn stand() -> Result<Native, String> {
        let slots = Slots::reserve()?;
        let of = |bytes| stage(bytes, &slots);
        let (small, large) = (of(StackClass::Small.guest_bytes())?, of(StackClass::Large.guest_bytes())?);
        let large_suspendable = of(StackClass::Large.bytes_suspendable())?;
        let (small_again, large_again) = (of(StackClass::Small.bytes_again())?, of(StackClass::Large.bytes_again())?);
        let module = wat::parse_str(MODULE).map_err(|error| error.to_string())?;
        let image = small.engine.precompile_module(&module).map_err(|error| format!("warm-up: {error}"))?;
        let rehearsal = memfd(&image)?;
        drop(image);
        let touched = Touched::default();
        let mut native =
            Native { small, large, large_suspendable, small_again, large_again, rehearsal, slots, touched };
        if !native.rehearse(StackClass::Small) || !native.rehearse(StackClass::Large) {
            return Err("the warm-up's program does not run".to_owned());
        }
        heap::discard_free_pages();
        Ok(native)
    }

    /// What each child would pay for is paid here: page faults of code, opening the heap, finding out what it will touch.
    fn make_forks_cheap(&mut self) -> Result<(), String> {
        if !heap::allow(USUAL_HEAP) {
            return Err("no memory for the runtime's heap".to_owned());
        }
        heap::give_up_holes();
        let text = Text::find();
        text.forget();
        let text = text.enlarge();
        let found = Arc::new(Mutex::new(Touched::default()));
        let rehearsal = Rehearsal::observed(Before::new(found.clone()));
        if !self.perform(StackClass::Small, rehearsal) {
            return Err("the warm-up's program does not run twice".to_owned());
        }
        self.touched = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        heap::discard_free_pages();
        forget_deep_stack();
        if !text.inherit() {
            return Err("the executable's own code cannot be made unwritable again".to_owned());
        }
        Ok(())
    }

    fn stage(&mut self, class: StackClass) -> &mut Stage {
        match class {
            StackClass::Small => &mut self.small,
            StackClass::Large => &mut self.large,
        }
    }

    /// Frames of a continuation are larger than those that the program was left with: they keep what every place of
    /// the set needs.
    fn stage_again(&mut self, class: StackClass) -> &mut Stage {
        match class {
            StackClass::Small => &mut self.small_again,
            StackClass::Large => &mut self.large_again,
        }
    }

    /// The same as of an ordinary program in the small class ([`StackClass::bytes_suspendable`]).
    fn stage_suspendable(&mut self, class: StackClass) -> &mut Stage {
        match class {
            StackClass::Small => &mut self.small,
            StackClass::Large => &mut self.large_suspendable,
        }
    }

    fn rehearse(&mut self, class: StackClass) -> bool {
        self.perform(class, Rehearsal::new())
    }

    /// Runs the warm-up's program; true when it ended well.
    fn perform(&mut self, class: StackClass, rehearsal: Rehearsal) -> bool {
        let Ok(copy) = self.rehearsal.try_clone() else { return false };
        let order = Order { memory_limit: 1 << 20, table_limit: 16, ..Order::anonymous(copy.into()) };
        let end = program::run(self.stage(class), order, Box::new(rehearsal), |_| ());
        let ended_well = end.status == u32::from(status::HALTED);
        drop(end);
        self.slots.reset();
        ended_well
    }
}

impl Workload for Native {
    fn initialise() -> Result<Native, String> {
        let mut native = Native::stand()?;
        native.make_forks_cheap()?;
        Ok(native)
    }

    fn fingerprint(&self) -> u64 {
        fingerprint(&self.small.engine)
    }

    fn reservations(&self) -> Vec<Range<u64>> {
        vec![self.slots.range()]
    }

    fn warm(&mut self) {
        self.touched.make_own();
    }

    fn run_program(&mut self, start: &Start, fds: ProgramDescriptors, lock: ProgramLock) -> ! {
        let Ok(socket) = Socket::open(fds.packet, start.cpu_ms) else { exit(u32::from(status::PANIC)) };
        let class = if start.stack_class == 0 { StackClass::Small } else { StackClass::Large };
        // The kernel counts images, which are mapped privately, as data: the host allows for them.
        let images = size_of_file(&fds.image) + fds.continuation.as_ref().map_or(0, size_of_file);
        // So it does with a memory that is shared until it is written to.
        let memory = if start.base_files > 0 { start.memory_limit } else { 0 };
        let data = start.data_limit.saturating_sub(images).saturating_sub(memory);
        let order = Order {
            memory_limit: start.memory_limit,
            table_limit: start.table_limit,
            image: fds.image,
            memory: Some(fds.memory),
            control_bytes: start.control_bytes as usize,
            continuation: fds.continuation,
            base: (fds.base, start.base_pages),
        };
        let room = usize::try_from(data.saturating_sub(HEADROOM.max(data / 4))).unwrap_or(usize::MAX);
        if !heap::limit(room - room % heap::STEP) {
            exit(u32::from(status::RUNTIME_MEMORY));
        }
        heap::arm();
        clocks::only_coarse();
        silent_panics();
        let stage = match &order.continuation {
            Some(_) => self.stage_again(class),
            None if order.control_bytes > 0 => self.stage_suspendable(class),
            None => self.stage(class),
        };
        let end = program::run(stage, order, Box::new(socket), |ranges| lock.enter(ranges));
        exit(end.status)
    }

    fn run_compile(&mut self, job: &Compile, fds: CompileDescriptors, lock: CompileLock) -> ! {
        // SAFETY: the rehearsal's stores are gone and this process makes none.
        unsafe { self.slots.give_back() };
        let room = usize::try_from(job.memory_limit.saturating_sub(WORKER_HEADROOM)).unwrap_or(usize::MAX);
        heap::limit(room);
        heap::give_back_beyond(room);
        heap::prefer_huge_pages();
        heap::arm();
        silent_panics();
        lock.enter();
        // SAFETY: the three descriptors are this process's own. They are never closed: that call is not allowed.
        let files = [fds.wasm, fds.image, fds.facts].map(|fd| ManuallyDrop::new(unsafe { File::from_raw_fd(fd) }));
        let done = compile::work(&self.small.engine, files.each_ref().map(|file| &**file), job.max_code, job.job);
        exit(u32::from(if done.is_ok() { status::HALTED } else { status::PANIC }))
    }
}
