//! `gatebus-smith SEED COUNT FILE`: modules made by wasm-smith, one behind the other, each with its length in front (u32, little-endian).
//!
//! They import nothing (our own generator makes host calls), end by a counter at each loop and call, and use all that the sandbox accepts.

use arbitrary::Unstructured;
use std::io::Write;
use wasm_smith::{Config, Module};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().collect();
    let [_, seed, count, file] = words.as_slice() else { return Err("usage: gatebus-smith SEED COUNT FILE".into()) };
    let (first, count): (u64, u64) = (seed.parse()?, count.parse()?);
    let mut out = std::fs::File::create(file)?;
    for seed in first..first + count {
        let bytes = bytes(seed);
        let mut module = Module::new(config(seed), &mut Unstructured::new(&bytes))?;
        module.ensure_termination(200)?;
        let wasm = module.to_bytes();
        out.write_all(&u32::try_from(wasm.len())?.to_le_bytes())?;
        out.write_all(&wasm)?;
    }
    Ok(())
}

fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32).to_le_bytes()[0]
    };
    (0..6000).map(|_| next()).collect()
}

fn config(seed: u64) -> Config {
    Config {
        max_imports: 0,
        min_funcs: 4,
        max_funcs: 7,
        min_exports: 4,
        max_exports: 12,
        max_instructions: 150,
        max_memories: 2,
        min_memories: 1,
        max_memory32_bytes: 2 << 16,
        max_tables: 2,
        max_table_elements: 30,
        max_globals: 8,
        max_tags: 3,
        max_data_segments: 4,
        max_element_segments: 4,
        max_elements: 8,
        max_types: 12,
        max_values: 4,
        canonicalize_nans: true,
        disallow_traps: seed % 2 == 0,
        gc_enabled: false,
        memory64_enabled: false,
        threads_enabled: false,
        export_everything: true,
        ..Config::default()
    }
}
