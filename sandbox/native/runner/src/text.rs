//! The executable's own pages, as children find them.
//!
//! A fork copies the page tables of memory that was written, and leaves out those of files: every child would fault in
//! the same 30 pieces of code again, a tenth of what its whole life costs. But it copies the tables of a mapping in which
//! one page is private. So one page of each range of code and constants is made private, by writing to it what it
//! holds. For that moment the range is writable, in a process that has met nobody's bytes yet. What was mapped during
//! the start of the engine only is forgotten before, because copying costs by the page.

use libc::{PROT_EXEC, PROT_READ, PROT_WRITE};
use std::ffi::c_int;
use std::ops::Range;

const PAGE: usize = 4096;
/// Of x86-64, and of arm64 with pages of 4 KiB.
const HUGE: usize = 2 << 20;

/// A range of the address space that is a piece of a file, readable and never written.
struct Piece {
    range: Range<usize>,
    protection: c_int,
}

/// Code and constants of this process, as far as they are pages of files.
pub struct Text(Vec<Piece>);

impl Text {
    /// Asks the loader.
    pub fn find() -> Text {
        let mut found: Vec<Piece> = Vec::new();
        // SAFETY: the callback below gets `found` back as its data and keeps nothing.
        unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut found).cast()) };
        Text(found)
    }

    /// Forgets which pages were used: they are mapped again when they are.
    pub fn forget(&self) {
        for piece in &self.0 {
            // SAFETY: pages of a file that nobody has written: the same bytes come back.
            unsafe { libc::madvise(piece.range.start as _, piece.range.len(), libc::MADV_DONTNEED) };
        }
    }

    /// What fills whole huge pages is moved to memory of this process, where one entry of its tables stands for 512: forks,
    /// ends and the processor's look-ups cost by the entry. What cannot be moved stays as it is (a kernel that gives no huge
    /// pages, a processor that has others).
    pub fn enlarge(self) -> Text {
        Text(self.0.into_iter().flat_map(Piece::enlarge).collect())
    }

    /// From now on children inherit what is mapped of code and constants. Where a policy of the system forbids it they
    /// fault as before. False: a range stayed writable, and nothing must run here.
    pub fn inherit(&self) -> bool {
        self.0.iter().all(Piece::inherit)
    }
}

impl Piece {
    fn enlarge(self) -> Vec<Piece> {
        let Range { start, end } = self.range;
        let (from, to) = (start.next_multiple_of(HUGE), end & !(HUGE - 1));
        // SAFETY: a part of a range that nobody writes.
        if from >= to || !unsafe { move_to_huge(from, to - from, self.protection) } {
            return vec![self];
        }
        let rests = [start..from, to..end].into_iter().filter(|rest| !rest.is_empty());
        rests.map(|range| Piece { range, protection: self.protection }).collect()
    }

    fn inherit(&self) -> bool {
        let (start, length) = (self.range.start as *mut u8, self.range.len());
        // SAFETY: the whole range (a part would become a mapping of its own) stays readable and executable, gets its own
        // byte written, and becomes what it was.
        unsafe {
            if libc::mprotect(start.cast(), length, self.protection | PROT_WRITE) != 0 {
                return true;
            }
            start.write_volatile(start.read_volatile());
            libc::mprotect(start.cast(), length, self.protection) == 0
        }
    }
}

/// SAFETY: [start, start + length) is readable, nobody writes it, and both are multiples of [`HUGE`].
unsafe fn move_to_huge(start: usize, length: usize, protection: c_int) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, larger by what its alignment may take; what is not needed of it goes. The last call puts it in
    // the old one's place in one step: the code that runs meanwhile is the same before and after.
    unsafe {
        let room = libc::mmap(std::ptr::null_mut(), length + HUGE, PROT_READ | PROT_WRITE, flags, -1, 0);
        if room == libc::MAP_FAILED {
            return false;
        }
        let copy = (room as usize).next_multiple_of(HUGE);
        libc::munmap((copy + length) as _, room as usize + HUGE - copy);
        if copy > room as usize {
            libc::munmap(room, copy - room as usize);
        }
        libc::madvise(copy as _, length, libc::MADV_HUGEPAGE);
        std::ptr::copy_nonoverlapping(start as *const u8, copy as *mut u8, length);
        let ready = libc::madvise(copy as _, length, libc::MADV_COLLAPSE) == 0
            && libc::mprotect(copy as _, length, protection) == 0;
        let moved = ready && libc::mremap(copy as _, length, length, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, start) != libc::MAP_FAILED;
        if !moved {
            libc::munmap(copy as _, length);
        }
        moved
    }
}

unsafe extern "C" fn look(object: *mut libc::dl_phdr_info, _: usize, found: *mut libc::c_void) -> c_int {
    // SAFETY: the loader's own description of one object, valid during the call; `found` is the vector of `pieces`.
    let (object, found) = unsafe { (&*object, &mut *found.cast::<Vec<Piece>>()) };
    // SAFETY: a C string of the loader's.
    if unsafe { std::ffi::CStr::from_ptr(object.dlpi_name) }.to_bytes().starts_with(b"linux-vdso") {
        return 0; // the kernel's own pages, which are always there
    }
    // SAFETY: `dlpi_phnum` headers stand at `dlpi_phdr`.
    let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)) };
    for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0) {
        let start = object.dlpi_addr + header.p_vaddr;
        let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(start + header.p_filesz)) else { continue };
        let executable = if header.p_flags & libc::PF_X == 0 { 0 } else { PROT_EXEC };
        let range = start & !(PAGE - 1)..end.next_multiple_of(PAGE);
        found.push(Piece { range, protection: PROT_READ | executable });
    }
    0
}
