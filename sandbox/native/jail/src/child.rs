//! A child of the spawner, from fork to lock: prepare, wait for work, run.
//!
//! Everything that does not depend on the program is done before its request comes: domain, control groups (an attach
//! waits for the kernel up to 29 ms), limits, and the page faults of the first run.

use crate::descriptors::{Received, close_range, place, receive};
use crate::landlock;
use crate::signals::Timer;
use crate::sys::{Failure, check, exit_group, syscall};
use crate::workload::{CompileDescriptors, FACTS, IMAGE, PACKET, ProgramDescriptors, StackClass, WASM, Workload};
use crate::{container, rlimits, seccomp, signals};
use gatebus_wire::keeper::{self, Request};
use gatebus_wire::spawner::{Class, PREPARED};
use gatebus_wire::{Compile, Layers, Start, status};
use seccompiler::BpfProgram;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// The child's own socket to the keeper: the last of the reserved numbers, so that no other lands on it.
const PRIVATE: RawFd = container::RESERVED_LAST;

/// The steps of a child; the process ends with 80 + number when one fails.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Step {
    Descriptors = 1,
    Signals = 2,
    Landlock = 3,
    Groups = 4,
    Limits = 5,
    Request = 6,
    Timers = 7,
    Close = 8,
    Clock = 9,
    Filter = 10,
}

/// What children get from their spawner by fork.
#[derive(Debug)]
pub(crate) struct Inheritance {
    /// Layers that are on; those that cannot be had are not tried again.
    pub(crate) layers: Layers,
    pub(crate) ruleset: Option<OwnedFd>,
    pub(crate) filter: ProgramFilter,
}

/// The final filter of programs whose memories are at these addresses: the same in every child of a spawner.
#[derive(Debug)]
pub(crate) struct ProgramFilter {
    reservations: Vec<Range<u64>>,
    program: BpfProgram,
}

impl ProgramFilter {
    pub(crate) fn new(reservations: Vec<Range<u64>>) -> Result<ProgramFilter, Failure> {
        Ok(ProgramFilter { program: seccomp::program(&reservations)?, reservations })
    }
}

/// The life of a child. `descriptors`: its private socket, then its `cgroup.procs`.
pub(crate) fn live<W: Workload>(workload: &mut W, class: Class, descriptors: Vec<OwnedFd>, from: &Inheritance) -> ! {
    prepare(class, descriptors, from);
    let timer = or_exit(Step::Timers, Timer::new());
    if stack_class(class).is_some() {
        workload.warm();
    }
    let (request, descriptors) = wait_for_work();
    match request {
        Request::Start(start) => run_program(workload, &start, descriptors, from, &timer),
        Request::Compile(job) => run_compile(workload, &job, descriptors, from, &timer),
        Request::Kill | Request::Status | Request::Share(_) | Request::Park(_) | Request::Scan(_) => {
            exit_group(status::jail_step(Step::Request as u8))
        }
    }
}

fn or_exit<T>(step: Step, result: Result<T, Failure>) -> T {
    match result {
        Ok(value) => value,
        Err(failure) => {
            // 2 is the private socket until the lock; the keeper shows it to the operator.
            if !is_locked() {
                say(&format!("{step:?}: {failure}"));
            }
            exit_group(status::jail_step(step as u8))
        }
    }
}

/// Set by the lock, for the panic hook: what it may do depends on it, and a hook takes no arguments.
static LOCKED: AtomicBool = AtomicBool::new(false);

pub(crate) fn is_locked() -> bool {
    LOCKED.load(Ordering::Relaxed)
}

/// In one write: one datagram of the private socket.
pub(crate) fn say(text: &str) {
    // SAFETY: a buffer that lives until the call returns.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}

fn stack_class(class: Class) -> Option<StackClass> {
    match class {
        Class::Small | Class::LowSmall => Some(StackClass::Small),
        Class::Large | Class::LowLarge => Some(StackClass::Large),
        Class::Compile => None,
    }
}

fn prepare(class: Class, descriptors: Vec<OwnedFd>, from: &Inheritance) {
    or_exit(Step::Descriptors, take_reserved(&descriptors));
    or_exit(Step::Signals, signals::die_with_parent().and_then(|()| signals::reset_in_child()));
    if let Some(ruleset) = &from.ruleset {
        or_exit(Step::Landlock, landlock::restrict(ruleset));
    }
    for group in descriptors.iter().skip(1) {
        or_exit(Step::Groups, enter_group(group));
    }
    drop(descriptors);
    if from.layers.has(Layers::RLIMITS) {
        let limited = match stack_class(class) {
            Some(stack) => rlimits::prepare_program(stack),
            None => rlimits::prepare_compile(),
        };
        or_exit(Step::Limits, limited);
    }
}

/// Every reserved number becomes the private socket: the spawner's control socket is gone, what is printed reaches
/// the keeper, and what is received later gets numbers above.
fn take_reserved(descriptors: &[OwnedFd]) -> Result<(), Failure> {
    let private = descriptors.first().ok_or(Failure { what: "private socket", errno: libc::EBADF })?;
    (0..=PRIVATE).try_for_each(|number| place(private.as_raw_fd(), number))
}

/// "0" is whoever writes; the kernel checks the rights of who opened the file, which is the keeper.
fn enter_group(procs: &OwnedFd) -> Result<(), Failure> {
    // SAFETY: one byte of a constant.
    check("cgroup.procs", unsafe { libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1) } as i64).map(|_| ())
}

/// Says that we are ready and takes the request. The end of the socket is our end: we were one too many.
fn wait_for_work() -> (Request, Vec<OwnedFd>) {
    let mut datagram = [0u8; keeper::DATAGRAM_MAX];
    let refused = |_| Failure::now("private socket");
    or_exit(Step::Request, crate::descriptors::send(PRIVATE, PREPARED, &[], 0).map_err(refused));
    let received = or_exit(Step::Request, receive(PRIVATE, &mut datagram, 0).map_err(refused));
    let Received { length, descriptors, .. } = received;
    if length == 0 {
        exit_group(0);
    }
    let request = Request::decode_untrusted(&datagram[..length], descriptors.len());
    let request = request.map_err(|_| Failure { what: "request", errno: libc::EBADMSG });
    (or_exit(Step::Request, request).1, descriptors)
}

fn run_program<W: Workload>(
    workload: &mut W,
    start: &Start,
    descriptors: Vec<OwnedFd>,
    from: &Inheritance,
    timer: &Timer,
) -> ! {
    let mut descriptors = descriptors;
    let base = descriptors.split_off(descriptors.len().saturating_sub(start.base_files as usize));
    let continuation = descriptors.drain(3.min(descriptors.len())..).next();
    let three: Result<[OwnedFd; 3], _> = descriptors.try_into();
    let [packet, image, memory] =
        or_exit(Step::Request, three.map_err(|_| Failure { what: "descriptors", errno: libc::EBADF }));
    or_exit(Step::Request, place(packet.as_raw_fd(), PACKET));
    drop(packet);
    if from.layers.has(Layers::RLIMITS) {
        or_exit(Step::Limits, rlimits::limit_program(start));
    }
    or_exit(Step::Timers, timer.start(start.cpu_ms));
    let lock = ProgramLock { layers: from.layers, filter: &from.filter };
    workload.run_program(start, ProgramDescriptors { packet: PACKET, image, memory, continuation, base }, lock)
}

fn run_compile<W: Workload>(
    workload: &mut W,
    job: &Compile,
    descriptors: Vec<OwnedFd>,
    from: &Inheritance,
    timer: &Timer,
) -> ! {
    for (descriptor, number) in descriptors.iter().zip([WASM, IMAGE, FACTS]) {
        or_exit(Step::Request, place(descriptor.as_raw_fd(), number));
        or_exit(Step::Request, rewind(number));
    }
    drop(descriptors);
    if from.layers.has(Layers::RLIMITS) {
        or_exit(Step::Limits, rlimits::limit_compile(job));
    }
    or_exit(Step::Timers, timer.start(job.cpu_ms));
    let lock = CompileLock { layers: from.layers };
    workload.run_compile(job, CompileDescriptors { wasm: WASM, image: IMAGE, facts: FACTS }, lock)
}

/// The position in a file is shared with whoever sent it, who has just written the source: it stands at its end.
fn rewind(number: RawFd) -> Result<(), Failure> {
    // SAFETY: a call with numbers only.
    check("lseek", unsafe { libc::lseek(number, 0, libc::SEEK_SET) }).map(|_| ())
}

/// The last step before the guest: everything that is still open closes, and seven system calls are left.
#[derive(Debug)]
pub struct ProgramLock<'a> {
    layers: Layers,
    filter: &'a ProgramFilter,
}

/// The last step before the compiler: three descriptors are left, and the calls of an allocator.
#[derive(Debug)]
pub struct CompileLock {
    layers: Layers,
}

impl ProgramLock<'_> {
    /// Locks the process. `reservations` are the address ranges of the guest's memories: `mprotect(READ|WRITE)` is
    /// allowed inside them. A step that fails ends the process with status 80 + step.
    pub fn enter(self, reservations: &[Range<u64>]) {
        // Built first: it allocates, and says something when it fails.
        let built =
            (reservations != self.filter.reservations).then(|| or_exit(Step::Filter, seccomp::program(reservations)));
        close_all_but(PACKET, PACKET);
        if self.layers.has(Layers::TSC) {
            or_exit(Step::Clock, close_precise_clock());
        }
        if self.layers.has(Layers::SECCOMP) {
            or_exit(Step::Filter, seccomp::install(built.as_ref().unwrap_or(&self.filter.program)));
        }
        // Not freed: the allocator may give pages back, by a call that is no longer allowed.
        std::mem::forget(built);
    }
}

impl CompileLock {
    /// Locks the process.
    pub fn enter(self) {
        let filter = or_exit(Step::Filter, seccomp::compile());
        close_all_but(WASM, FACTS);
        if self.layers.has(Layers::SECCOMP) {
            or_exit(Step::Filter, seccomp::install(&filter));
        }
        std::mem::forget(filter); // as above
    }
}

/// The private socket closes here: its hang-up tells the keeper that this child is a program now.
fn close_all_but(first: RawFd, last: RawFd) {
    LOCKED.store(true, Ordering::Relaxed);
    let closed = close_range(last.unsigned_abs() + 1, u32::MAX).and_then(|()| close_range(0, first.unsigned_abs() - 1));
    or_exit(Step::Close, closed);
}

/// Reading the precise clock becomes SIGSEGV; the coarse clocks are plain memory and stay.
pub(crate) fn close_precise_clock() -> Result<(), Failure> {
    // SAFETY: prctl with numbers only.
    check("PR_SET_TSC", unsafe { syscall!(libc::SYS_prctl, libc::PR_SET_TSC, libc::PR_TSC_SIGSEGV, 0, 0, 0) })
        .map(|_| ())
}
