"""What a stop and a resume cost the host: from the word to the state, from the state to the program that runs on.

In:  a program in a busy loop that has touched 1 MiB; the JavaScript interpreter, if it is built
Out: {"stop_ms": …, "go_ms": …}, medians, as the last line; before it what lies in them

`go_ms` ends with the first packet of the program that goes on, its continuation cached; so does `go_cold_ms`, of the
interpreter on a host that has admitted it and has never continued it, where the continuation is compiled.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import TYPE_CHECKING

import trio

import sandbox
from bench.live_programs import interpreter
from sandbox import Form, Limits, Setup

if TYPE_CHECKING:
    from sandbox import Image, Suspended

ROUNDS = 100
COLD_ROUNDS = 3
ROOM = Limits(stack=8 << 20)
# Touches a mebibyte, says "x", and counts until memory says what the host never writes; says "x" again at every
# 65,536th turn, so that somebody who waits hears that it runs.
BUSY = b"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 17)
  (data (i32.const 16) "\\20\\00\\00\\00\\01\\00\\00\\00") (data (i32.const 32) "x")
  (func $say (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8))))
  (func (export "_start") (local $n i32)
    (memory.fill (i32.const 65536) (i32.const 7) (i32.const 1048576))
    (call $say)
    (loop $again
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (if (i32.eqz (i32.and (local.get $n) (i32.const 65535))) (then (call $say)))
      (br $again))))"""
SCRIPT = "let n = 0; print('x'); for (;;) { n = (n * 31 + 7) % 1000003; if (n % 5000 == 0) print('x'); }"
UNLIMITED = (1 << 31) - 1


async def stopped(box: sandbox.Sandbox, image: Image, setup: Setup) -> Suspended:
    async with box.start(image, setup, ROOM) as program:
        await program.receive_some()
        return await program.suspend()


async def round_trip(box: sandbox.Sandbox, image: Image, suspended: Suspended) -> tuple[float, float, Suspended]:
    """(go, stop) in milliseconds."""
    began = time.perf_counter()
    async with box.resume(image, suspended, ROOM, program=BUSY) as program:
        await program.receive_some()
        went = time.perf_counter() - began
        began = time.perf_counter()
        again = await program.suspend()
        return went * 1000, (time.perf_counter() - began) * 1000, again


async def cold(module: bytes) -> float:
    """Milliseconds, on a host that keeps nothing on its disk."""
    async with sandbox.open_sandbox("native", sandbox.Settings(cache_directory="")) as box:
        image = await box.compile(module, form=Form.SUSPENDABLE)
        words = ("qjs", "--std", "--stack-size", "1024", "-e", SCRIPT)
        suspended = await stopped(box, image, Setup(arguments=words, origin_credit=UNLIMITED))
        began = time.perf_counter()
        async with box.resume(image, suspended, ROOM, program=module) as program:
            await program.receive_some()
            return (time.perf_counter() - began) * 1000


async def main() -> dict[str, float]:
    async with sandbox.open_sandbox("native") as box:
        image = await box.compile(BUSY, form=Form.SUSPENDABLE)
        suspended = await stopped(box, image, Setup(origin_credit=UNLIMITED))
        rounds = []
        for _ in range(ROUNDS):
            *times, suspended = await round_trip(box, image, suspended)
            rounds.append(times)
    goes, stops = zip(*rounds[5:], strict=True)  # the first ones compile the continuations
    print(f"stop: median {statistics.median(stops):.3f} ms, best {min(stops):.3f} ms, 1 MiB touched, in a busy loop")
    print(f"go: median {statistics.median(goes):.3f} ms, best {min(goes):.3f} ms, its continuation cached")
    figures = {"stop_ms": statistics.median(stops), "go_ms": statistics.median(goes)}
    if interpreter().file.is_file():
        module = interpreter().file.read_bytes()
        colds = [await cold(module) for _ in range(COLD_ROUNDS)]
        print(f"go, never stopped there before: the JavaScript interpreter, best of {COLD_ROUNDS}: {min(colds):.0f} ms")
        figures["go_cold_ms"] = min(colds)
    return figures


if __name__ == "__main__":
    print(json.dumps(trio.run(main)))
