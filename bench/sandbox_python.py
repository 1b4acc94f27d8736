"""What this host process reaches with one program: a start, packets per second, bytes per second.

`packets_s` and `stream_mbs`: a program that does nothing but write; each packet is a call of its own (`fd_write`), read
by an ordinary `async for`. Beside the figures of the table, the same with Gate's `io` and 64 packets in a call.
"""

from __future__ import annotations

import json
import statistics
import time

import trio

import sandbox
from bench.guests import HELLO
from sandbox.packets import encode

STARTS = 400
SECONDS = 1.5
# The program may write for as long as the measurement takes: 2 GiB.
UNLIMITED = sandbox.Setup(origin_credit=(1 << 31) - 1)


def writer(size: int) -> bytes:
    """Writes packets of `size` bytes for ever; 16 of them are header, stream and note."""
    return f"""(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 2)
      (func (export "_start")
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const {size - 16}))
        (loop $again
          (br_if $again (i32.eqz (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))))""".encode()


def batch_writer(packet: bytes, count: int) -> bytes:
    """Gate's way: `count` packets in one call."""
    escaped = "".join(f"\\{byte:02x}" for byte in packet * count)
    size = len(packet) * count
    return f"""(module
      (import "gate" "io_65536" (func $io (param i32 i32 i32 i32 i32 i32 i64 i32)))
      (memory (export "memory") 2)
      (data (i32.const 64) "{escaped}")
      (func (export "_start") (local $done i32)
        (loop $again
          (i32.store (i32.const 0) (i32.add (i32.const 64) (local.get $done)))
          (i32.store (i32.const 4) (i32.sub (i32.const {size}) (local.get $done)))
          (call $io (i32.const 0) (i32.const 0) (i32.const 8)
                    (i32.const 0) (i32.const 1) (i32.const 12) (i64.const -1) (i32.const 32))
          (local.set $done (i32.add (local.get $done) (i32.load (i32.const 12))))
          (if (i32.eq (local.get $done) (i32.const {size})) (then (local.set $done (i32.const 0))))
          (br $again))))""".encode()


async def spawn_ms(box: sandbox.Sandbox) -> tuple[float, float]:
    """(median, 99th percentile): request to first packet of a cached hello; the next one when this one has ended."""
    image, setup, limits = await box.compile(HELLO), sandbox.Setup(arguments=("hello",)), sandbox.Limits()
    times = []
    for _ in range(STARTS):
        began = time.perf_counter()
        async with box.start(image, setup, limits) as program:
            await program.receive_some()
            times.append(time.perf_counter() - began)
            await program.wait()
    return statistics.median(times) * 1000, statistics.quantiles(times, n=100)[98] * 1000


async def flow(box: sandbox.Sandbox, wasm: bytes) -> tuple[float, float]:
    """(packets, bytes) per second of a program that writes for ever."""
    image = await box.compile(wasm)
    async with box.start(image, UNLIMITED) as program:
        await program.receive_some()
        before, began = program.usage(), time.perf_counter()
        async for _packets in program:
            seconds = time.perf_counter() - began
            if seconds > SECONDS or program.usage().bytes_out > 1_900_000_000:
                break
        after = program.usage()
    return (after.packets_out - before.packets_out) / seconds, (after.bytes_out - before.bytes_out) / seconds


async def main() -> dict[str, float]:
    async with sandbox.open_sandbox("native") as box:
        median, tail = await spawn_ms(box)
        packets, _ = await flow(box, writer(64))
        _, stream = await flow(box, writer(65_536))
        batched, _ = await flow(box, batch_writer(encode(-1, 0, b"\1\0\1" + bytes(53)), 64))
    print(f"start from Python: median {median:.3f} ms, 99 % {tail:.3f} ms")
    print(f"64 B packets: {packets:,.0f}/s one call each, {batched:,.0f}/s in calls of 64")
    print(f"64 KiB packets: {stream / 1e6:,.0f} MB/s")
    return {"spawn_py_ms": median, "packets_s": packets, "stream_mbs": stream / 1e6}


if __name__ == "__main__":
    print(json.dumps(trio.run(main)))
