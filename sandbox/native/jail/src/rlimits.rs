//! Resource limits of a child. Those without a number from the request are set when it is prepared.

use crate::sys::{Failure, check};
use crate::workload::StackClass;
use gatebus_wire::{Compile, Start};

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

/// Limits of every child.
const ALWAYS: &[(Resource, u64, &str)] = &[
    (libc::RLIMIT_NPROC, 0, "no fork: fails even for the only process of its user"),
    (libc::RLIMIT_CORE, 0, "no core file: it would hold the guest's memory"),
    (libc::RLIMIT_MEMLOCK, 0, "no locked pages; also closes io_uring (ENOMEM)"),
    (libc::RLIMIT_MSGQUEUE, 0, "no message queues"),
    (libc::RLIMIT_NOFILE, 128, "ours are below; a loop of dup ends there"),
];

/// Beside the guest's stack: the runtime's own frames and the handlers'. Measured: below 100 KiB.
const OWN_STACK: u64 = 768 << 10;

/// A compile worker's facts (PROTOCOL.md), which may be longer than its image.
const FACTS_MAX: u64 = 4 << 20;

fn set(resource: Resource, value: u64) -> Result<(), Failure> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: `limit` is valid.
    check("setrlimit", unsafe { libc::setrlimit(resource, &limit) }).map(|_| ())
}

/// When a program's child is prepared.
pub(crate) fn prepare_program(class: StackClass) -> Result<(), Failure> {
    for (resource, value, _) in ALWAYS {
        set(*resource, *value)?;
    }
    // Closes writing to memfds (SIGXFSZ), and so running one.
    set(libc::RLIMIT_FSIZE, 0)?;
    set(libc::RLIMIT_STACK, class.bytes_again() + OWN_STACK)
}

/// When a compile worker is prepared: the parser and the compiler recurse on the program's nesting, so its stack is
/// bounded too.
pub(crate) fn prepare_compile() -> Result<(), Failure> {
    for (resource, value, _) in ALWAYS {
        set(*resource, *value)?;
    }
    set(libc::RLIMIT_STACK, 16 << 20)
}

/// When the program is known. The CPU limit is the back-stop of the timer (`back_stop`).
pub(crate) fn limit_program(start: &Start) -> Result<(), Failure> {
    set(libc::RLIMIT_DATA, start.data_limit)?;
    limit_cpu(start.cpu_ms)
}

/// When the job is known.
pub(crate) fn limit_compile(job: &Compile) -> Result<(), Failure> {
    set(libc::RLIMIT_AS, job.memory_limit)?;
    set(libc::RLIMIT_FSIZE, job.max_code.max(FACTS_MAX))?;
    limit_cpu(job.cpu_ms)
}

fn limit_cpu(cpu_ms: u32) -> Result<(), Failure> {
    if cpu_ms == 0 {
        return Ok(());
    }
    set(libc::RLIMIT_CPU, back_stop(cpu_ms))
}

/// Seconds. The timer counts what a process really ran; this limit is held against the kernel's ticks, each of which is
/// booked whole for whoever runs when it comes. On busy processors 11 s of ticks were seen for 9.8 s that were run, and
/// a second on top ended the program before its timer. Twice as long is never first, and still an end.
fn back_stop(cpu_ms: u32) -> u64 {
    (2 * u64::from(cpu_ms)).div_ceil(1000) + 1
}

#[cfg(test)]
mod tests {
    use super::back_stop;

    #[test]
    fn the_kernels_ticks_end_nobody_before_the_timer_that_counts_what_was_run() {
        for cpu_ms in [1, 100, 10_000, 30_000, 3_600_000, u32::MAX] {
            assert!(back_stop(cpu_ms) * 1000 > u64::from(cpu_ms) * 2, "{cpu_ms}");
        }
        assert_eq!(back_stop(100), 2);
    }
}
