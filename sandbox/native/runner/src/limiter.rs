//! The engine's own limits of one program: they answer before the kernel's do.
//!
//! A refused growth is what WebAssembly says it is (memory.grow and table.grow give -1); a refused beginning is
//! remembered, because the engine's error for it is only text.

use wasmtime::ResourceLimiter;

/// Bytes of all memories together, elements of all tables together.
#[derive(Default)]
pub struct Limiter {
    memory_limit: usize,
    table_limit: usize,
    memory: usize,
    elements: usize,
    /// Bytes of the control memory, which is not the program's and does not count; 0 once it is made.
    control: usize,
    /// The maximum of the table of references in frames, by which it is known; 0 where there is none.
    references: usize,
    /// The program could not even begin: its declared minimum is beyond the limit.
    pub refused_minimum: bool,
}

impl Limiter {
    /// Limits in bytes and elements; `control`: the size of the control memory, 0 where there is none.
    pub fn new(memory_limit: usize, table_limit: usize, control: usize) -> Limiter {
        Limiter { memory_limit, table_limit, control, ..Limiter::default() }
    }

    /// The table with this maximum is not the program's: it grows while the program is left, and before it goes on.
    pub fn beside(self, references: usize) -> Limiter {
        Limiter { references, ..self }
    }
}

/// Adds the growth when the sum stays within the limit.
fn take(sum: &mut usize, limit: usize, current: usize, desired: usize) -> bool {
    let Some(new) = sum.checked_add(desired.saturating_sub(current)) else { return false };
    let fits = new <= limit;
    if fits {
        *sum = new;
    }
    fits
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // One of exactly its size: if it is the program's own, the control memory counts in its stead.
        if current == 0 && desired > 0 && desired == self.control && maximum == Some(desired) {
            self.control = 0;
            return Ok(true);
        }
        let declared = maximum.is_none_or(|most| desired <= most);
        let fits = declared && take(&mut self.memory, self.memory_limit, current, desired);
        self.refused_minimum |= !fits && current == 0;
        Ok(fits)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let declared = maximum.is_none_or(|most| desired <= most);
        if self.references > 0 && maximum == Some(self.references) {
            return Ok(declared);
        }
        let fits = declared && take(&mut self.elements, self.table_limit, current, desired);
        self.refused_minimum |= !fits && current == 0;
        Ok(fits)
    }

    /// The program, and what continues it.
    fn instances(&self) -> usize {
        2
    }

    /// The program's own, and the control memory.
    fn memories(&self) -> usize {
        crate::memory::MEMORIES + 1
    }

    /// The program's own, and two for references (`gatebus-module`).
    fn tables(&self) -> usize {
        crate::bounds::TABLES as usize + 2
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may stop")]
mod tests {
    use super::*;

    #[test]
    fn memories_share_one_limit_and_a_refused_growth_takes_nothing() {
        let mut limiter = Limiter::new(1000, 10, 0);
        assert!(limiter.memory_growing(0, 600, None).unwrap());
        assert!(!limiter.memory_growing(600, 1001, None).unwrap());
        assert!(limiter.memory_growing(0, 400, None).unwrap());
        assert!(!limiter.memory_growing(400, 401, None).unwrap());
        assert!(!limiter.refused_minimum, "a growth is not a beginning");
    }

    #[test]
    fn the_control_memory_does_not_count_and_nothing_else_takes_its_place() {
        let mut limiter = Limiter::new(1000, 10, 500);
        assert!(limiter.memory_growing(0, 800, None).unwrap());
        assert!(limiter.memory_growing(0, 500, Some(500)).unwrap(), "the control memory");
        assert!(!limiter.memory_growing(0, 500, Some(500)).unwrap(), "a second one of its size");
        assert!(limiter.memory_growing(800, 1000, None).unwrap());
    }

    #[test]
    fn references_in_frames_do_not_count_and_have_their_own_bound() {
        let mut limiter = Limiter::new(1000, 10, 0).beside(100);
        assert!(limiter.table_growing(0, 10, Some(99)).unwrap());
        assert!(limiter.table_growing(0, 100, Some(100)).unwrap(), "the references");
        assert!(!limiter.table_growing(100, 101, Some(100)).unwrap());
        assert!(!limiter.table_growing(10, 11, Some(99)).unwrap());
        assert!(!limiter.refused_minimum);
    }

    #[test]
    fn a_minimum_beyond_the_limit_is_remembered() {
        let mut limiter = Limiter::new(1000, 10, 0);
        assert!(!limiter.memory_growing(0, 1001, None).unwrap());
        assert!(limiter.refused_minimum);
    }

    #[test]
    fn tables_share_one_limit_and_a_declared_maximum_is_kept() {
        let mut limiter = Limiter::new(1000, 10, 0);
        assert!(limiter.table_growing(0, 10, None).unwrap());
        assert!(!limiter.table_growing(0, 1, None).unwrap());
        let mut limiter = Limiter::new(1000, 10, 0);
        assert!(limiter.table_growing(0, 2, Some(3)).unwrap());
        assert!(!limiter.table_growing(2, 4, Some(3)).unwrap());
    }
}
