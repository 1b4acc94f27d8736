//! Signals: native crashes become exit statuses, timers become ends, SIGCHLD is seen only while the spawner waits.

use crate::sys::{Failure, check, exit_group, syscall};
use gatebus_wire::status;
use libc::{c_int, c_void, siginfo_t};

/// The kernel's signal set is 64 bits; glibc's is 1,024 and its size is refused by the raw call.
const MASK_BYTES: usize = 8;

extern "C" fn crashed(signal: c_int, _: *mut siginfo_t, _: *mut c_void) {
    exit_group(status::native_crash(u8::try_from(signal).unwrap_or(0)))
}

extern "C" fn cpu_time_used(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    exit_group(status::CPU_TIME)
}

extern "C" fn child_ended(_: c_int, _: *mut siginfo_t, _: *mut c_void) {}

/// For signals that end the process. SA_ONSTACK: the guest's stack may be used up when the signal comes.
const LAST: c_int = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
/// For SIGCHLD. Not nested: a thousand children that end together would fill any stack with frames of the handler. Not for
/// children that are only parked.
const ORDINARY: c_int = libc::SA_SIGINFO | libc::SA_NOCLDSTOP;

fn handle(
    signal: c_int,
    handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void),
    flags: c_int,
) -> Result<(), Failure> {
    // SAFETY: an all-zero sigaction is valid; the handlers above make at most one system call, which is allowed in a
    // handler.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags;
        check("sigaction", libc::sigaction(signal, &action, std::ptr::null_mut())).map(|_| ())
    }
}

/// Before the engine is made: it hands faults that are not the guest's to the handlers it found. Without ours it
/// would reset them by sigaction, which the final filter forbids: every native crash would read as SIGSYS.
pub(crate) fn install_crash_handlers() -> Result<(), Failure> {
    for signal in [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGBUS] {
        handle(signal, crashed, LAST)?;
    }
    handle(libc::SIGPROF, cpu_time_used, LAST)?;
    // SAFETY: SIG_IGN has no code of ours. A write to a socket without reader is an error, not an end.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    Ok(())
}

/// In the spawner: SIGCHLD wakes ppoll and nothing else.
pub(crate) fn see_children_only_while_waiting() -> Result<(), Failure> {
    handle(libc::SIGCHLD, child_ended, ORDINARY)?;
    set_mask(1 << (libc::SIGCHLD - 1))
}

/// In a child: every signal as a new process has them, but for our handlers.
pub(crate) fn reset_in_child() -> Result<(), Failure> {
    // SAFETY: SIG_DFL has no code of ours.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    set_mask(0)
}

fn set_mask(mask: u64) -> Result<(), Failure> {
    // SAFETY: `mask` is a signal set of the size that is named.
    let result = unsafe { syscall!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, 0, MASK_BYTES) };
    check("sigprocmask", result).map(|_| ())
}

/// When the spawner dies, so do we: without a pid namespace nothing else would end us.
pub(crate) fn die_with_parent() -> Result<(), Failure> {
    // SAFETY: prctl with numbers only.
    check("prctl(PDEATHSIG)", unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }).map(|_| ())
}

/// Waits until `socket` can be read; SIGCHLD ends the wait. `false`: a signal came.
pub(crate) fn wait_readable_or_child(socket: c_int) -> bool {
    let mut waited = libc::pollfd { fd: socket, events: libc::POLLIN, revents: 0 };
    let mask = 0u64;
    // SAFETY: one pollfd and one signal set of the sizes that are named; no timeout.
    let ready = unsafe { syscall!(libc::SYS_ppoll, &raw mut waited, 1, 0, &raw const mask, MASK_BYTES) };
    ready > 0
}

/// The clock of a program's CPU time, made before its limit is known. Its handler ends it with a status of its own. Wall time
/// is the keeper's: a program that is parked cannot stop a timer, and may not set it again.
#[derive(Debug)]
pub(crate) struct Timer {
    cpu: i32,
}

impl Timer {
    /// It counts what the process really ran. (ITIMER_PROF counts ticks of the kernel: 87 ms for 100.)
    pub(crate) fn new() -> Result<Timer, Failure> {
        let mut cpu = 0i32;
        // SAFETY: an all-zero sigevent is valid, and everything that the kernel reads or writes is a local. Raw: the C
        // library's timer is another thing (it may start a thread).
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_SIGNAL;
            event.sigev_signo = libc::SIGPROF;
            let clock = libc::CLOCK_PROCESS_CPUTIME_ID;
            check("timer_create", syscall!(libc::SYS_timer_create, clock, &raw const event, &raw mut cpu))?;
        }
        Ok(Timer { cpu })
    }

    /// Zero is no limit.
    pub(crate) fn start(&self, cpu_ms: u32) -> Result<(), Failure> {
        if cpu_ms == 0 {
            return Ok(());
        }
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let once = libc::timespec { tv_sec: i64::from(cpu_ms / 1000), tv_nsec: i64::from(cpu_ms % 1000) * 1_000_000 };
        let setting = libc::itimerspec { it_interval: never, it_value: once };
        // SAFETY: what the kernel reads is a local.
        let result = unsafe { syscall!(libc::SYS_timer_settime, self.cpu, 0, &raw const setting, 0) };
        check("timer_settime", result).map(|_| ())
    }
}
