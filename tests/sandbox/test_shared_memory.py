"""Programs that go on from one memory without a copy: each has its own, and a stop finds what each has changed."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import pytest
import trio
from programoutput import said

import sandbox
from sandbox import Form, Lifecycle, Limits, State, Suspended
from sandbox.layeredmemory import PIECES_MAX, LayeredMemory
from sandbox.memfd import MemfdSnapshot
from sandbox.packets import encode_data

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox import Image, Program

pytestmark = pytest.mark.usefixtures("native")

ROOM = Limits(stack=8 << 20, memory=16 << 20)
SMALLER = Limits(stack=8 << 20, memory=8 << 20)
# 4 MiB, every page of the first three touched with its number; then commands of 6 bytes: "w", page, value: writes the
# value into that page and says it; "r", page: says the byte there; "g": grows by a page and says the old size.
PAGES = b"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 64)
  (data (i32.const 16) "\\20\\00\\00\\00\\01\\00\\00\\00") (data (i32.const 24) "\\28\\00\\00\\00\\06\\00\\00\\00")
  (func $say (param i32) (i32.store8 (i32.const 32) (local.get 0))
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8))))
  (func $place (result i32) (i32.shl (i32.load (i32.const 41)) (i32.const 12)))
  (func (export "_start") (local $n i32)
    (loop $touch
      (i32.store8 (i32.add (i32.const 64) (i32.shl (local.get $n) (i32.const 12))) (local.get $n))
      (br_if $touch (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 768))))
    (call $say (i32.const 33))
    (loop $again
      (drop (call $read (i32.const 0) (i32.const 24) (i32.const 1) (i32.const 8)))
      (if (i32.eq (i32.load8_u (i32.const 40)) (i32.const 119))
        (then (i32.store8 offset=64 (call $place) (i32.load8_u (i32.const 45)))
          (call $say (i32.load8_u (i32.const 45)))))
      (if (i32.eq (i32.load8_u (i32.const 40)) (i32.const 114))
        (then (call $say (i32.load8_u offset=64 (call $place)))))
      (if (i32.eq (i32.load8_u (i32.const 40)) (i32.const 103))
        (then (call $say (memory.grow (i32.const 1)))))
      (br $again))))"""


@pytest.fixture
async def box(image_directory: Path) -> AsyncIterator[sandbox.Sandbox]:
    async with sandbox.open_sandbox("native", sandbox.Settings(cache_directory=str(image_directory))) as made:
        yield made


async def command(program: Program, letter: bytes, page: int = 0, value: int = 0) -> int:
    await program.send(encode_data(0, 0, letter + page.to_bytes(4, "little") + bytes([value])))
    return (await said(program))[0]


async def first(box: sandbox.Sandbox) -> tuple[Image, Suspended]:
    image = await box.compile(PAGES, form=Form.SUSPENDABLE)
    async with box.start(image, None, ROOM) as program:
        assert await said(program) == b"!"
        return image, await program.suspend()


def again(box: sandbox.Sandbox, image: Image, suspended: Suspended, limits: Limits = ROOM) -> sandbox.box.Running:
    return box.resume(image, suspended, limits, program=PAGES, share=True, lifecycle=Lifecycle.CLONED)


async def test_many_at_once_have_what_was_there_and_each_its_own_from_then_on(box: sandbox.Sandbox) -> None:
    image, suspended = await first(box)
    async with AsyncExitStack() as stack:
        programs = [await stack.enter_async_context(again(box, image, suspended)) for _ in range(5)]
        for number, program in enumerate(programs):
            assert await command(program, b"r", 300) == 300 & 255
            assert await command(program, b"w", 300, 100 + number) == 100 + number
        for number, program in enumerate(programs):
            assert await command(program, b"r", 300) == 100 + number
            assert await command(program, b"r", 301) == 301 & 255
    assert suspended.memory.read(300 * 4096 + 64, 1) == bytes([300 & 255])


async def test_a_stop_finds_the_pages_that_were_changed_and_no_others(box: sandbox.Sandbox) -> None:
    image, suspended = await first(box)
    async with again(box, image, suspended) as program:
        for page in (7, 8, 9, 400, 1000):
            await command(program, b"w", page, 200)
        await command(program, b"r", 50)
        stopped = await program.suspend()
        assert (await program.wait()).state is State.SUSPENDED
    assert stopped.base is suspended.memory
    assert stopped.changed is not None
    changed = {page for at, length in stopped.changed for page in range(at // 4096, (at + length) // 4096)}
    assert {7, 8, 9, 400, 1000} <= changed
    assert len(changed) <= 5 + 2, "page 0 holds the commands, and perhaps its neighbour"
    for page in (7, 400, 1000):
        assert stopped.memory.read(page * 4096 + 64, 1) == b"\xc8"
    assert stopped.memory.read(50 * 4096 + 64, 1) == b"\x32"


async def test_stopped_and_continued_again_and_again_it_loses_nothing_and_has_at_most_two_files(
    box: sandbox.Sandbox,
) -> None:
    image, suspended = await first(box)
    for turn in range(12):
        async with again(box, image, suspended) as program:
            for page in range(20 * turn, 20 * turn + 20, 2):
                assert await command(program, b"w", page + 1, turn + 1) == turn + 1
            suspended = await program.suspend()
    async with again(box, image, suspended) as program:
        for turn in range(12):
            for page in range(20 * turn, 20 * turn + 20, 2):
                assert await command(program, b"r", page + 1) == turn + 1
                if page:
                    assert await command(program, b"r", page) == page & 255
    assert isinstance(suspended.memory, LayeredMemory)
    files = suspended.memory.merged()
    assert len(files.descriptors) <= 2
    assert len(files.pieces) <= PIECES_MAX


async def test_who_changes_most_of_it_has_one_file_of_its_own_then(box: sandbox.Sandbox) -> None:
    image, suspended = await first(box)
    async with again(box, image, suspended) as program:
        for page in range(600):
            assert await command(program, b"w", page, 7) == 7
        suspended = await program.suspend()
    assert isinstance(suspended.memory, LayeredMemory)
    assert len(suspended.memory.merged().descriptors) == 1
    for page, byte in ((0, 7), (599, 7), (600, 600 & 255)):
        assert suspended.memory.read(page * 4096 + 64, 1) == bytes([byte])


async def test_who_has_changed_most_of_it_still_has_the_rest_two_stops_later(box: sandbox.Sandbox) -> None:
    image, suspended = await first(box)
    for changed in (range(600), range(5, 6)):
        async with again(box, image, suspended) as program:
            for page in changed:
                assert await command(program, b"w", page, 7) == 7
            suspended = await program.suspend()
    async with again(box, image, suspended) as program:
        assert [await command(program, b"r", page) for page in (1, 5, 599, 600)] == [7, 7, 7, 600 & 255]


async def test_copies_of_one_that_has_written_here_and_there_all_begin(box: sandbox.Sandbox) -> None:
    image, suspended = await first(box)
    async with again(box, image, suspended) as program:
        for page in range(0, 1024, 8):
            assert await command(program, b"w", page, 7) == 7
        suspended = await program.suspend()
    for _ in range(3):
        async with again(box, image, suspended) as program:
            assert [await command(program, b"r", page) for page in (8, 9, 600)] == [7, 9, 7]


async def test_a_memory_grows_beyond_what_it_began_with_and_the_rest_is_zeros(box: sandbox.Sandbox) -> None:
    image, suspended = await first(box)
    async with again(box, image, suspended) as program:
        assert await command(program, b"g") == 64
        assert await command(program, b"r", 64 * 16 + 3) == 0
        assert await command(program, b"w", 64 * 16 + 3, 9) == 9
        suspended = await program.suspend()
    assert suspended.memory.size == 65 << 16
    async with again(box, image, suspended, SMALLER) as program:
        assert await command(program, b"r", 64 * 16 + 3) == 9
        assert await command(program, b"r", 64 * 16 + 4) == 0
        assert await command(program, b"g") == 65
        assert await command(program, b"r", 65 * 16) == 0


async def test_a_large_memory_is_never_copied(box: sandbox.Sandbox) -> None:
    image, suspended = await first(box)
    async with box.resume(image, suspended, ROOM, program=PAGES) as program:
        assert await command(program, b"w", 5, 77) == 77
        stopped = await program.suspend()
    assert isinstance(stopped.memory, LayeredMemory)


async def test_a_shared_memory_can_be_copied_too(box: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.nativeprocess.COPY_MAX", 1 << 30)
    image, suspended = await first(box)
    async with again(box, image, suspended) as program:
        await command(program, b"w", 5, 77)
        suspended = await program.suspend()
    async with box.resume(image, suspended, ROOM, program=PAGES) as program:
        assert await command(program, b"r", 5) == 77
        assert await command(program, b"r", 6) == 6
        stopped = await program.suspend()
    assert isinstance(stopped.memory, MemfdSnapshot)
    assert (stopped.base, stopped.changed) == (suspended.memory, None)
    whole = suspended.memory.size - 4096  # the first page holds what was said last
    assert stopped.memory.read(4096, whole) == suspended.memory.read(4096, whole)


async def test_a_program_that_is_killed_while_it_is_stopped_leaves_nothing(box: sandbox.Sandbox) -> None:
    image, suspended = await first(box)
    for _ in range(10):
        async with again(box, image, suspended) as program, trio.open_nursery() as nursery:

            async def stop(program: Program = program) -> None:
                with suppress(sandbox.BrokenProgram):  # unless the stop was quicker
                    await program.suspend()

            nursery.start_soon(stop)
            await trio.lowlevel.checkpoint()
            program.kill()
    assert box.statistics().running == 0
