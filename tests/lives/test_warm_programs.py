"""Programs that have begun already: what is kept of them, and calls that go on from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from busworld import BOB
from liveworld import CHAIN, chained, digest, live_world

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("native")

# Says "ready" before it reads, and then what it reads.
GREETS = CHAIN.replace(
    b"(loop $more",
    b"(i32.store (i32.const 24) (i32.const 40)) (i32.store (i32.const 28) (i32.const 5))"
    b"(drop (call $write (i32.const 1) (i32.const 24) (i32.const 1) (i32.const 20))) (loop $more",
    1,
).replace(b"(data (i32.const 0)", b'(data (i32.const 40) "ready") (data (i32.const 0)')


async def test_a_call_goes_on_from_what_is_warm_and_has_what_was_written_before(image_directory: Path) -> None:
    async with live_world(image_directory, None, GREETS) as world, world.talker() as bus:
        kept = await bus.ask("warm", module=digest(GREETS))
        for text in (b"one", b"two"):
            call = await bus.call(GREETS, warm=True).until(lambda each: each.accepted)
            call.write(text)
            call.end()
            assert (await call.result())["state"] == "HALTED"
            assert call.data == b"ready" + chained(text)
        call = bus.call(GREETS, warm=True, input=b"three", end=0)
        assert (await call.result())["state"] == "HALTED"
        assert call.data == b"ready" + chained(b"three")
        (line,) = (await bus.ask("snapshots"))["snapshots"]
        assert (line["kind"], line["snapshot"]) == ("warm", kept["snapshot"])
        assert (await bus.ask("list"))["instances"] == []


async def test_what_differs_starts_from_the_start_and_so_does_another_s(image_directory: Path) -> None:
    async with live_world(image_directory, None, GREETS) as world, world.talker() as bus, world.talker(BOB) as bob:
        await bus.ask("warm", module=digest(GREETS), args=["a"])
        for asker, more in ((bus, {"args": ["b"]}), (bus, {"args": ["a"], "env": {"A": "1"}}), (bob, {"args": ["a"]})):
            call = await asker.call(GREETS, warm=True, **more).until(lambda each: each.accepted)
            call.end()
            assert (await call.result())["state"] == "HALTED"
            assert call.data == b"ready"


async def test_a_program_that_ends_before_it_reads_is_not_kept(image_directory: Path) -> None:
    ends = b'(module (memory (export "memory") 1) (func (export "_start")))'
    async with live_world(image_directory, None, ends) as world, world.talker() as bus:
        error = await bus.open("warm", {"module": digest(ends)}).error()
        assert error.text == "The program ended before it wanted any input: there is nothing to keep warm."


async def test_a_program_that_is_killed_before_it_reads_says_at_which_limit(image_directory: Path) -> None:
    loop = b'(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))'
    async with live_world(image_directory, None, loop) as world, world.talker() as bus:
        error = await bus.open("warm", {"module": digest(loop), "limits": {"cpu_time": 0.2}}).error()
        assert error.text == (
            "The program was killed before it wanted any input. "
            "The program used up its CPU time; raise the limit `cpu_time` if it needs more."
        )


async def test_a_program_that_cannot_be_run_is_refused_for_what_it_is(image_directory: Path) -> None:
    imports = b'(module (import "elsewhere" "f" (func)) (memory (export "memory") 1) (func (export "_start")))'
    async with live_world(image_directory, None, imports) as world, world.talker() as bus:
        error = await bus.open("warm", {"module": digest(imports)}).error()
        assert error.text.startswith("The program was not run. ")
        assert "elsewhere" in error.text


async def test_what_is_dropped_is_not_warm_any_more(image_directory: Path) -> None:
    async with live_world(image_directory, None, GREETS) as world, world.talker() as bus:
        kept = await bus.ask("warm", module=digest(GREETS))
        await bus.ask("drop", snapshot=kept["snapshot"])
        call = await bus.call(GREETS, warm=True).until(lambda each: each.accepted)
        call.end()
        await call.result()
        assert call.data == b"ready"
