//! Which proposals of WebAssembly a module may use, and the names of those that it may not.

use crate::refusal::Refusal;
pub use gatebus_module::ACCEPTED;
use wasmparser::{BinaryReaderError, Validator, WasmFeatures};

/// Refused by name: what it is called, and what the author can do.
const REFUSED: [(WasmFeatures, &str, &str); 9] = [
    (WasmFeatures::THREADS, "threads and atomics are", "build without -pthread or shared memory"),
    (WasmFeatures::MEMORY64, "64-bit memory is", "build for wasm32"),
    (
        WasmFeatures::LEGACY_EXCEPTIONS,
        "the legacy form of exceptions is",
        "build with -mllvm -wasm-use-legacy-eh=false",
    ),
    (WasmFeatures::FUNCTION_REFERENCES, "typed function references are", "build without them"),
    (
        WasmFeatures::GC.union(WasmFeatures::FUNCTION_REFERENCES),
        "garbage collection (GC) is",
        "build for linear memory",
    ),
    (WasmFeatures::STACK_SWITCHING.union(WasmFeatures::FUNCTION_REFERENCES), "stack switching is", "build without it"),
    (WasmFeatures::CUSTOM_PAGE_SIZES, "custom page sizes are", "build with pages of 64 KiB"),
    (WasmFeatures::WIDE_ARITHMETIC, "wide arithmetic is", "build without -mwide-arithmetic"),
    (
        WasmFeatures::SHARED_EVERYTHING_THREADS
            .union(WasmFeatures::THREADS)
            .union(WasmFeatures::GC)
            .union(WasmFeatures::FUNCTION_REFERENCES),
        "shared-everything threads are",
        "build without threads",
    ),
];

/// Validates with the accepted features; a failure is told apart by trying the refused ones.
pub fn validate_untrusted(wasm: &[u8]) -> Result<(), Refusal> {
    let Err(error) = validate(wasm, ACCEPTED) else { return Ok(()) };
    for (feature, name, advice) in REFUSED {
        // A module with several refused features still gets one name: the first that carries validation further.
        match validate(wasm, ACCEPTED | feature) {
            Ok(()) => return Err(Refusal::unsupported(name, advice)),
            Err(_) => continue,
        }
    }
    let all = REFUSED.iter().fold(ACCEPTED, |sum, (feature, ..)| sum | *feature);
    if validate(wasm, all).is_ok() {
        return Err(several(wasm, &error));
    }
    Err(Refusal::invalid(&error))
}

fn validate(wasm: &[u8], features: WasmFeatures) -> Result<(), BinaryReaderError> {
    Validator::new_with_features(features).validate_all(wasm).map(|_| ())
}

/// Valid only with more than one refused feature: the one without which it fails earliest is named.
fn several(wasm: &[u8], error: &BinaryReaderError) -> Refusal {
    let further = REFUSED
        .iter()
        .find(|(feature, ..)| validate(wasm, ACCEPTED | *feature).is_err_and(|other| other.offset() > error.offset()));
    match further {
        Some((_, name, advice)) => Refusal::unsupported(name, advice),
        None => Refusal::unsupported("this combination of features is", "build for wasm32-wasip1"),
    }
}
