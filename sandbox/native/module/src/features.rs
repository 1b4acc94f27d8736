//! Which proposals of WebAssembly a module may use. Admission refuses the others by name; here they are only invalid.

use wasmparser::WasmFeatures;

/// What today's toolchains emit by default. The one list: admission, the engine's settings and this transformation follow it.
pub const ACCEPTED: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::GC_TYPES);
