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

/// When the program is known. The CPU limit is the back-stop of the timer: a second later.
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
    set(libc::RLIMIT_CPU, u64::from(cpu_ms.div_ceil(1000)) + 1)
}
