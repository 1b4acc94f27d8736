"""What admission adds to compiling: the whole cold admission of a C program against one `Module.serialize()` of it.

The program is the JavaScript interpreter of the examples (C, about 1 MiB of code) unless a file is given. The yardstick
is the PyPI package `wasmtime`, single-threaded; its compiler is the same Cranelift, two versions younger.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import trio
import wasmtime

import sandbox

ROUNDS = 3


def default_program() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "gatebus/guests/qjs.wasm"


def serialize(wasm: bytes) -> float:
    """Seconds for one single-threaded compilation with the PyPI package."""
    config = wasmtime.Config()
    config.parallel_compilation = False
    engine = wasmtime.Engine(config)
    began = time.perf_counter()
    wasmtime.Module(engine, wasm).serialize()
    return time.perf_counter() - began


async def admit(wasm: bytes) -> float:
    """Seconds from bytes to a usable image with empty caches."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        async with sandbox.open_sandbox("native") as box:
            began = time.perf_counter()
            await box.compile(wasm)
            return time.perf_counter() - began


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default_program()
    wasm = path.read_bytes()
    pairs = [(trio.run(admit, wasm), serialize(wasm)) for _ in range(ROUNDS)]
    ours, plain = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
    print(f"{path.name}, {len(wasm) / 2**20:.2f} MiB: admission {ours:.2f} s, Module.serialize() {plain:.2f} s")
    print(json.dumps({"compile_ratio": ours / plain}))


if __name__ == "__main__":
    main()
