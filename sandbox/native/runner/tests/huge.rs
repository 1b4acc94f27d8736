//! Ranges on huge pages. Where the kernel gives none, ranges stay what they are: both is right.

use gatebus_sandbox::huge::enlarge;
use std::ops::Range;

const HUGE: usize = 2 << 20;

/// 6 MiB from where a huge page begins, nothing mapped around it, with one byte per page.
fn room() -> usize {
    // SAFETY: a new mapping, of which all but the middle is given back.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let all = libc::mmap(std::ptr::null_mut(), 10 * HUGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert_ne!(all, libc::MAP_FAILED);
        let start = (all as usize).next_multiple_of(HUGE) + 3 * HUGE;
        libc::munmap(all, start - all as usize);
        libc::munmap((start + 3 * HUGE) as _, all as usize + 7 * HUGE - start);
        for page in (start..start + 3 * HUGE).step_by(4096) {
            (page as *mut u8).write((page >> 12).to_le_bytes()[0] | 1);
        }
        start
    }
}

fn content(range: &Range<usize>) -> Vec<u8> {
    // SAFETY: readable pages of `room`.
    range.clone().step_by(4096).map(|page| unsafe { (page as *const u8).read() }).collect()
}

fn cut(range: Range<usize>) {
    // SAFETY: pages of `room` that nobody uses any more.
    unsafe { libc::munmap(range.start as _, range.len()) };
}

#[test]
fn a_range_with_nothing_around_it_moves_whole_and_keeps_its_content() {
    let start = room();
    let range = start + (1 << 20)..start + (5 << 20);
    cut(start..range.start);
    cut(range.end..start + 3 * HUGE);
    let before = content(&range);
    // SAFETY: whole readable pages that nobody writes.
    let moved = unsafe { enlarge(&range, libc::PROT_READ) };
    assert!(moved.is_empty() || moved == (start..start + 3 * HUGE));
    assert_eq!(content(&range), before);
}

#[test]
fn where_something_else_is_mapped_nothing_moves() {
    let start = room();
    let range = start + (1 << 20)..start + (5 << 20);
    let (all, before) = (start..start + 3 * HUGE, content(&(start..start + 3 * HUGE)));
    // SAFETY: as above.
    let moved = unsafe { enlarge(&range, libc::PROT_READ) };
    assert!(moved.is_empty() || moved == (start + HUGE..start + 2 * HUGE), "only what is its own alone");
    assert_eq!(content(&all), before);
}

#[test]
fn small_ranges_are_not_worth_it() {
    let start = room();
    // SAFETY: as above.
    assert!(unsafe { enlarge(&(start..start + 4096), libc::PROT_READ) }.is_empty());
}
