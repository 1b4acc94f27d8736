//! Guest memory: every linear memory has its place before the guest exists.
//!
//! One range of addresses is reserved without access when the process starts. It is cut into slots; memory 0 is the
//! host's memfd, mapped over slot 0 before stage 2, exactly as long as the limit. After that the engine's requests
//! (instantiate, memory.grow) are answered with `mprotect` inside the range, the one memory call that stage 2 allows.
//! So instantiation itself, which runs code from the image, happens under the final filter.
//!
//! The engine's heap for exceptions and references has a slot of its own, told apart by its size (see engine.rs).
//! How many bytes all memories may have together is the resource limiter's matter (limiter.rs).

use std::ops::Range;
use std::os::fd::RawFd;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
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
const LENGTH: usize = FRONT_GUARD + MEMORIES * SLOT + REFERENCES_RESERVATION + SLOT_GUARD;

/// The reserved range and how much of each slot is accessible. Index MEMORIES is the slot for references.
pub struct Slots {
    base: usize,
    sizes: [AtomicUsize; MEMORIES + 1],
    limits: [AtomicUsize; MEMORIES + 1],
    taken: AtomicUsize,
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
        };
        slots.limits[MEMORIES].store(REFERENCES_RESERVATION, Relaxed);
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

    /// Forgets everything that a warm-up has used: fresh pages without access, all slots free.
    pub fn reset(&self) {
        for slot in 0..=MEMORIES {
            let size = self.sizes[slot].swap(0, Relaxed);
            if size > 0 {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
                // SAFETY: the slot belongs to a store that is gone; the same addresses become fresh pages.
                unsafe { libc::mmap(self.start(slot) as _, size, libc::PROT_NONE, flags, -1, 0) };
            }
        }
        self.taken.store(0, Relaxed);
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

    /// Accessible bytes of all linear memories.
    pub fn total_size(&self) -> usize {
        self.sizes[..MEMORIES].iter().map(|size| size.load(Relaxed)).sum()
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
            Some(REFERENCES_RESERVATION) => MEMORIES,
            Some(SLOT_RESERVATION) => self.0.taken.fetch_add(1, Relaxed),
            _ => return Err("the engine asks for an unknown kind of memory".to_owned()),
        };
        if slot > MEMORIES || reserved == Some(SLOT_RESERVATION) && slot == MEMORIES {
            return Err("too many memories".to_owned());
        }
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
