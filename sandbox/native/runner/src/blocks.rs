//! Blocks of the runtime's heap: two-level segregated fit (heap.rs says why).

use std::ops::Range;
use std::ptr::null_mut;

/// Addresses set aside. No process may open more; a compile worker with the largest limit stays well below.
pub(crate) const RESERVED: usize = 16 << 30;
pub(crate) const HEADER: usize = 16;
pub(crate) const SMALLEST: usize = 32;
const FREE: usize = 1;
/// 32 lists for each power of two: at most 1/32 of a block is lost by rounding.
const LISTS_LOG2: u32 = 5;
const LISTS: usize = 1 << LISTS_LOG2;
/// Below 512 bytes the lists are 16 bytes apart.
const LINEAR_LOG2: u32 = 9;
const LEVELS: usize = 28;

/// Header of a block; the two links exist only while it is free.
#[repr(C)]
pub(crate) struct Block {
    size: usize,
    before: *mut Block,
    next: *mut Block,
    previous: *mut Block,
}

impl Block {
    pub(crate) fn bytes(&self) -> usize {
        self.size & !FREE
    }

    pub(crate) fn is_free(&self) -> bool {
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
pub(crate) struct Heap {
    pub(crate) base: usize,
    pub(crate) end: usize,
    levels: u32,
    lists: [u32; LEVELS],
    heads: [[*mut Block; LISTS]; LEVELS],
    pub(crate) used: usize,
}

impl Heap {
    pub(crate) const fn new() -> Heap {
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

    pub(crate) fn allocate(&mut self, size: usize, align: usize) -> *mut u8 {
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
    pub(crate) unsafe fn resize(&mut self, content: *mut u8, size: usize) -> bool {
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
    pub(crate) unsafe fn free(&mut self, content: *mut u8) {
        // SAFETY: the header stands right before the content.
        unsafe {
            let block: *mut Block = content.byte_sub(HEADER).cast();
            self.used -= (*block).bytes();
            self.release(block);
        }
    }

    /// Opens the range up to `bytes` in all; false when the kernel refuses.
    pub(crate) fn open(&mut self, bytes: usize) -> bool {
        if self.base == 0 && !self.reserve() {
            return false;
        }
        let target = self.base + bytes.min(RESERVED).next_multiple_of(4096);
        if target <= self.end {
            return true;
        }
        // SAFETY: [end, target) lies in the range reserved by `reserve` and holds nothing.
        let refused =
            unsafe { libc::mprotect(self.end as _, target - self.end, libc::PROT_READ | libc::PROT_WRITE) } != 0;
        if refused {
            return false;
        }
        // SAFETY: the new range is writable; the old end mark (if any) becomes the header of the new block.
        unsafe { self.append(target) };
        true
    }

    /// Closes the range beyond `bytes`; false when something lies there, or the kernel refuses.
    pub(crate) fn close(&mut self, bytes: usize) -> bool {
        let target = self.base + bytes.next_multiple_of(4096);
        if self.base == 0 || target >= self.end {
            return true;
        }
        // SAFETY: the end mark closes the heap and names the block before it, which, free and in a list, may be cut as
        // long as a block is left; what is behind its new end holds nothing.
        unsafe {
            let mark = (target - HEADER) as *mut Block;
            let last = (*((self.end - HEADER) as *mut Block)).before;
            if !(*last).is_free() || last as usize + SMALLEST > mark as usize {
                return false;
            }
            self.remove(last);
            (*last).size = mark as usize - last as usize;
            (*mark).size = 0;
            (*mark).before = last;
            let beyond = self.end - target;
            self.end = target;
            self.release(last);
            libc::mprotect(target as _, beyond, libc::PROT_NONE) == 0
        }
    }

    fn reserve(&mut self) -> bool {
        // SAFETY: a new private mapping without access; its address is checked before use.
        let address = unsafe {
            libc::mmap(
                null_mut(),
                RESERVED,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
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
    pub(crate) fn discard(&self) {
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

    /// The free block at the end of the heap; null when it is used up.
    fn last_free(&self) -> *mut Block {
        if self.base == 0 {
            return null_mut();
        }
        // SAFETY: the end mark closes the heap and names the block before it.
        let last = unsafe { (*((self.end - HEADER) as *mut Block)).before };
        // SAFETY: a block of this heap.
        if unsafe { (*last).is_free() } { last } else { null_mut() }
    }

    /// Never gives out what is free between used blocks: what follows lies together at the end.
    pub(crate) fn give_up_holes(&mut self) {
        let last = self.last_free();
        for (level, list) in (0..LEVELS).flat_map(|level| (0..LISTS).map(move |list| (level, list))) {
            let mut block = self.heads[level][list];
            while !block.is_null() {
                // SAFETY: a listed block is valid; taken out of its list it is a used one that nobody frees.
                unsafe {
                    let next = (*block).next;
                    if block != last {
                        self.remove(block);
                        self.used += (*block).bytes();
                    }
                    block = next;
                }
            }
        }
    }

    /// Everything before the free end.
    pub(crate) fn used_range(&self) -> Range<usize> {
        let last = self.last_free();
        self.base..if last.is_null() { self.end } else { last as usize }
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

#[cfg(test)]
#[path = "blocks_tests.rs"]
mod tests;
