//! The runtime's own heap: one reserved range, grown only while system calls are still allowed.
//!
//! After stage 2 a program may make six system calls, none of which gives memory; so everything the runtime allocates
//! (the engine's tables, the files of the guest, buffers) comes from a range that was made readable and writable before.
//! The range is reserved without access, which costs nothing; `allow` opens as much of it as this process may use.
//!
//! The allocator is two-level segregated fit: constant time, neighbours joined again when freed, so that a guest that
//! grows and removes files for ever does not crumble it. Blocks lie end to end, each with a header of 16 bytes.
//! When the heap of an armed process is used up it ends with status 62, because nothing behind a failed allocation
//! (unwinding, printing, abort) is possible under the filter.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

/// Addresses set aside. No process may open more; a compile worker with the largest limit stays well below.
const RESERVED: usize = 16 << 30;
/// Open from the start: enough for the keeper, the spawner with two engines, and the linkers (about 1 MiB is touched).
/// A process that is not armed yet opens more by itself.
const AT_START: usize = 32 << 20;
/// Exit status of a process whose heap is used up (PROTOCOL.md).
pub const EXHAUSTED: i32 = 62;

const HEADER: usize = 16;
const SMALLEST: usize = 32;
const FREE: usize = 1;
/// 32 lists for each power of two: at most 1/32 of a block is lost by rounding.
const LISTS_LOG2: u32 = 5;
const LISTS: usize = 1 << LISTS_LOG2;
/// Below 512 bytes the lists are 16 bytes apart.
const LINEAR_LOG2: u32 = 9;
const LEVELS: usize = 28;

/// Header of a block; the two links exist only while it is free.
#[repr(C)]
struct Block {
    size: usize,
    before: *mut Block,
    next: *mut Block,
    previous: *mut Block,
}

impl Block {
    fn bytes(&self) -> usize {
        self.size & !FREE
    }

    fn is_free(&self) -> bool {
        self.size & FREE != 0
    }
}

/// First and second level of the list that holds blocks of `size` bytes.
fn list_of(size: usize) -> (usize, usize) {
    if size < 1 << LINEAR_LOG2 {
        return (0, size >> 4);
    }
    let power = size.ilog2();
    ((power - LINEAR_LOG2 + 1) as usize, (size >> (power - LISTS_LOG2)) & (LISTS - 1))
}

/// The smallest size whose list holds only blocks of at least `size` bytes.
fn rounded(size: usize) -> usize {
    if size < 1 << LINEAR_LOG2 {
        return size;
    }
    let step = 1usize << (size.ilog2() - LISTS_LOG2);
    (size + step - 1) & !(step - 1)
}

/// Bytes of the block for `size` bytes of content. Blocks have the sizes at which lists begin: a freed block is found
/// again by a request for the same size, and not only by smaller ones.
fn block_size(size: usize) -> Option<usize> {
    if size > RESERVED {
        return None;
    }
    Some(rounded(((size + HEADER + 15) & !15).max(SMALLEST)))
}

/// The heap's state. All pointers lie in the reserved range.
struct Heap {
    base: usize,
    end: usize,
    levels: u32,
    lists: [u32; LEVELS],
    heads: [[*mut Block; LISTS]; LEVELS],
    used: usize,
}

impl Heap {
    const fn new() -> Heap {
        Heap { base: 0, end: 0, levels: 0, lists: [0; LEVELS], heads: [[null_mut(); LISTS]; LEVELS], used: 0 }
    }

    /// SAFETY: `block` is a block of this heap that is in no list.
    unsafe fn insert(&mut self, block: *mut Block) {
        // SAFETY: by contract `block` and every listed block are valid and only reachable through this heap.
        unsafe {
            let (level, list) = list_of((*block).bytes());
            let head = self.heads[level][list];
            (*block).size |= FREE;
            (*block).next = head;
            (*block).previous = null_mut();
            if !head.is_null() {
                (*head).previous = block;
            }
            self.heads[level][list] = block;
            self.lists[level] |= 1 << list;
            self.levels |= 1 << level;
        }
    }

    /// SAFETY: `block` is a free block of this heap and in its list.
    unsafe fn remove(&mut self, block: *mut Block) {
        // SAFETY: as above; the list of a free block follows from its size, which nobody changes while it is listed.
        unsafe {
            let (level, list) = list_of((*block).bytes());
            let (next, previous) = ((*block).next, (*block).previous);
            if !next.is_null() {
                (*next).previous = previous;
            }
            if previous.is_null() {
                self.heads[level][list] = next;
                if next.is_null() {
                    self.lists[level] &= !(1 << list);
                    if self.lists[level] == 0 {
                        self.levels &= !(1 << level);
                    }
                }
            } else {
                (*previous).next = next;
            }
            (*block).size &= !FREE;
        }
    }

    fn find(&self, size: usize) -> *mut Block {
        if size > RESERVED {
            return null_mut();
        }
        let (level, list) = list_of(rounded(size));
        let here = self.lists[level] & (u32::MAX << list);
        if here != 0 {
            return self.heads[level][here.trailing_zeros() as usize];
        }
        let above = self.levels & (u32::MAX << 1 << level);
        if above == 0 {
            return null_mut();
        }
        let level = above.trailing_zeros() as usize;
        self.heads[level][self.lists[level].trailing_zeros() as usize]
    }

    /// Gives back what `block` has beyond `size` bytes.
    /// SAFETY: `block` is a used block of at least `size` bytes; `size` is a multiple of 16 and at least SMALLEST.
    unsafe fn trim(&mut self, block: *mut Block, size: usize) {
        // SAFETY: the rest lies inside `block`; the block behind exists because a used end mark closes the heap.
        unsafe {
            let rest = (*block).bytes() - size;
            if rest < SMALLEST {
                return;
            }
            let tail = block.byte_add(size);
            (*tail).size = rest;
            (*tail).before = block;
            (*block).size = size;
            (*tail.byte_add(rest)).before = tail;
            self.release(tail);
        }
    }

    /// Joins a block with its free neighbours and lists the result.
    /// SAFETY: `block` is a used block of this heap that nobody refers to any more.
    unsafe fn release(&mut self, mut block: *mut Block) {
        // SAFETY: neighbours follow from sizes and `before`, which are kept for every block; the end mark is never free.
        unsafe {
            let behind = block.byte_add((*block).bytes());
            if (*behind).is_free() {
                self.remove(behind);
                (*block).size += (*behind).bytes();
            }
            let before = (*block).before;
            if !before.is_null() && (*before).is_free() {
                self.remove(before);
                (*before).size += (*block).bytes();
                block = before;
            }
            (*block.byte_add((*block).bytes())).before = block;
            self.insert(block);
        }
    }

    fn allocate(&mut self, size: usize, align: usize) -> *mut u8 {
        let Some(size) = block_size(size) else { return null_mut() };
        let extra = if align > 16 { align + SMALLEST } else { 0 };
        let block = self.find(size.saturating_add(extra));
        if block.is_null() {
            return null_mut();
        }
        // SAFETY: `find` gives listed blocks only; the part before an aligned start is at least SMALLEST or nothing.
        unsafe {
            self.remove(block);
            let block = if extra == 0 { block } else { self.align(block, align) };
            self.trim(block, size);
            self.used += (*block).bytes();
            block.byte_add(HEADER).cast()
        }
    }

    /// Cuts the front off so that the content starts at a multiple of `align`.
    /// SAFETY: `block` is used and has `align + SMALLEST` bytes more than needed.
    unsafe fn align(&mut self, block: *mut Block, align: usize) -> *mut Block {
        let content = block as usize + HEADER;
        if content.is_multiple_of(align) {
            return block;
        }
        let front = (content + SMALLEST).next_multiple_of(align) - content;
        // SAFETY: `front` < align + SMALLEST lies inside the block; both parts get complete headers.
        unsafe {
            let rest = block.byte_add(front);
            (*rest).size = (*block).bytes() - front;
            (*rest).before = block;
            (*block).size = front;
            (*rest.byte_add((*rest).bytes())).before = rest;
            self.release(block);
            rest
        }
    }

    /// Grows a block in place when the block behind it is free and large enough.
    /// SAFETY: `content` was given out by this heap and not freed.
    unsafe fn resize(&mut self, content: *mut u8, size: usize) -> bool {
        let Some(size) = block_size(size) else { return false };
        // SAFETY: the header stands right before the content.
        unsafe {
            let block: *mut Block = content.byte_sub(HEADER).cast();
            let old = (*block).bytes();
            let behind = block.byte_add(old);
            let possible = if (*behind).is_free() { old + (*behind).bytes() } else { old };
            if possible < size {
                return false;
            }
            if old < size {
                self.remove(behind);
                (*block).size = possible;
                (*block.byte_add(possible)).before = block;
            }
            self.trim(block, size);
            self.used = self.used + (*block).bytes() - old;
            true
        }
    }

    /// SAFETY: `content` was given out by this heap and is not used any more.
    unsafe fn free(&mut self, content: *mut u8) {
        // SAFETY: the header stands right before the content.
        unsafe {
            let block: *mut Block = content.byte_sub(HEADER).cast();
            self.used -= (*block).bytes();
            self.release(block);
        }
    }

    /// Opens the range up to `bytes` in all; false when the kernel refuses.
    fn open(&mut self, bytes: usize) -> bool {
        if self.base == 0 && !self.reserve() {
            return false;
        }
        let target = self.base + bytes.min(RESERVED).next_multiple_of(4096);
        if target <= self.end {
            return true;
        }
        // SAFETY: [end, target) lies in the range reserved by `reserve` and holds nothing.
        let refused = unsafe { libc::mprotect(self.end as _, target - self.end, libc::PROT_READ | libc::PROT_WRITE) } != 0;
        if refused {
            return false;
        }
        // SAFETY: the new range is writable; the old end mark (if any) becomes the header of the new block.
        unsafe { self.append(target) };
        true
    }

    fn reserve(&mut self) -> bool {
        // SAFETY: a new private mapping without access; its address is checked before use.
        let address = unsafe {
            libc::mmap(null_mut(), RESERVED, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1, 0)
        };
        if address == libc::MAP_FAILED {
            return false;
        }
        // SAFETY: our own mapping; without huge pages a fork copies, and an idle program holds, only what is used.
        unsafe { libc::madvise(address, RESERVED, libc::MADV_NOHUGEPAGE) };
        self.base = address as usize;
        self.end = self.base;
        true
    }

    /// Gives whole pages inside free blocks back to the kernel; they read as zero when they are used again.
    fn discard(&self) {
        for mut block in self.heads.iter().flatten().copied() {
            while !block.is_null() {
                // SAFETY: a listed block is valid; its header and links stay, the rest of a free block has no content.
                unsafe {
                    let start = (block as usize + size_of::<Block>()).next_multiple_of(4096);
                    let end = (block as usize + (*block).bytes()) & !4095;
                    if end > start {
                        libc::madvise(start as _, end - start, libc::MADV_DONTNEED);
                    }
                    block = (*block).next;
                }
            }
        }
    }

    /// SAFETY: [self.end, target) is readable and writable, and `self.end` is the heap's end.
    unsafe fn append(&mut self, target: usize) {
        let first = self.end == self.base;
        let start = if first { self.base } else { self.end - HEADER };
        let (block, mark) = (start as *mut Block, (target - HEADER) as *mut Block);
        // SAFETY: both headers lie in the open range; the last HEADER bytes are the end mark, used and of size 0.
        unsafe {
            if first {
                (*block).before = null_mut();
            }
            (*block).size = mark as usize - start;
            (*mark).size = 0;
            (*mark).before = block;
            self.end = target;
            self.release(block);
        }
    }
}

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

/// Opens as much as the kernel gives, at most `bytes`; for processes whose limit is the kernel's.
pub fn allow_at_most(bytes: usize) {
    let mut wanted = bytes;
    while wanted > AT_START && !allow(wanted) {
        wanted -= wanted / 8;
    }
}

/// Gives pages without content back: what the warm-up's compiler has used must not be copied at every fork.
pub fn discard_free_pages() {
    HEAP.with(|heap| heap.discard());
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may stop")]
mod tests {
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
}
