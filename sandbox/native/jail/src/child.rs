//! A child of the spawner, from fork to lock.

use std::ops::Range;

/// The last step before the guest: everything that is still open closes, and six system calls are left.
#[derive(Debug)]
pub struct ProgramLock(());

/// The last step before the compiler: three descriptors are left, and the calls of an allocator.
#[derive(Debug)]
pub struct CompileLock(());

impl ProgramLock {
    /// Locks the process. `reservations` are the address ranges of the guest's memories: `mprotect(READ|WRITE)` is
    /// allowed inside them. A step that fails ends the process with status 80 + step.
    pub fn enter(self, _reservations: &[Range<u64>]) {}
}

impl CompileLock {
    /// Locks the process.
    pub fn enter(self) {}
}
