//! The system calls that each kind of process may make: one row per call, with its reason. `seccomp.rs` turns rows
//! into programs of the kernel; tests walk the same rows.
//!
//! ```text
//! spawner (stage 0) --fork--> child (stage 0) --lock--> program: PROGRAM
//! compile spawner (stage 0 + COMPILE) --fork--> child  --lock--> worker:  COMPILE
//! ```
//! Filters add up: what a later one allows must be allowed by the earlier ones. Every row is needed: the suite makes
//! each call under a tracer (tests/sandbox/test_used_calls.py). In none of them: open, socket,
//! socketpair, exec, ptrace, kill, memfd_create, clone3 (its flags lie in memory, where a filter cannot see them).

use crate::workload::PACKET;
use gatebus_wire::packets::PACKET_MAX;
use libc::{AT_EMPTY_PATH, CLONE_PIDFD, PR_SET_PDEATHSIG, PR_SET_TSC, PROT_EXEC, PROT_READ, PROT_WRITE, SIGCHLD};

/// One condition on an argument. All conditions of a row must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The low 32 bits are this: the kernel reads an int.
    Int(u8, u32),
    /// The low 32 bits are at most this: the kernel reads an unsigned int.
    IntAtMost(u8, u32),
    /// All 64 bits are this.
    Is(u8, u64),
    /// At most this.
    AtMost(u8, u64),
    /// At least this.
    AtLeast(u8, u64),
    /// None of these bits.
    NoBits(u8, u64),
}
use Check::{AtMost, Int, IntAtMost, Is, NoBits};

/// One allowed call. A call may have several rows: any of them allows it.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// Its number on this processor.
    pub call: libc::c_long,
    /// What its arguments must be.
    pub checks: &'static [Check],
    /// Who needs it.
    pub reason: &'static str,
}

const fn rule(name: &'static str, call: libc::c_long, checks: &'static [Check], reason: &'static str) -> Rule {
    Rule { name, call, checks, reason }
}

const READ_WRITE: u64 = (PROT_READ | PROT_WRITE) as u64;
const EXEC: u64 = PROT_EXEC as u64;
/// Bytes of a signal set.
const MASK: u64 = 8;

/// The program, but for mprotect, whose rows name the guest's memories ([`crate::seccomp::program`]).
pub const PROGRAM: &[Rule] = &[
    rule("write", libc::SYS_write, &[Int(0, PACKET as u32), AtMost(2, PACKET_MAX as u64)], "packets out"),
    rule("read", libc::SYS_read, &[Int(0, PACKET as u32), AtMost(2, PACKET_MAX as u64)], "packets in"),
    rule("ppoll", libc::SYS_ppoll, &[IntAtMost(1, 1), AtMost(4, MASK)], "waiting, with a timeout"),
    rule("sched_yield", libc::SYS_sched_yield, &[], "looking again, while others have the processor"),
    rule("rt_sigreturn", libc::SYS_rt_sigreturn, &[], "return from the engine's trap handler"),
    rule("exit_group", libc::SYS_exit_group, &[], "the end"),
];

/// Spawner and prepared child.
pub const STAGE_0: &[Rule] = &[
    rule("ppoll", libc::SYS_ppoll, &[IntAtMost(1, 1), AtMost(4, MASK)], "spawner waits for work or the end of a child"),
    rule("recvmsg", libc::SYS_recvmsg, &[], "PREPARE with its descriptors; START with its own"),
    rule("sendmsg", libc::SYS_sendmsg, &[], "BORN with a pidfd"),
    rule(
        "clone",
        libc::SYS_clone,
        &[Is(0, CLONE_PIDFD as u64 | SIGCHLD as u64)],
        "a child: a plain fork, nothing shared, no namespace",
    ),
    rule("wait4", libc::SYS_wait4, &[], "its end and what it cost"),
    rule("read", libc::SYS_read, &[], "packets, after the lock"),
    rule("write", libc::SYS_write, &[], "cgroup.procs, words of the child"),
    rule("close", libc::SYS_close, &[], "descriptors handed on"),
    rule("close_range", libc::SYS_close_range, &[], "the lock"),
    rule("dup3", libc::SYS_dup3, &[], "descriptors to their fixed numbers"),
    rule("fcntl", libc::SYS_fcntl, &[], "the image's descriptor, copied for the engine"),
    rule("statx", libc::SYS_statx, &[Int(2, AT_EMPTY_PATH as u32)], "size of the image"),
    rule("lseek", libc::SYS_lseek, &[], "size of the image; a worker's files from their start"),
    rule("mmap", libc::SYS_mmap, &[NoBits(2, EXEC)], "image and guest memory; executable only by mprotect"),
    rule("mprotect", libc::SYS_mprotect, &[], "the image's code, once per child"),
    rule("munmap", libc::SYS_munmap, &[], "a compile worker gives the addresses of guests back"),
    rule("madvise", libc::SYS_madvise, &[], "pages that a program will write, asked for ahead"),
    rule("membarrier", libc::SYS_membarrier, &[], "arm64: code becomes visible"),
    rule("rt_sigaction", libc::SYS_rt_sigaction, &[], "SIGCHLD as usual in the child"),
    rule("rt_sigprocmask", libc::SYS_rt_sigprocmask, &[], "signals unblocked in the child"),
    rule("rt_sigreturn", libc::SYS_rt_sigreturn, &[], "SIGCHLD in the spawner"),
    rule("timer_create", libc::SYS_timer_create, &[], "CPU and wall time"),
    rule("timer_settime", libc::SYS_timer_settime, &[], "CPU and wall time"),
    rule("prlimit64", libc::SYS_prlimit64, &[Int(0, 0)], "limits of this process"),
    rule("prctl", libc::SYS_prctl, &[Int(0, PR_SET_PDEATHSIG as u32)], "die with the spawner"),
    rule("prctl", libc::SYS_prctl, &[Int(0, PR_SET_TSC as u32)], "close the precise clock"),
    rule("clock_gettime", libc::SYS_clock_gettime, &[], "where the clock source has no user-space reading"),
    rule("getrandom", libc::SYS_getrandom, &[], "the seed of the guest's randomness, before the lock"),
    rule("landlock_restrict_self", libc::SYS_landlock_restrict_self, &[], "a domain of its own"),
    rule("seccomp", libc::SYS_seccomp, &[Int(0, libc::SECCOMP_SET_MODE_FILTER)], "the final filter"),
    rule("sched_yield", libc::SYS_sched_yield, &[], "looking again, while others have the processor"),
    rule("exit_group", libc::SYS_exit_group, &[], "the end"),
];

/// The compile worker, and beside STAGE_0 its spawner. Memory is there before the lock: the runtime's own heap.
pub const COMPILE: &[Rule] = &[
    rule("statx", libc::SYS_statx, &[Int(2, AT_EMPTY_PATH as u32)], "size of the source"),
    rule("pread64", libc::SYS_pread64, &[], "the source"),
    rule("write", libc::SYS_write, &[], "image and facts"),
    rule("clock_gettime", libc::SYS_clock_gettime, &[], "where the clock source has no user-space reading"),
    rule("exit_group", libc::SYS_exit_group, &[], "the end"),
];

/// mprotect of the guest's memory: exactly readable and writable.
pub(crate) const GROW: Check = Is(2, READ_WRITE);
