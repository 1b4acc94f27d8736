"""Wire: the engine as this back-end configures it, in the compile worker and in the programs alike.

The same language as the native back-end accepts (native/runner/src/engine.rs); no threads, no component model, no
WASI of the engine, no 64-bit memories, no garbage collection. Neither fuel nor epochs: a limit of time ends the process
(portable_watchdog.py).
"""

from __future__ import annotations

import ctypes

import wasmtime

ENGINE_ASYNC_STACK = 2 << 20  # the engine's default

ACCEPTED = (
    "wasm_simd", "wasm_relaxed_simd", "wasm_relaxed_simd_deterministic", "wasm_bulk_memory", "wasm_reference_types",
    "wasm_multi_value", "wasm_tail_call", "wasm_multi_memory", "wasm_exceptions",
)  # fmt: skip
REFUSED = (
    "wasm_threads", "wasm_memory64", "wasm_function_references", "wasm_gc", "wasm_stack_switching",
    "wasm_custom_page_sizes", "wasm_wide_arithmetic", "wasm_component_model", "shared_memory",
)  # fmt: skip


def make_config(*also: str) -> wasmtime.Config:
    """`also`: refused features to switch on, only to find out why a module is not valid."""
    config = wasmtime.Config()
    for name in REFUSED:
        setattr(config, name, name in also)
    for name in ACCEPTED:
        setattr(config, name, True)
    config.strategy = "cranelift"
    config.cranelift_opt_level = "speed"
    # one worker is one core's worth; its CPU limit counts all threads
    config.parallel_compilation = False
    config.memory_may_move = False
    # it would write a file in memory, which the process may not (RLIMIT_FSIZE 0)
    config.memory_init_cow = False
    config.native_unwind_info = False
    return config


def make_engine(stack: int | None = None) -> wasmtime.Engine:
    config = make_config()
    if stack is not None:
        _raise_async_stack(config, stack)
        config.max_wasm_stack = stack
    return wasmtime.Engine(config)


def _raise_async_stack(config: wasmtime.Config, stack: int) -> None:
    """Never used (no fibers), but the engine insists that it is not smaller than the stack, and the package has no
    name for it.
    """
    set_size = wasmtime._ffi.dll.wasmtime_config_async_stack_size_set
    set_size(config.ptr(), ctypes.c_uint64(max(stack, ENGINE_ASYNC_STACK)))
