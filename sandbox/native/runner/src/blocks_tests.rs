//! The blocks of a heap on its own 4 MiB.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may stop")]

use super::*;

/// A heap of its own on 4 MiB, so that its state can be checked whole.
fn small_heap() -> Box<Heap> {
    let mut heap = Box::new(Heap::new());
    assert!(heap.open(4 << 20));
    heap
}

fn free_bytes_and_blocks(heap: &Heap) -> (usize, usize) {
    let (mut free, mut blocks, mut at) = (0, 0, heap.base);
    while at < heap.end - HEADER {
        // SAFETY: the walk follows sizes from the first block to the end mark.
        let block = unsafe { &*(at as *const Block) };
        assert!(block.bytes() >= SMALLEST, "sizes never break");
        free += if block.is_free() { block.bytes() } else { 0 };
        blocks += 1;
        at += block.bytes();
    }
    assert_eq!(at, heap.end - HEADER, "blocks lie end to end");
    (free, blocks)
}

#[test]
fn a_closed_range_is_neither_given_out_nor_accessible_and_can_be_opened_again() {
    let mut heap = small_heap();
    let held = heap.allocate(1000, 16);
    assert!(heap.close(1 << 20));
    assert_eq!((heap.end - heap.base, free_bytes_and_blocks(&heap).1), (1 << 20, 2));
    assert!(heap.allocate(1 << 20, 16).is_null(), "beyond");
    let mut present = 0u8;
    // SAFETY: only asks about a page of our own reservation; the block came from this heap.
    unsafe {
        assert_eq!(libc::mincore(heap.end as _, 4096, &mut present), 0);
        assert_eq!(present & 1, 0, "nothing was touched there");
        held.write_bytes(7, 1000);
        heap.free(held);
    }
    assert_eq!(free_bytes_and_blocks(&heap), ((1 << 20) - HEADER, 1));
    assert!(heap.open(2 << 20));
    assert_eq!(free_bytes_and_blocks(&heap), ((2 << 20) - HEADER, 1));
    assert!(!heap.allocate(1 << 20, 16).is_null());
}

#[test]
fn a_range_in_which_something_lies_is_not_closed() {
    let mut heap = small_heap();
    let held = heap.allocate(2 << 20, 16);
    let before = free_bytes_and_blocks(&heap);
    assert!(!heap.close(1 << 20));
    assert_eq!(free_bytes_and_blocks(&heap), before);
    assert!(heap.close(8 << 20), "nothing is open there");
    // SAFETY: it came from this heap.
    unsafe { heap.free(held) };
    assert!(heap.close(1 << 20));
    assert_eq!(free_bytes_and_blocks(&heap), ((1 << 20) - HEADER, 1));
}

#[test]
fn everything_freed_is_one_block_again() {
    let mut heap = small_heap();
    let before = free_bytes_and_blocks(&heap);
    let mut seed = 12345u64;
    let mut held: Vec<(*mut u8, usize)> = Vec::new();
    for round in 0..20_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let size = usize::try_from(seed >> 33).unwrap() % if round % 50 == 0 { 100_000 } else { 700 };
        let align = 1 << ((seed >> 20) % 9);
        if held.len() > 60 || seed.is_multiple_of(3) && !held.is_empty() {
            let (content, size) = held.swap_remove(usize::try_from(seed >> 40).unwrap() % held.len());
            // SAFETY: held blocks came from this heap and are `size` bytes long.
            unsafe {
                assert!((0..size).all(|i| *content.add(i) == size as u8), "nobody else wrote here");
                heap.free(content);
            }
            continue;
        }
        let content = heap.allocate(size, align);
        assert!(!content.is_null() && (content as usize).is_multiple_of(align));
        // SAFETY: the block has `size` bytes.
        unsafe { content.write_bytes(size as u8, size) };
        held.push((content, size));
    }
    for (content, _) in held {
        // SAFETY: held blocks came from this heap.
        unsafe { heap.free(content) };
    }
    assert_eq!(free_bytes_and_blocks(&heap), before);
    assert_eq!(heap.used, 0);
}

#[test]
fn a_large_block_can_be_used_again_after_small_ones() {
    let mut heap = small_heap();
    for _ in 0..1000 {
        let large = heap.allocate(3 << 20, 16);
        assert!(!large.is_null());
        // SAFETY: allocated above.
        unsafe { heap.free(large) };
        let small: Vec<_> = (0..100).map(|_| heap.allocate(20_000, 8)).collect();
        // SAFETY: allocated above.
        small.into_iter().for_each(|content| unsafe { heap.free(content) });
    }
}

#[test]
fn a_freed_block_serves_the_same_size_again() {
    let mut heap = small_heap();
    for size in [600, 1000, 5_000, 33_333, 100_001] {
        let content = heap.allocate(size, 8);
        let _behind = heap.allocate(16, 8);
        // SAFETY: allocated above.
        unsafe { heap.free(content) };
        assert_eq!(heap.allocate(size, 8), content, "{size}");
    }
}

#[test]
fn the_last_block_grows_in_place_and_shrinks_back() {
    let mut heap = small_heap();
    let content = heap.allocate(1000, 8);
    // SAFETY: `content` is used throughout.
    unsafe {
        assert!(heap.resize(content, 2 << 20));
        assert!(!heap.resize(content, 5 << 20));
        assert!(heap.resize(content, 100));
        heap.free(content);
    }
    assert_eq!(free_bytes_and_blocks(&heap).1, 1);
}

#[test]
fn more_than_is_open_is_refused_and_opening_more_helps() {
    let mut heap = small_heap();
    assert!(heap.allocate(5 << 20, 8).is_null());
    assert!(heap.open(8 << 20));
    assert!(!heap.allocate(5 << 20, 8).is_null());
    assert!(heap.allocate(usize::MAX, 8).is_null() && heap.allocate(usize::MAX - 100, 4096).is_null());
}

#[test]
fn holes_that_are_given_up_are_not_given_out_and_what_follows_lies_together_at_the_end() {
    let mut heap = small_heap();
    let held: Vec<*mut u8> = (0..8).map(|_| heap.allocate(1000, 16)).collect();
    // SAFETY: every second block, once.
    held.iter().step_by(2).for_each(|block| unsafe { heap.free(*block) });
    let (free, blocks) = free_bytes_and_blocks(&heap);
    heap.give_up_holes();
    assert_eq!(free_bytes_and_blocks(&heap).1, blocks, "they are used by nobody, for ever");
    assert!(free_bytes_and_blocks(&heap).0 < free);
    let end = heap.used_range().end;
    assert_eq!(heap.allocate(500, 16) as usize, end + HEADER);
    // SAFETY: a block beside holes, freed once: it joins none of them.
    unsafe { heap.free(held[1]) };
    assert_eq!(heap.allocate(1000, 16), held[1]);
    assert!(heap.used_range().end > end);
}

#[test]
fn a_heap_without_a_free_end_is_used_as_a_whole() {
    let mut heap = small_heap();
    let rest = (4 << 20) - 2 * HEADER;
    assert!(!heap.allocate(rest - rest / 32, 16).is_null());
    while !heap.allocate(16, 16).is_null() {}
    assert_eq!(heap.used_range(), heap.base..heap.end);
    heap.give_up_holes();
    assert!(heap.allocate(16, 16).is_null());
}
