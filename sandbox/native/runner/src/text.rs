//! The executable's own pages, as children find them.
//!
//! A fork copies the page tables of memory that was written, and leaves out those of files: every child would fault in
//! the same 30 pieces of code again, a tenth of what its whole life costs. But it copies the tables of a mapping in which
//! one page is private. So one page of each range of code and constants is made private, by writing to it what it
//! holds. For that moment the range is writable, in a process that has met nobody's bytes yet. What was mapped during
//! the start of the engine only is forgotten before, because copying costs by the page; and what is worth it is moved to huge
//! pages (huge.rs).

use crate::huge;
use libc::{PROT_EXEC, PROT_READ, PROT_WRITE};
use std::ffi::c_int;
use std::ops::Range;

const PAGE: usize = 4096;

/// A range of the address space that is a piece of a file, readable and not written any more.
struct Piece {
    range: Range<usize>,
    protection: c_int,
    /// The loader has written to it, and then made it unwritable.
    relocated: bool,
}

/// Code and constants of this process.
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
        for piece in self.0.iter().filter(|piece| !piece.relocated) {
            // SAFETY: pages of a file that nobody has written: the same bytes come back.
            unsafe { libc::madvise(piece.range.start as _, piece.range.len(), libc::MADV_DONTNEED) };
        }
    }

    /// Moves to huge pages what can be.
    pub fn enlarge(self) -> Text {
        Text(self.0.into_iter().flat_map(Piece::enlarge).collect())
    }

    /// From now on children inherit what is mapped of code and constants. Where a policy of the system forbids it they
    /// fault as before. False: a range stayed writable, and nothing must run here.
    pub fn inherit(&self) -> bool {
        self.0.iter().filter(|piece| !piece.relocated).all(Piece::inherit)
    }
}

impl Piece {
    /// What is left of it.
    fn enlarge(self) -> Vec<Piece> {
        let Piece { range, protection, relocated } = self;
        // SAFETY: nobody writes there.
        let moved = unsafe { huge::enlarge(&range, protection) };
        let rests = [range.start..moved.start, moved.end.max(range.start)..range.end];
        rests.into_iter().filter(|rest| !rest.is_empty()).map(|range| Piece { range, protection, relocated }).collect()
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

unsafe extern "C" fn look(object: *mut libc::dl_phdr_info, _: usize, found: *mut libc::c_void) -> c_int {
    // SAFETY: the loader's own description of one object, valid during the call; `found` is the vector of `find`.
    let (object, found) = unsafe { (&*object, &mut *found.cast::<Vec<Piece>>()) };
    // SAFETY: a C string of the loader's.
    if unsafe { std::ffi::CStr::from_ptr(object.dlpi_name) }.to_bytes().starts_with(b"linux-vdso") {
        return 0; // the kernel's own pages, which are always there
    }
    // SAFETY: `dlpi_phnum` headers stand at `dlpi_phdr`.
    let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)) };
    for header in headers {
        let relocated = header.p_type == libc::PT_GNU_RELRO;
        if !relocated && (header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0) {
            continue;
        }
        let (start, length) =
            (object.dlpi_addr + header.p_vaddr, if relocated { header.p_memsz } else { header.p_filesz });
        let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(start + length)) else { continue };
        let executable = if header.p_flags & libc::PF_X == 0 { 0 } else { PROT_EXEC };
        // The loader leaves the last page writable where something else begins in it.
        let end = if relocated { end & !(PAGE - 1) } else { end.next_multiple_of(PAGE) };
        let range = start & !(PAGE - 1)..end;
        found.push(Piece { range, protection: PROT_READ | executable, relocated });
    }
    0
}
