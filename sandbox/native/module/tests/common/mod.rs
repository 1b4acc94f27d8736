//! A host for the tests: runs modules plain and transformed, stops them, carries the state as bytes to a new instance on another engine.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::cast_possible_truncation)]

pub mod exported;
pub mod generate;
pub mod plain;
pub mod running;
pub mod stopped;
pub mod world;

use wasmtime::{Config, Engine, OptLevel};

/// Ticks of the watch until a call is given up: no program of the tests needs a second.
pub const PATIENCE: u64 = 600;

/// Set where an emulator keeps a record of every page that is reserved (arm64.sh): memories have the addresses that they
/// use, and their bounds are checked by instructions.
const SMALL: &str = "GATEBUS_SMALL_RESERVATIONS";

fn config() -> Config {
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::Speed).wasm_tail_call(true).wasm_multi_memory(true).wasm_branch_hinting(true);
    config.wasm_exceptions(true).wasm_relaxed_simd(true).relaxed_simd_deterministic(true);
    config.max_wasm_stack(4 << 20).async_stack_size(8 << 20);
    if std::env::var_os(SMALL).is_some() {
        config.memory_reservation(0).memory_reservation_for_growth(1 << 20).memory_guard_size(1 << 16);
        config.gc_heap_reservation(0).gc_heap_reservation_for_growth(1 << 20).gc_heap_guard_size(1 << 16);
    }
    config
}

/// An engine without a watch: its code is what the sandbox runs.
pub fn quiet_engine() -> Engine {
    Engine::new(&config()).unwrap()
}

/// An engine that ends each call after a minute: a program that hangs is a failure, not a hanging test.
pub fn engine(pulley: bool) -> Engine {
    watched(config(), pulley)
}

fn watched(mut config: Config, pulley: bool) -> Engine {
    // The bits of a NaN that was computed are the engine's choice; here both have to make the same.
    config.epoch_interruption(true).cranelift_nan_canonicalization(true);
    if pulley {
        config.target("pulley64").unwrap();
    }
    let engine = Engine::new(&config).unwrap();
    let watched = engine.weak();
    std::thread::spawn(move || {
        while let Some(engine) = watched.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    });
    engine
}

/// Cranelift's code and the interpreter.
pub fn engines() -> [Engine; 2] {
    [engine(false), engine(true)]
}

/// The same, but quick to compile for: for continuations by the thousand.
pub fn quick_engines() -> [Engine; 2] {
    [false, true].map(|pulley| {
        let mut config = config();
        // Half of a test's stack: a forged state can recurse without end.
        config.max_wasm_stack(1 << 20);
        // The quickest compilation that all suites have been run with; each module runs for a moment only.
        config.cranelift_opt_level(OptLevel::None);
        watched(config, pulley)
    })
}

/// A small generator of numbers that is the same everywhere.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 33) % u64::from(sides)) as u32
    }
}
