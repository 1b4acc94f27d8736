"""Copies of a running program: each draws randomness of its own (T23), time goes on, and nothing is left of them."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from openfiles import left_open, open_files
from processes import descendants
from waiting import until

import sandbox
from sandbox import Form, Lifecycle, Limits
from sandbox.packets import DATA, PAIR, encode_data, encode_flow, split_untrusted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox import Image, Program, Suspended

pytestmark = pytest.mark.usefixtures("native")

ROOM = Limits(stack=8 << 20, memory=2 << 20)
COPIES = 100
LINE = 40  # bytes
# A spawner that has forked a thousand times gets a successor, and stays until the children are used that it prepared.
SPAWNERS = 4
# At the start and for each byte that it reads: 32 bytes of randomness and the monotonic clock.
DRAWS = b"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\\40\\00\\00\\00\\28\\00\\00\\00") (data (i32.const 24) "\\20\\00\\00\\00\\01\\00\\00\\00")
  (func (export "_start")
    (loop $again
      (drop (call $random (i32.const 64) (i32.const 32)))
      (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 96)))
      (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
      (drop (call $read (i32.const 0) (i32.const 24) (i32.const 1) (i32.const 8)))
      (br $again))))"""


async def drawn(program: Program) -> tuple[bytes, int]:
    """(randomness, nanoseconds) of the next line that it says."""
    text = b""
    while len(text) < LINE:
        data = await program.receive_some()
        assert data, await program.wait()
        text += b"".join(packet.content[PAIR.size :] for packet in split_untrusted(data) if packet.domain == DATA)
    return text[:32], int.from_bytes(text[32:40], "little")


@pytest.fixture
async def box() -> AsyncIterator[sandbox.Sandbox]:
    async with sandbox.open_sandbox("native", sandbox.Settings(cache_directory="")) as made:
        yield made


async def stopped(box: sandbox.Sandbox) -> tuple[Image, Suspended, tuple[bytes, int]]:
    image = await box.compile(DRAWS, form=Form.SUSPENDABLE)
    async with box.start(image, None, ROOM) as program:
        before = await drawn(program)
        return image, await program.suspend(), before


def copy(box: sandbox.Sandbox, image: Image, suspended: Suspended) -> sandbox.box.Running:
    return box.resume(image, suspended, ROOM, program=DRAWS, share=True, lifecycle=Lifecycle.CLONED)


async def test_a_hundred_copies_draw_a_hundred_times_something_else_and_their_clocks_go_on(
    box: sandbox.Sandbox,
) -> None:
    image, suspended, before = await stopped(box)
    async with AsyncExitStack() as stack:
        copies = [await stack.enter_async_context(copy(box, image, suspended)) for _ in range(COPIES)]
        for program in copies:
            await program.send(encode_data(0, 0, b"."))
        lines = [await drawn(program) for program in copies]
    assert len({randomness for randomness, _time in lines} | {before[0]}) == COPIES + 1
    assert all(time >= before[1] for _randomness, time in lines)


async def test_many_copies_that_come_and_go_leave_nothing(box: sandbox.Sandbox) -> None:
    """How many: GATEBUS_COPIES (`make soak`: 10,000)."""
    image, suspended, _before = await stopped(box)
    count, keeper = int(os.environ.get("GATEBUS_COPIES", "200")), box._backend._keeper._process.pid
    for number in range(count):
        async with copy(box, image, suspended) as program:
            await program.send(encode_data(0, 0, b"."))
            await drawn(program)
            if number % 2:
                await program.send(encode_flow(0, [(0, LINE)]))  # what was written before a stop counts behind it, too
                suspended = await program.suspend()
        if number == 20:
            files, processes = open_files(), len(descendants(keeper))
    await until(lambda: len(descendants(keeper)) <= processes + SPAWNERS)
    assert left_open(files) == []
    assert box.statistics().running == 0
