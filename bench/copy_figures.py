"""What copies and snapshots of running programs cost: time until all have answered, memory, how long one stands still.

In:  a program that has touched 16 MiB (copies) or 256 MiB (snapshots), and waits
Out: {"clone_ms": ..., "clone100_ms": ..., "clone_kib": ..., "snapshot_256": ...} as the last line; before it what
     lies in them

A copy has answered when its first packet after it was made has come back. A program stands still for a snapshot from
the word to stop until it has answered again, in a fresh process. Private memory: what the kernel calls private and
dirty, and page tables, of a copy that has written nothing but its answer.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import statistics
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import trio

import sandbox
from sandbox import Form, Lifecycle, Limits, Setup
from sandbox.packets import encode_data

if TYPE_CHECKING:
    from sandbox import Image, Program, Suspended

MIB = 1 << 20
ROUNDS = 15
SNAPSHOTS = 5
UNLIMITED = (1 << 31) - 1
# Touches its memory (PAGES of 64 KiB, less the first), then echoes bytes.
TEXT = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") PAGES)
  (data (i32.const 16) "\\20\\00\\00\\00\\01\\00\\00\\00") (data (i32.const 32) "x")
  (func (export "_start")
    (memory.fill (i32.const 65536) (i32.const 7) (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 65536)))
    (loop $again
      (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
      (drop (call $read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 8)))
      (if (i32.eq (i32.load8_u (i32.const 32)) (i32.const 119))
        (then (memory.fill (i32.const 65536) (i32.const 9)
          (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 65536)))))
      (br $again))))"""


def program_of(mebibytes: int) -> bytes:
    return TEXT.replace("PAGES", str(mebibytes * 16)).encode()


def limits_of(mebibytes: int) -> Limits:
    return Limits(stack=8 << 20, memory=mebibytes * MIB, cpu_time=60)


async def answered(program: Program, letter: bytes = b"x") -> None:
    await program.send(encode_data(0, 0, letter))
    await program.receive_some()


async def copies(box: sandbox.Sandbox, image: Image, wasm: bytes, suspended: Suspended, count: int) -> float:
    """Milliseconds until `count` copies have answered."""
    began = time.perf_counter()
    async with AsyncExitStack() as stack:
        programs = []
        for _ in range(count):
            going = box.resume(image, suspended, limits_of(16), program=wasm, share=True, lifecycle=Lifecycle.CLONED)
            program = await stack.enter_async_context(going)
            await program.send(encode_data(0, 0, b"x"))
            programs.append(program)
        for program in programs:
            await program.receive_some()
        took = time.perf_counter() - began
        for program in programs:
            program.kill()
    return took * 1000


def below(parent: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        for pid in map(int, task.read_text().split()):
            found += [pid, *below(pid)]
    return found


def field(text: str, name: str) -> int:
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith(name)))


def kib(pid: int) -> tuple[int, int] | None:
    """(private and dirty + page tables, pages of shared memory that it has) of a process; None: it is gone."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    return field(rollup, "Private_Dirty:") + field(status, "VmPTE:"), field(status, "RssShmem:")


async def memory_of_a_copy(box: sandbox.Sandbox, image: Image, wasm: bytes, suspended: Suspended) -> float:
    before = set(below(os.getpid()))
    async with AsyncExitStack() as stack:
        for _ in range(20):
            going = box.resume(image, suspended, limits_of(16), program=wasm, share=True, lifecycle=Lifecycle.CLONED)
            program = await stack.enter_async_context(going)
            await answered(program)
        found = [each for pid in set(below(os.getpid())) - before if (each := kib(pid)) is not None]
        # Prepared children have seen no page of a memory file.
        return statistics.median(private for private, files in found if files > 0)


def memcpy_ms(size: int) -> float:
    """The same bytes copied to memory that is there already, best of some."""
    source, target = mmap.mmap(-1, size), mmap.mmap(-1, size)
    for each in (source, target):
        each.write(b"\7" * size)
    addresses = [ctypes.addressof(ctypes.c_char.from_buffer(each)) for each in (target, source)]
    times = []
    for _ in range(5):
        began = time.perf_counter()
        ctypes.memmove(*addresses, size)
        times.append(time.perf_counter() - began)
    return min(times) * 1000


async def frozen(
    box: sandbox.Sandbox, image: Image, wasm: bytes, program: Program
) -> tuple[float, Suspended, AsyncExitStack]:
    """Milliseconds from the word to stop until the program has answered again."""
    stack = AsyncExitStack()
    began = time.perf_counter()
    suspended = await program.suspend()
    going = box.resume(image, suspended, limits_of(256), program=wasm, share=True)
    program = await stack.enter_async_context(going)
    await answered(program)
    return (time.perf_counter() - began) * 1000, suspended, stack


async def snapshots(box: sandbox.Sandbox) -> tuple[float, float]:
    """Medians: of a program whose memory is its file, and of one that has written all of a shared memory anew."""
    wasm = program_of(256)
    image = await box.compile(wasm, form=Form.SUSPENDABLE)
    first, later = [], []
    for _ in range(SNAPSHOTS + 1):
        async with box.start(image, Setup(origin_credit=UNLIMITED), limits_of(256)) as program:
            await program.receive_some()
            took, suspended, stack = await frozen(box, image, wasm, program)
            first.append(took)
            going = box.resume(image, suspended, limits_of(256), program=wasm, share=True)
            async with stack, going as other:
                await answered(other, b"w")
                took, _suspended, again = await frozen(box, image, wasm, other)
                later.append(took)
                await again.aclose()
    return statistics.median(first[1:]), statistics.median(later[1:])


async def main() -> dict[str, float]:
    async with sandbox.open_sandbox("native") as box:
        wasm = program_of(16)
        image = await box.compile(wasm, form=Form.SUSPENDABLE)
        async with box.start(image, Setup(origin_credit=UNLIMITED), limits_of(16)) as program:
            await program.receive_some()
            suspended = await program.suspend()
        await copies(box, image, wasm, suspended, 1)
        tens = [await copies(box, image, wasm, suspended, 10) for _ in range(ROUNDS)]
        hundreds = [await copies(box, image, wasm, suspended, 100) for _ in range(5)]
        print(f"10 copies, all answering: median {statistics.median(tens):.2f} ms, best {min(tens):.2f}")
        print(f"100 copies, all answering: median {statistics.median(hundreds):.1f} ms, best {min(hundreds):.1f}")
        private = await memory_of_a_copy(box, image, wasm, suspended)
        first, later = await snapshots(box)
        copied = memcpy_ms(256 * MIB)
        print(f"memcpy of 256 MiB: {copied:.1f} ms")
        print(f"stands still: {first:.1f} ms; when all of a shared memory has changed: {later:.1f} ms")
    return {
        "clone_ms": statistics.median(tens) / 10,
        "clone100_ms": statistics.median(hundreds),
        "clone_kib": private,
        "snapshot_256": first / copied,
        "snapshot_256_again": later / copied,
    }


if __name__ == "__main__":
    print(json.dumps(trio.run(main)))
