//! Code and constants on huge pages: one entry of the page tables stands for 512. A fork copies the entries, an end drops them, the
//! processor looks them up: two thirds of the entries of a child were those of its code, and cost a quarter of its life.
//!
//! The pages are copied to memory of the process, and the copy takes their place in one step. A piece need not begin or end
//! where a huge page does if nothing else is mapped in the rest of it: the executable is linked with 2 MiB between its pieces
//! (build.rs), so that this holds wherever the kernel puts it. What cannot be moved stays as it is: a kernel without huge pages, a
//! policy against it, a processor whose huge pages are larger.

use libc::{MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, PROT_NONE, PROT_READ, PROT_WRITE};
use std::ffi::c_int;
use std::ops::Range;
use std::ptr::null_mut;

/// Of x86-64, and of arm64 with pages of 4 KiB.
const HUGE: usize = 2 << 20;
/// What is smaller has too few entries to be worth 2 MiB.
const WORTH: usize = 256 << 10;
const NOTHING: c_int = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

/// Moves what it can of a range; the part of the address space that is on huge pages now, maybe none.
///
/// # Safety
/// The range consists of whole readable pages with this protection, which nobody writes.
pub unsafe fn enlarge(range: &Range<usize>, protection: c_int) -> Range<usize> {
    let none = range.start..range.start;
    if range.len() < WORTH {
        return none;
    }
    let before = claim(range.start & !(HUGE - 1)..range.start);
    let after = claim(range.end..range.end.next_multiple_of(HUGE));
    let start = before.as_ref().map_or(range.start.next_multiple_of(HUGE), |gap| gap.start);
    let end = after.as_ref().map_or(range.end & !(HUGE - 1), |gap| gap.end);
    // SAFETY: what is replaced is the range itself and gaps that are ours.
    if start < end && unsafe { replace(start..end, range, protection) } {
        return start..end;
    }
    for gap in [before, after].into_iter().flatten().filter(|gap| !gap.is_empty()) {
        // SAFETY: claimed above, and nothing is in it.
        unsafe { libc::munmap(gap.start as _, gap.len()) };
    }
    none
}

/// Takes addresses if nothing is there.
fn claim(gap: Range<usize>) -> Option<Range<usize>> {
    if gap.is_empty() {
        return Some(gap);
    }
    let flags = NOTHING | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: a new mapping; where something is, the kernel refuses (or, before Linux 4.17, gives another address).
    unsafe {
        let taken = libc::mmap(gap.start as _, gap.len(), PROT_NONE, flags, -1, 0);
        if taken != MAP_FAILED && taken as usize != gap.start {
            libc::munmap(taken, gap.len());
        }
        (taken as usize == gap.start).then_some(gap)
    }
}

/// SAFETY: `place` consists of huge pages; beside parts of `range` there is nothing in it.
unsafe fn replace(place: Range<usize>, range: &Range<usize>, protection: c_int) -> bool {
    let length = place.len();
    let Some(copy) = aligned_room(length) else { return false };
    let (from, to) = (range.start.max(place.start), range.end.min(place.end));
    // SAFETY: the copy is new and as long as the place. The last call puts it there in one step: the code that runs
    // meanwhile is the same before and after.
    unsafe {
        libc::madvise(copy as _, length, libc::MADV_HUGEPAGE);
        std::ptr::copy_nonoverlapping(from as *const u8, (copy + from - place.start) as *mut u8, to - from);
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        let moved = libc::madvise(copy as _, length, libc::MADV_COLLAPSE) == 0
            && libc::mprotect(copy as _, length, protection) == 0
            && libc::mremap(copy as _, length, length, flags, place.start) != MAP_FAILED;
        if !moved {
            libc::munmap(copy as _, length);
        }
        moved
    }
}

/// New memory that begins where a huge page does.
fn aligned_room(length: usize) -> Option<usize> {
    // SAFETY: a new mapping, larger by what its alignment may take; what is too much of it goes.
    unsafe {
        let room = libc::mmap(null_mut(), length + HUGE, PROT_READ | PROT_WRITE, NOTHING, -1, 0);
        if room == MAP_FAILED {
            return None;
        }
        let (start, copy) = (room as usize, (room as usize).next_multiple_of(HUGE));
        libc::munmap((copy + length) as _, start + HUGE - copy);
        if copy > start {
            libc::munmap(room, copy - start);
        }
        Some(copy)
    }
}
