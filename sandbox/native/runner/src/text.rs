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

/// A range of the address space that is a piece of a file, readable and never written.
struct Piece {
    range: Range<usize>,
    protection: c_int,
}

/// Forgets which pages of code and constants were used: they are mapped again when they are.
pub fn forget() {
    for piece in pieces() {
        // SAFETY: pages of a file that nobody has written: the same bytes come back.
        unsafe { libc::madvise(piece.range.start as _, piece.range.len(), libc::MADV_DONTNEED) };
    }
}

/// From now on children inherit what is mapped of code and constants. Where a policy of the system forbids it they
/// fault as before. False: a range stayed writable, and nothing must run here.
pub fn inherit() -> bool {
    pieces().iter().all(|piece| {
        let (start, length) = (piece.range.start as *mut u8, piece.range.len());
        // SAFETY: the whole range (a part would become a mapping of its own) stays readable and executable, gets its own
        // byte written, and becomes what it was.
        unsafe {
            if libc::mprotect(start.cast(), length, piece.protection | PROT_WRITE) != 0 {
                return true;
            }
            start.write_volatile(start.read_volatile());
            libc::mprotect(start.cast(), length, piece.protection) == 0
        }
    })
}

fn pieces() -> Vec<Piece> {
    let mut found: Vec<Piece> = Vec::new();
    // SAFETY: the callback below gets `found` back as its data and keeps nothing.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut found).cast()) };
    found
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
