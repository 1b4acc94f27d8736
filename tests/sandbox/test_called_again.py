"""A program that has come to its end is kept, and another function of it is called, in a fresh process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import sandbox
from sandbox import BadState, Cause, Form, Limits, Setup, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox import Image, Outcome, Suspended

pytestmark = pytest.mark.usefixtures("native")

ROOM = Limits(stack=8 << 20, memory=4 << 20)
KEPT = Setup(function="add", keep=True)
# Counts its calls in a global and in memory, on a page that the first call adds. A start function counts, too.
COUNTS = b"""(module
  (memory (export "memory") 1) (global $calls (mut i32) (i32.const 0)) (global $starts (mut i32) (i32.const 0))
  (func $start (global.set $starts (i32.add (global.get $starts) (i32.const 1))))
  (start $start)
  (func (export "add") (result i32)
    (if (i32.eqz (global.get $calls)) (then (drop (memory.grow (i32.const 1)))))
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store offset=65536 (i32.const 100) (i32.add (i32.load offset=65536 (i32.const 100)) (i32.const 10)))
    (global.get $calls))
  (func (export "memory_sum") (result i32) (i32.load offset=65536 (i32.const 100)))
  (func (export "starts") (result i32) (global.get $starts))
  (func (export "trap") unreachable))"""


@pytest.fixture
async def box(image_directory: Path) -> AsyncIterator[sandbox.Sandbox]:
    async with sandbox.open_sandbox("native", sandbox.Settings(cache_directory=str(image_directory))) as made:
        yield made


async def first(box: sandbox.Sandbox, setup: Setup = KEPT) -> tuple[Image, Outcome, Suspended | None]:
    image = await box.compile(COUNTS, form=Form.SUSPENDABLE)
    async with box.start(image, setup, ROOM) as program:
        while await program.receive_some():
            pass
        return image, await program.wait(), program.halted()


async def call(
    box: sandbox.Sandbox, image: Image, halted: Suspended, function: str, *, share: bool
) -> tuple[Outcome, Suspended | None]:
    going = box.resume(image, halted, ROOM, Setup(keep=True), function=function, share=share)
    async with going as program:
        while await program.receive_some():
            pass
        return await program.wait(), program.halted()


@pytest.mark.parametrize("share", [False, True])
async def test_what_it_had_is_there_for_the_next_function_and_the_one_after(box: sandbox.Sandbox, share: bool) -> None:
    image, outcome, halted = await first(box)
    assert (outcome.state, outcome.result) == (State.HALTED, 1)
    for calls in (2, 3):
        assert halted is not None
        assert halted.halted
        outcome, halted = await call(box, image, halted, "add", share=share)
        assert (outcome.state, outcome.result) == (State.HALTED, calls)
    assert halted is not None
    assert (await call(box, image, halted, "memory_sum", share=share))[0].result == 30
    assert (await call(box, image, halted, "starts", share=share))[0].result == 1, "no second start"
    assert (halted.changed is not None) is share


async def test_nothing_is_kept_of_who_was_not_asked_or_trapped(box: sandbox.Sandbox) -> None:
    assert (await first(box, Setup(function="add")))[2] is None
    _image, outcome, halted = await first(box, Setup(function="trap", keep=True))
    assert outcome.cause is Cause.UNREACHABLE
    assert halted is None


async def test_a_function_that_is_none_of_its_own_is_refused(box: sandbox.Sandbox) -> None:
    image, _outcome, halted = await first(box)
    assert halted is not None
    outcome, again = await call(box, image, halted, "gatebus:load", share=True)
    assert outcome.cause is Cause.NO_FUNCTION
    assert again is None
    with pytest.raises(BadState):
        async with box.resume(image, halted, ROOM):
            pass
