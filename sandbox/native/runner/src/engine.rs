//! The engine's configuration: one for every role, so that what the compile worker makes fits what the program loads.
//!
//! Cranelift at its default, best level; bounds by guard pages and traps by signals, as the engine does it by itself:
//! a program runs here at the speed it has under the engine's own command. What differs, and why:
//! - `memory_init_cow` off: it does not go together with a host's memories (the engine panics), and it would map files
//!   after stage 2;
//! - `native_unwind_info`, `wasm_backtrace`, `generate_address_map` off: nobody unwinds or prints in the jail, and
//!   registering unwind tables allocates from the C library's heap; the image becomes smaller;
//! - no fuel, no epochs: CPU time is the kernel's matter (RLIMIT_CPU and the group), and both would cost speed.

use crate::memory::{Creator, REFERENCES_RESERVATION, SLOT_GUARD, SLOT_RESERVATION, Slots};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use wasmtime::{Collector, Config, Engine};

/// Changes whenever the same module would be admitted or compiled differently by this crate.
const VERSION_OF_OUR_OWN: u32 = 8;

/// The configuration for programs with `stack` bytes of stack, which is no part of what a compiled image depends on.
pub fn config(stack: usize, slots: &Arc<Slots>) -> Config {
    let mut config = Config::new();
    config
        .max_wasm_stack(stack)
        // Never used (no fibers), but the engine insists that it is not smaller than the stack above.
        .async_stack_size(stack)
        .memory_reservation(SLOT_RESERVATION as u64)
        .memory_guard_size(SLOT_GUARD as u64)
        .memory_may_move(false)
        .memory_init_cow(false)
        .with_host_memory(Arc::new(Creator(slots.clone())))
        .native_unwind_info(false)
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .signals_based_traps(true);
    references(&mut config);
    features(&mut config);
    config
}

/// The engine keeps exceptions and external references in a heap of its own; it gets its slot and never moves.
fn references(config: &mut Config) {
    config
        .collector(Collector::DeferredReferenceCounting)
        .gc_heap_reservation(REFERENCES_RESERVATION as u64)
        .gc_heap_guard_size(SLOT_GUARD as u64)
        .gc_heap_reservation_for_growth(0)
        .gc_heap_may_move(false);
}

/// What today's toolchains emit by default; the rest is refused by name in admission.rs.
fn features(config: &mut Config) {
    config
        .wasm_tail_call(true)
        .wasm_exceptions(true)
        .wasm_multi_memory(true)
        .wasm_relaxed_simd(true)
        // What a transformed program does when it is stopped lies outside of its hot code (gatebus-module).
        .wasm_branch_hinting(true)
        // The same bits on every machine: a program that moves must not notice.
        .relaxed_simd_deterministic(true)
        .wasm_function_references(false)
        .wasm_gc(false)
        .wasm_memory64(false);
}

/// What an image depends on: engine, settings, CPU features, and this crate's own version.
pub fn fingerprint(engine: &Engine) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    VERSION_OF_OUR_OWN.hash(&mut hasher);
    hasher.finish()
}

/// FNV-1a: the standard library's hasher promises no fixed result between releases.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
