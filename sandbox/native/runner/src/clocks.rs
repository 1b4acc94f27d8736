//! The C library's `clock_gettime`, once the processor's own counter is closed (layer "tsc").
//!
//! The precise clocks are read from that counter, without a system call; after the lock that is a SIGSEGV. The engine
//! measures its collections of references with the standard library's clock, for its log, even when nobody logs.
//! So this executable has a `clock_gettime` of its own, which every caller in it is linked to: before the lock it is the C
//! library's, after it the precise clocks answer with their coarse twins, which are plain memory.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

type Original = unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> libc::c_int;

static ORIGINAL: AtomicUsize = AtomicUsize::new(0);
static COARSE_ONLY: AtomicBool = AtomicBool::new(false);

/// From now on precise clocks answer as coarse ones do.
pub fn only_coarse() {
    // Found now: looking it up takes memory and locks.
    original();
    COARSE_ONLY.store(true, Relaxed);
}

fn original() -> Option<Original> {
    let mut address = ORIGINAL.load(Relaxed);
    if address == 0 {
        // SAFETY: a C string; the answer is checked.
        address = unsafe { libc::dlsym(libc::RTLD_NEXT, c"clock_gettime".as_ptr()) } as usize;
        ORIGINAL.store(address, Relaxed);
    }
    // SAFETY: null or the C library's function of this name, whose type is fixed by POSIX.
    unsafe { std::mem::transmute::<usize, Option<Original>>(address) }
}

/// POSIX `clock_gettime`.
///
/// # Safety
/// `time` points to a timespec, as for the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    let clock = match clock {
        libc::CLOCK_MONOTONIC if COARSE_ONLY.load(Relaxed) => libc::CLOCK_MONOTONIC_COARSE,
        libc::CLOCK_REALTIME if COARSE_ONLY.load(Relaxed) => libc::CLOCK_REALTIME_COARSE,
        other => other,
    };
    // SAFETY: the caller's promise is the same.
    original().map_or(-1, |original| unsafe { original(clock, time) })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_standard_librarys_clock_is_ours() {
        let before = std::time::Instant::now();
        assert_ne!(super::ORIGINAL.load(super::Relaxed), 0, "std was linked to this module's function");
        assert!(std::time::Instant::now() >= before);
    }
}
