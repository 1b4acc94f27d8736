//! System calls and their errors. No policy.

use std::fmt;

/// Makes a system call with every argument widened to 64 bits: literals of 32 bits would leave the upper halves
/// undefined, which reads as EINVAL now and then, and as a kill where a filter checks them.
macro_rules! syscall {
    ($number:expr $(, $argument:expr)* $(,)?) => { libc::syscall($number $(, $argument as u64)*) };
}
pub(crate) use syscall;

/// A step that the kernel refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Which step.
    pub what: &'static str,
    /// Why.
    pub errno: i32,
}

impl Failure {
    /// This step failed with the present errno.
    pub fn now(what: &'static str) -> Failure {
        Failure { what, errno: errno() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, std::io::Error::from_raw_os_error(self.errno))
    }
}

impl std::error::Error for Failure {}

/// The error of the last call.
pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// The result of a call, or its failure.
pub(crate) fn check(what: &'static str, result: impl Into<i64>) -> Result<i64, Failure> {
    let result = result.into();
    if result < 0 { Err(Failure::now(what)) } else { Ok(result) }
}

/// Ends the process with this status, without destructors: exit handlers would make calls that a filter forbids.
pub fn exit_group(status: u8) -> ! {
    loop {
        // SAFETY: ends the process; nothing of it is used afterwards.
        unsafe { syscall!(libc::SYS_exit_group, status) };
    }
}

/// Milliseconds of the monotonic clock.
pub(crate) fn now_ms() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}
