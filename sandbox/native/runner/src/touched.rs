//! The pages that every program writes on its way, made its own while it waits for its request.
//!
//! After a fork each first write to a page is a fault that copies it, or clears a new one. A child used to run the warm-up's
//! program for that, which cost a third of its whole life. Now the spawner finds out once, with that program, which pages
//! these are, and a child asks the kernel for them.

use crate::heap;
use std::hint::black_box;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

const PAGE: usize = 4096;
/// Of the stack, below the page that the waiting frame is on: a hello reaches as deep.
const STACK: usize = 2 * PAGE;
/// What an ordinary hello takes of the heap beyond the warm-up's one: arguments, a larger setup.
const MORE_HEAP: usize = PAGE;
/// Each costs a call.
const RANGES_MAX: usize = 16;

/// What a child makes its own, beside its stack.
#[derive(Debug, Default)]
pub struct Touched(Vec<Range<usize>>);

impl Touched {
    /// In a prepared child. What the kernel refuses (Linux before 5.14) is faulted in as it is written.
    pub fn make_own(&self) {
        let here = stack();
        populate(&(here - STACK..here));
        self.0.iter().for_each(populate);
    }

    /// Whether this address is on one of them.
    pub fn contains(&self, address: usize) -> bool {
        self.0.iter().any(|range| range.contains(&address))
    }
}

/// The heap as it is before a program runs. The copy is not in the heap: it would be in the way of what it looks for.
pub struct Before {
    heap: Range<usize>,
    copy: *mut u8,
    found: Arc<Mutex<Touched>>,
}

// SAFETY: the copy is its own.
unsafe impl Send for Before {}

impl Before {
    /// Looks at it now. `None`: no memory for it.
    pub fn new(found: Arc<Mutex<Touched>>) -> Option<Before> {
        let heap = heap::used_range();
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let copy = unsafe { libc::mmap(std::ptr::null_mut(), heap.len(), access, flags, -1, 0) };
        if copy == libc::MAP_FAILED {
            return None;
        }
        // SAFETY: the heap up to its free end is readable, and the copy as long.
        unsafe { std::ptr::copy_nonoverlapping(heap.start as *const u8, copy.cast(), heap.len()) };
        Some(Before { heap, copy: copy.cast(), found })
    }

    /// In the middle of the program, when it holds all that it needs.
    pub fn compare(self) {
        let fresh = self.heap.end..heap::used_range().end + MORE_HEAP;
        let mut ranges = vec![heap::state(), heap::end_mark(), fresh];
        for page in self.heap.clone().step_by(PAGE).filter(|page| self.has_changed(*page)) {
            match ranges.last_mut().filter(|last| last.end == page) {
                Some(last) => last.end = page + PAGE,
                None => ranges.push(page..page + PAGE),
            }
        }
        ranges.truncate(RANGES_MAX);
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Touched(ranges);
    }

    fn has_changed(&self, page: usize) -> bool {
        let length = PAGE.min(self.heap.end - page);
        // SAFETY: both are readable for so long, and nobody writes meanwhile: one thread, and no reference is kept.
        unsafe {
            let now = std::slice::from_raw_parts(page as *const u8, length);
            now != std::slice::from_raw_parts(self.copy.add(page - self.heap.start), length)
        }
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        // SAFETY: its own mapping.
        unsafe { libc::munmap(self.copy.cast(), self.heap.len()) };
    }
}

/// In the spawner, before it forks: the stack that the engine's start has used is deeper than any program's.
pub fn forget_deep_stack() {
    const DEEPEST: usize = 256 << 10;
    let top = (stack() - 4 * PAGE) & !(PAGE - 1);
    // Not in one call: it would stop at the stack's present end.
    for page in (top - DEEPEST..top).step_by(PAGE).rev() {
        // SAFETY: nothing below the present frames (and what the calls here need) is in use; it reads as zero again.
        if unsafe { libc::madvise(page as _, PAGE, libc::MADV_DONTNEED) } != 0 {
            break;
        }
    }
}

/// About where the present frame is.
fn stack() -> usize {
    let local = 0u8;
    black_box(&raw const local) as usize
}

fn populate(range: &Range<usize>) {
    let start = range.start & !(PAGE - 1);
    let length = range.end.next_multiple_of(PAGE) - start;
    // SAFETY: the bytes stay what they are.
    unsafe { libc::madvise(start as _, length, libc::MADV_POPULATE_WRITE) };
}
