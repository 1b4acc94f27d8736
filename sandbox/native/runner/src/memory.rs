//! Guest memory: every linear memory has its place before the guest exists.
//!
//! One range of addresses is reserved without access when the process starts. It is cut into slots; memory 0 is the
//! host's memfd, mapped over slot 0 before stage 2, exactly as long as the limit. After that the engine's requests
//! (instantiate, memory.grow) are answered with `mprotect` inside the range, the one memory call that stage 2 allows.
//! So instantiation itself, which runs code from the image, happens under the final filter.
//!
//! The engine's heap for exceptions and references has a slot of its own, told apart by its size (see engine.rs). So has the
//! control memory of a program that can be suspended: the last memory of its module, behind memory 0 in the memfd, where
//! the host asks for a stop by writing and where the frames are found.
//! How many bytes all memories may have together is the resource limiter's matter (limiter.rs).

use gatebus_module::UNWINDING;
use std::ops::Range;
use std::os::fd::RawFd;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use wasmtime::{Error, LinearMemory, MemoryCreator, MemoryType};

/// Addresses a 32-bit memory can name: with this much reserved the compiler needs no bounds checks.
pub const SLOT_RESERVATION: usize = 4 << 30;
/// Offsets below this need no check either (the engine's own default).
pub const SLOT_GUARD: usize = 32 << 20;
/// Room for exception objects; its odd size tells the engine's request for it from a linear memory's.
pub const REFERENCES_RESERVATION: usize = (64 << 20) + (64 << 10);
/// Inaccessible bytes before memory 0, against miscompiled negative offsets (the engine's own default).
const FRONT_GUARD: usize = 2 << 30;
/// Linear memories of one program: each takes 4 GiB of addresses; real programs have one or two.
pub const MEMORIES: usize = 8;

const SLOT: usize = SLOT_RESERVATION + SLOT_GUARD;
/// The slot of the control memory.
pub const CONTROL: usize = MEMORIES;
/// The slot for references.
const REFERENCES: usize = MEMORIES + 2;
/// The slot where the file of a program that goes on from a shared memory is seen: what it has changed goes there.
const OUTLET: usize = MEMORIES + 1;
const SLOTS: usize = MEMORIES + 3;
const LENGTH: usize = FRONT_GUARD + REFERENCES * SLOT + REFERENCES_RESERVATION + SLOT_GUARD;
/// No memory has this number.
const NONE: usize = usize::MAX;

/// Of what the kernel maps.
pub const PAGE: usize = 4096;

/// A list of pages: `u32 page, u32 pages` each.
pub fn entries(list: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    list.as_chunks::<8>()
        .0
        .iter()
        .map(|[a, b, c, d, e, f, g, h]| (u32::from_le_bytes([*a, *b, *c, *d]), u32::from_le_bytes([*e, *f, *g, *h])))
}

/// A memory to go on from without a copy.
pub struct Base<'a> {
    /// Its file.
    pub file: RawFd,
    /// How much of it there is.
    pub length: usize,
    /// A second file, whose pieces (offset, length) stand for those of the first.
    pub changes: Option<RawFd>,
    /// See above.
    pub pieces: &'a [(usize, usize)],
}

/// The reserved range and how much of each slot is accessible.
pub struct Slots {
    base: usize,
    sizes: [AtomicUsize; SLOTS],
    limits: [AtomicUsize; SLOTS],
    taken: AtomicUsize,
    /// Which memory of the module is the control memory.
    control: AtomicUsize,
    /// Memory 0 is shared with others until it is written to.
    shared: AtomicBool,
}

/// Where the control memory begins in the memfd: behind memory 0, whose limit need not be whole pages.
pub fn control_offset(memory_limit: u64) -> u64 {
    memory_limit.next_multiple_of(65_536)
}

impl Slots {
    /// Sets the addresses aside; inherited by fork, without cost.
    pub fn reserve() -> Result<Arc<Slots>, String> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping without access at an address of the kernel's choice.
        let base = unsafe { libc::mmap(null_mut(), LENGTH, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err("no addresses for guest memory".to_owned());
        }
        let slots = Slots {
            base: base as usize,
            sizes: Default::default(),
            limits: std::array::from_fn(|_| AtomicUsize::new(SLOT_RESERVATION)),
            taken: AtomicUsize::new(0),
            control: AtomicUsize::new(NONE),
            shared: AtomicBool::new(false),
        };
        slots.limits[REFERENCES].store(REFERENCES_RESERVATION, Relaxed);
        Ok(Arc::new(slots))
    }

    /// The addresses in which stage 2 allows `mprotect`.
    pub fn range(&self) -> Range<u64> {
        self.base as u64..(self.base + LENGTH) as u64
    }

    fn start(&self, slot: usize) -> usize {
        self.base + FRONT_GUARD + slot * SLOT
    }

    /// Lays the host's memfd over slot 0. Its length is the limit: an access beyond would be a bus error.
    pub fn map_first(&self, memfd: RawFd, limit: usize) -> Result<(), String> {
        let limit = limit.min(SLOT_RESERVATION);
        if limit > 0 {
            let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE;
            // SAFETY: the range [start, start + limit) is this process's reservation and nothing lives in it.
            let mapped = unsafe { libc::mmap(self.start(0) as _, limit, libc::PROT_NONE, flags, memfd, 0) };
            if mapped == libc::MAP_FAILED {
                return Err("the guest's memory cannot be mapped".to_owned());
            }
        }
        self.limits[0].store(limit, Relaxed);
        Ok(())
    }

    /// Lays the part of the host's memfd behind memory 0 over the control memory's slot. `number`: which memory of the
    /// module it is, in the order in which the engine makes them.
    pub fn map_control(&self, memfd: RawFd, memory_limit: u64, bytes: usize, number: usize) -> Result<(), String> {
        let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE;
        let offset = i64::try_from(control_offset(memory_limit)).map_err(|error| error.to_string())?;
        if bytes > SLOT_RESERVATION {
            return Err("the control memory is larger than its slot".to_owned());
        }
        // SAFETY: the range [start, start + bytes) is this process's reservation and nothing lives in it.
        let mapped = unsafe { libc::mmap(self.start(CONTROL) as _, bytes, libc::PROT_NONE, flags, memfd, offset) };
        if mapped == libc::MAP_FAILED {
            return Err("the control memory cannot be mapped".to_owned());
        }
        self.limits[CONTROL].store(bytes, Relaxed);
        self.control.store(number, Relaxed);
        Ok(())
    }

    /// Lays sealed files over slot 0 without a copy: what the program writes is its own. `base`: the first `length` bytes; `pieces`
    /// (offset, length) of `changes` over it. Behind them is nothing yet. Its own file is seen in the outlet.
    pub fn map_shared(&self, own: RawFd, limit: usize, base: &Base<'_>) -> Result<(), String> {
        let start = self.start(0);
        let limit = limit.min(SLOT_RESERVATION);
        let within = |at: usize, length: usize| at.checked_add(length).is_some_and(|end| end <= base.length);
        if base.length > limit || !base.pieces.iter().all(|(at, length)| within(*at, *length)) {
            return Err("a shared memory is larger than its limit".to_owned());
        }
        let private = libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE;
        let mut parts = vec![(start, base.length, libc::PROT_NONE, private, base.file, 0)];
        let changes = base.pieces.iter().zip(std::iter::repeat(base.changes));
        let changes = changes
            .filter_map(|((at, length), file)| Some((start + at, *length, libc::PROT_NONE, private, file?, *at)));
        parts.extend(changes);
        let shared = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE;
        parts.push((self.start(OUTLET), limit, libc::PROT_READ | libc::PROT_WRITE, shared, own, 0));
        for (address, length, access, flags, file, offset) in parts.into_iter().filter(|part| part.1 > 0) {
            let offset = i64::try_from(offset).map_err(|error| error.to_string())?;
            // SAFETY: each range is inside a slot of this process's reservation, and nothing lives in it.
            let mapped = unsafe { libc::mmap(address as _, length, access, flags, file, offset) };
            if mapped == libc::MAP_FAILED {
                return Err("the guest's memory cannot be mapped".to_owned());
            }
        }
        self.limits[0].store(limit, Relaxed);
        self.limits[OUTLET].store(limit, Relaxed);
        self.sizes[OUTLET].store(limit, Relaxed);
        self.shared.store(true, Relaxed);
        Ok(())
    }

    /// Where memory 0 is, if it is shared until it is written to.
    pub fn shared_at(&self) -> Option<u64> {
        self.shared.load(Relaxed).then_some(self.start(0) as u64)
    }

    /// Copies pages (number, count; of 4 KiB) of a shared memory 0 into its own file. The file is zeros: zeros stay holes.
    pub fn take_changes(&self, list: &[(u32, u32)]) {
        // SAFETY: the guest has been left, and the outlet is nobody else's.
        let (memory, outlet) = unsafe { (self.content(0), self.content(OUTLET)) };
        for (page, pages) in list {
            let (start, end) = (*page as usize * PAGE, (*page as usize + *pages as usize) * PAGE);
            let end = end.min(memory.len());
            let (Some(from), Some(to)) = (memory.get(start..end), outlet.get_mut(start..end)) else { continue };
            for (from, to) in from.chunks(PAGE).zip(to.chunks_mut(PAGE)) {
                if from.iter().any(|byte| *byte != 0) {
                    to.copy_from_slice(from);
                }
            }
        }
    }

    /// Forgets everything that a warm-up has used: fresh pages without access, all slots free.
    pub fn reset(&self) {
        for slot in 0..SLOTS {
            let size = self.sizes[slot].swap(0, Relaxed);
            if size > 0 {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
                // SAFETY: the slot belongs to a store that is gone; the same addresses become fresh pages.
                unsafe { libc::mmap(self.start(slot) as _, size, libc::PROT_NONE, flags, -1, 0) };
            }
        }
        self.taken.store(0, Relaxed);
        self.control.store(NONE, Relaxed);
    }

    /// Gives the addresses back: a compile worker has no guest, and its addresses are counted (RLIMIT_AS).
    ///
    /// # Safety
    /// No store of an engine with these slots exists, and none is made any more.
    pub unsafe fn give_back(&self) {
        // SAFETY: by contract nobody refers to the range.
        unsafe { libc::munmap(self.base as _, LENGTH) };
    }

    /// Accessible bytes of memory 0.
    pub fn first_size(&self) -> usize {
        self.sizes[0].load(Relaxed)
    }

    /// Accessible bytes of all linear memories of the program's own.
    pub fn total_size(&self) -> usize {
        self.sizes[..MEMORIES].iter().map(|size| size.load(Relaxed)).sum()
    }

    /// It is a program that can be suspended.
    pub fn has_control(&self) -> bool {
        self.control.load(Relaxed) != NONE
    }

    /// The program is being left, or was: it has written frames, or a host call wants it to be.
    pub fn is_unwinding(&self) -> bool {
        self.control_word(UNWINDING) != 0
    }

    /// A word of the control memory; 0 where there is none.
    pub fn control_word(&self, at: u32) -> u32 {
        // SAFETY: between calls of the guest, and nothing else writes here; the host writes to the request zone only.
        let control = unsafe { self.content(CONTROL) };
        let word = control.get(at as usize..).and_then(|rest| rest.first_chunk());
        word.map_or(0, |word| u32::from_le_bytes(*word))
    }

    /// Makes the guest unwind when the present host call is back, which is made again later.
    pub fn unwind(&self) {
        // SAFETY: as above; the guest waits in a host call.
        let control = unsafe { self.content(CONTROL) };
        if let Some(word) = control.get_mut(UNWINDING as usize..).and_then(|rest| rest.first_chunk_mut()) {
            *word = 1u32.to_le_bytes();
        }
    }

    /// Where the guest's functions find their arguments: the slot that starts at `address`, 0 when none does.
    pub fn slot_at(&self, address: usize) -> usize {
        (0..MEMORIES).find(|slot| self.start(*slot) == address).unwrap_or(0)
    }

    /// The content of a memory.
    ///
    /// # Safety
    /// The caller runs on the guest's thread, while the guest is waiting in a host call, and drops the slice before
    /// the guest goes on.
    #[expect(
        clippy::mut_from_ref,
        reason = "the memory belongs to the guest, not to Slots; the contract makes it unique"
    )]
    pub unsafe fn content(&self, slot: usize) -> &mut [u8] {
        // SAFETY: [start, start + size) was made accessible by `open` and never shrinks.
        unsafe { std::slice::from_raw_parts_mut(self.start(slot) as *mut u8, self.sizes[slot].load(Relaxed)) }
    }

    /// The slot of the memory that the engine makes next.
    fn next(&self) -> Result<usize, String> {
        let number = self.taken.fetch_add(1, Relaxed);
        if number == self.control.load(Relaxed) {
            return Ok(CONTROL);
        }
        if number < MEMORIES { Ok(number) } else { Err("too many memories".to_owned()) }
    }

    fn open(&self, slot: usize, size: usize) -> Result<(), &'static str> {
        let old = self.sizes[slot].load(Relaxed);
        if size > self.limits[slot].load(Relaxed) {
            return Err("beyond the memory limit");
        }
        let (start, more) = (self.start(slot) + old, size.saturating_sub(old));
        // SAFETY: the range is inside this slot of our reservation.
        if more > 0 && unsafe { libc::mprotect(start as _, more, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
            return Err("no memory");
        }
        self.sizes[slot].store(size, Relaxed);
        Ok(())
    }
}

/// What the engine asks for memory.
pub struct Creator(pub Arc<Slots>);

// SAFETY: each slot is followed by SLOT_GUARD inaccessible bytes beyond SLOT_RESERVATION, memories never move, fresh
// pages are zero, and accessible bytes stay accessible until `reset`.
unsafe impl MemoryCreator for Creator {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        if guard > SLOT_GUARD {
            return Err("the engine's guard is larger than the slot's".to_owned());
        }
        let slot = match reserved {
            Some(REFERENCES_RESERVATION) => REFERENCES,
            Some(SLOT_RESERVATION) => self.0.next()?,
            _ => return Err("the engine asks for an unknown kind of memory".to_owned()),
        };
        self.0.open(slot, minimum)?;
        Ok(Box::new(Memory { slots: self.0.clone(), slot }))
    }
}

struct Memory {
    slots: Arc<Slots>,
    slot: usize,
}

// SAFETY: the pointer and the sizes are those of the slot, which obeys the rules above.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.slots.sizes[self.slot].load(Relaxed)
    }

    fn byte_capacity(&self) -> usize {
        self.slots.limits[self.slot].load(Relaxed)
    }

    fn grow_to(&mut self, size: usize) -> wasmtime::Result<()> {
        self.slots.open(self.slot, size).map_err(Error::msg)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.slots.start(self.slot) as *mut u8
    }
}
