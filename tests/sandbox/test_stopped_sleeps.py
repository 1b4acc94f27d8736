"""Programs of C and Go that are stopped in the middle of a sleep, several times, say what they say without a stop, and
have slept as long as they wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from guestworld import guest
from programoutput import rest_of, said, text_of

import sandbox
from sandbox import Form, Limits, Sandbox, Setup, Suspended
from sandbox.leftbehind import _world_untrusted
from sandbox.portable.saved_world import HEAD_LAYOUT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox.box import Running

ROOM = Limits(stack=8 << 20, cpu_time=60)
C_SAYS = b"".join(b"sleep %d\nslept 1\n" % number for number in range(3))
GO_SAYS = b"".join(b"sleep %d\nslept true\n" % number for number in range(3))


@pytest.fixture
async def boxes(native: None, image_directory: Path) -> AsyncIterator[list[Sandbox]]:
    settings = sandbox.Settings(cache_directory=str(image_directory))
    async with sandbox.open_sandbox("native", settings) as first, sandbox.open_sandbox("portable", settings) as second:
        yield [first, second]


def waits(suspended: Suspended) -> bool:
    """It was stopped in a wait: its state says since when."""
    _version, _personality, _zero, _clock, since, *_log = HEAD_LAYOUT.unpack_from(_world_untrusted(suspended.state))
    return since > 0


async def stopped_in_a_wait(running: Running) -> tuple[bytes, Suspended]:
    """As soon as it has said something. It may not sleep yet: then it goes on for a moment, and is stopped again."""
    async with running as program:
        text = await said(program)
        suspended = await program.suspend()
        return text + b"".join([text_of(packets) async for packets in program]), suspended


async def with_stops(boxes: list[Sandbox], wasm: bytes) -> tuple[bytes, int, int | None]:
    """What it says in all, how often it was stopped in a wait, and its result."""
    image = await boxes[0].compile(wasm, form=Form.SUSPENDABLE)
    setup = Setup(arguments=("depths", "sleep"), origin_credit=1 << 20)
    text, suspended = await stopped_in_a_wait(boxes[0].start(image, setup, ROOM))
    asleep = 0
    for number in range(40):
        asleep += waits(suspended)
        box = boxes[number % len(boxes)]
        image = await box.compile(wasm, form=Form.SUSPENDABLE)
        async with box.resume(image, suspended, ROOM, program=wasm) as program:
            if asleep < 6:
                await trio.sleep(0.01)  # not for something to happen: wherever it is then, it goes on
                suspended = await program.suspend()
            text += await rest_of(program)
            if asleep >= 6:
                return text, asleep, (await program.wait()).result
    raise AssertionError("it does not sleep")


async def test_a_c_program_that_is_stopped_in_a_sleep_says_the_same(boxes: list[Sandbox]) -> None:
    assert await with_stops(boxes, guest("tests/wasi_depths.wasm")) == (C_SAYS, 6, 5)


@pytest.mark.timeout(180)  # the first build compiles Go's library
async def test_a_go_program_that_is_stopped_in_a_sleep_says_the_same(boxes: list[Sandbox], go_depths: bytes) -> None:
    """Only natively: the portable engine takes many seconds for its rewritten form."""
    assert await with_stops(boxes[:1], go_depths) == (GO_SAYS, 6, 5)
