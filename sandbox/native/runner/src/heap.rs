//! The runtime's own heap: one reserved range, grown only while system calls are still allowed.
//!
//! After stage 2 a program may make seven system calls, none of which gives memory; so everything the runtime allocates
//! (the engine's tables, the files of the guest, buffers) comes from a range that was made readable and writable before.
//! The range is reserved without access, which costs nothing; `allow` opens as much of it as this process may use.
//!
//! The allocator is two-level segregated fit: constant time, neighbours joined again when freed, so that a guest that
//! grows and removes files for ever does not crumble it. Blocks lie end to end, each with a header of 16 bytes.
//! When the heap of an armed process is used up it ends with status 62, because nothing behind a failed allocation
//! (unwinding, printing, abort) is possible under the filter.

use crate::blocks::{HEADER, Heap, RESERVED};
use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Open from the start: enough for the keeper, the spawner with two engines, and the linkers (about 1 MiB is touched).
/// A process that is not armed yet opens more by itself.
const AT_START: usize = 32 << 20;
/// Exit status of a process whose heap is used up (PROTOCOL.md).
pub const EXHAUSTED: i32 = 62;

/// The process's allocator. One thread in every role; the lock is for the test harness.
pub struct FixedHeap {
    lock: AtomicBool,
    armed: AtomicBool,
    heap: UnsafeCell<Heap>,
}

// SAFETY: `heap` is reached only through `with`, which holds the lock.
unsafe impl Sync for FixedHeap {}

impl FixedHeap {
    const fn new() -> FixedHeap {
        FixedHeap { lock: AtomicBool::new(false), armed: AtomicBool::new(false), heap: UnsafeCell::new(Heap::new()) }
    }

    fn with<R>(&self, action: impl FnOnce(&mut Heap) -> R) -> R {
        while self.lock.swap(true, Ordering::Acquire) {
            std::hint::spin_loop();
        }
        // SAFETY: the lock is held, so this is the only reference.
        let result = action(unsafe { &mut *self.heap.get() });
        self.lock.store(false, Ordering::Release);
        result
    }

    /// No memory left: an armed process ends.
    fn or_end(&self, pointer: *mut u8) -> *mut u8 {
        if pointer.is_null() && self.armed.load(Ordering::Relaxed) {
            // SAFETY: ends the process; no memory is involved.
            unsafe { libc::syscall(libc::SYS_exit_group, i64::from(EXHAUSTED)) };
        }
        pointer
    }
}

// SAFETY: blocks are disjoint, at least as large and as aligned as asked, and stay until freed.
unsafe impl GlobalAlloc for FixedHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.or_end(self.with(|heap| {
            let first = heap.allocate(layout.size(), layout.align());
            if !first.is_null() || self.armed.load(Ordering::Relaxed) {
                return first;
            }
            let more = (heap.end - heap.base).saturating_add(layout.size()).saturating_add(layout.align()) + AT_START;
            if heap.open(more) { heap.allocate(layout.size(), layout.align()) } else { first }
        }))
    }

    unsafe fn dealloc(&self, content: *mut u8, _: Layout) {
        // SAFETY: by GlobalAlloc's contract `content` came from here.
        self.with(|heap| unsafe { heap.free(content) });
    }

    unsafe fn realloc(&self, content: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: by contract `content` came from here; a block resized in place keeps its alignment.
        if self.with(|heap| unsafe { heap.resize(content, size) }) {
            return content;
        }
        // SAFETY: the new block is disjoint from the old one and both hold the smaller of the two sizes.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(content, new, layout.size().min(size));
                self.dealloc(content, layout);
            }
            new
        }
    }
}

#[global_allocator]
static HEAP: FixedHeap = FixedHeap::new();

/// Opens the heap up to `bytes` in all. False: the kernel refused (RLIMIT_DATA), what was open stays.
pub fn allow(bytes: usize) -> bool {
    HEAP.with(|heap| heap.open(bytes))
}

/// What a program's heap is opened in: its usual size, opened ahead of time, then fits programs of slightly other limits.
pub const STEP: usize = 8 << 20;

/// Opens as much as the kernel gives, at most `bytes`, and closes what is open beyond; for processes whose limit is the
/// kernel's. False: it could not be closed.
pub fn limit(bytes: usize) -> bool {
    let mut wanted = bytes;
    while wanted > AT_START && !allow(wanted) {
        wanted -= wanted / 8;
    }
    HEAP.with(|heap| heap.close(wanted.max(AT_START)))
}

/// Gives pages without content back: what the warm-up's compiler has used must not be copied at every fork.
pub fn discard_free_pages() {
    HEAP.with(|heap| heap.discard());
}

/// Children's blocks will lie together, on pages of their own, not in holes between those of the spawner: each page that
/// they share would be copied at its first write.
pub fn give_up_holes() {
    HEAP.with(Heap::give_up_holes);
}

/// Where blocks are, up to the free end.
pub fn used_range() -> Range<usize> {
    HEAP.with(|heap| heap.used_range())
}

/// What closes the heap: it is written when the block before it changes.
pub fn end_mark() -> Range<usize> {
    HEAP.with(|heap| heap.end - HEADER..heap.end)
}

/// Where the heap keeps its lists.
pub fn state() -> Range<usize> {
    let start = &raw const HEAP as usize;
    start..start + size_of::<FixedHeap>()
}

/// Lets the kernel use huge pages, for a process that will fill a large heap soon: fewer page faults.
pub fn prefer_huge_pages() {
    HEAP.with(|heap| {
        // SAFETY: advice about our own range.
        unsafe { libc::madvise(heap.base as _, heap.end - heap.base, libc::MADV_HUGEPAGE) };
    });
}

/// Gives the addresses beyond the first `bytes` back, for a process whose addresses are counted (RLIMIT_AS).
pub fn give_back_beyond(bytes: usize) {
    HEAP.with(|heap| {
        let from = (heap.base + bytes.next_multiple_of(4096)).max(heap.end);
        // SAFETY: [from, base + RESERVED) is reserved and was never opened.
        unsafe { libc::munmap(from as _, heap.base + RESERVED - from) };
    });
}

/// From now on an exhausted heap ends the process with status 62.
pub fn arm() {
    HEAP.armed.store(true, Ordering::Relaxed);
}

/// Bytes in use, headers included.
pub fn used() -> usize {
    HEAP.with(|heap| heap.used)
}
