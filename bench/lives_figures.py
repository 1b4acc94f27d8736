"""Programs that outlive their processes, over the bus: parked and stored, gone on with, warmed.

In:  a host of its own process (bench.bus_host), asked by `gatebus.client` over its unix socket
Out: {"suspend_parked_ms": …, …}, medians, as the last line; before it what lies in them

`suspend_stored_ms` ends when the host has said that it is durable; what one write and fsync of 64 KiB cost in the same
folder is printed beside it.

`idle_store_kib` is what the host's private memory grows by for each launched program that has run, is stored and has
nobody connected to it; what the host remembers of events is bounded, and full before. `idle_attached_kib` is the same
for programs that a client is connected to all the time: beside `host_kib` (bench.bus_figures) it says that this belongs
to the connection.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from bench.bus_figures import host
from gatebus.cli.surroundings import guests_directory
from gatebus.client import ExactKey, Manner, Program, connect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from bench.bus_figures import HostProcess

ROUNDS, STORED, WARM_CALLS = 40, 600, 40
# Between two warm calls, as in life: time for the host to make the next copy.
WARM_PAUSE = 0.03
# By then everything that is bounded is full: events, the loop's deadlines, the store's cache of its pages (2 MiB).
BEFORE = 1_500
FOLDED_SECONDS = 3.0  # by then the host has looked at what rests (IDLE_SWEEP_SECONDS)
# Touches a mebibyte, says "x" and waits for a byte, again and again.
WAITS = b"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 17)
  (data (i32.const 16) "\\20\\00\\00\\00\\01\\00\\00\\00\\28\\00\\00\\00\\01\\00\\00\\00") (data (i32.const 32) "x")
  (func (export "_start")
    (memory.fill (i32.const 65536) (i32.const 7) (i32.const 1048576))
    (loop $again
      (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
      (drop (call $read (i32.const 0) (i32.const 24) (i32.const 1) (i32.const 8)))
      (br_if $again (i32.load (i32.const 8))))))"""
SCRIPT = "console.log(eval(std.in.getline()))"


async def timed(what: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await what()
    return (time.perf_counter() - began) * 1000


async def there_and_back(bus: Any, depth: str) -> tuple[float, float]:
    """(suspend, resume) in milliseconds."""
    instance = await bus.launch(Program(WAITS, limits={"memory": 2 << 20}))
    stops, goes = [], []
    for _ in range(ROUNDS):
        stops.append(await timed(lambda: bus.suspend(instance, depth)))
        goes.append(await timed(lambda: bus.resume(instance)))
    await bus.kill(instance)
    return statistics.median(stops[3:]), statistics.median(goes[3:])


async def warm_script(bus: Any) -> float:
    words = ("qjs", "--std", "--stack-size", "1024", "-e", SCRIPT)
    program = Program((guests_directory() / "qjs.wasm").read_bytes(), words, warm=True)
    await bus.warm(program)
    apart = await warm_calls(bus, program, WARM_PAUSE)
    print(f"a line of JavaScript from warm, calls in a row: {await warm_calls(bus, program, 0):.2f} ms")
    return apart


async def warm_calls(bus: Any, program: Program, pause: float) -> float:
    """The median. In a row each call finds fewer copies that wait for it than the host can make meanwhile."""
    times = []
    for _ in range(WARM_CALLS):
        began = time.perf_counter()
        assert (await bus.call(program, b"6 * 7\n")).output == b"42\n"
        times.append((time.perf_counter() - began) * 1000)
        await trio.sleep(pause)
    return statistics.median(times[3:])


QUIET = Program(WAITS, limits={"memory": 2 << 20}, policy={"wake": "never"})


async def stored_kib(bus: Any, server: HostProcess) -> float:
    """Each has said something to nobody, and rests."""

    async def one() -> None:
        await bus.suspend(await bus.launch(QUIET))

    return await grown(one, BEFORE, server)


async def attached_kib(server: HostProcess, socket: str) -> float:
    """The client of each is there and has read what it said. In a host of its own: one that has freed memory before
    would take that.
    """
    async with connected(server, socket) as bus, AsyncExitStack() as stack:

        async def one() -> None:
            instance = await bus.launch(QUIET)
            stream = await stack.enter_async_context(bus.io(instance))
            await stream.receive()
            await bus.suspend(instance)

        return await grown(one, STORED // 4, server)


async def grown(one: Callable[[], Awaitable[None]], before: int, server: HostProcess) -> float:
    """KiB for each of STORED more than there were before."""
    for _ in range(before):
        await one()
    await trio.sleep(FOLDED_SECONDS)
    before = server.private_kib()
    for _ in range(STORED):
        await one()
    await trio.sleep(FOLDED_SECONDS)
    return (server.private_kib() - before) / STORED


def fsync_ms(folder: str) -> float:
    """What the disk itself takes, at the median."""
    times = []
    for _ in range(ROUNDS):
        with open(os.path.join(folder, "one"), "wb") as file:
            began = time.perf_counter()
            file.write(bytes(64 << 10))
            file.flush()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def connected(server: HostProcess, socket: str) -> AbstractAsyncContextManager[Any]:
    return connect(f"unix:{socket}", None, Manner(trust=ExactKey(bytes.fromhex(server.about["key"]))))


async def figures(server: HostProcess, socket: str) -> dict[str, float]:
    async with connected(server, socket) as bus:
        parked, unparked = await there_and_back(bus, "parked")
        stored, resumed = await there_and_back(bus, "stored")
        found = {
            "suspend_parked_ms": parked,
            "resume_parked_ms": unparked,
            "suspend_stored_ms": stored,
            "resume_stored_ms": resumed,
            "idle_store_kib": await stored_kib(bus, server),
        }
        if (guests_directory() / "qjs.wasm").is_file():
            found["warm_js_ms"] = await warm_script(bus)
        return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        socket = str(Path(folder) / "socket")
        os.environ["GATEBUS_BENCH_SOCKET"] = socket
        with host() as server:
            found = trio.run(figures, server, socket)
        with host() as server:
            found["idle_attached_kib"] = trio.run(attached_kib, server, socket)
        print(f"one write and fsync of 64 KiB in the same folder: {fsync_ms(folder):.2f} ms")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
