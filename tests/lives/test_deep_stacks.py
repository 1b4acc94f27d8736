"""Programs that stand deep in a recursion, and files that say so: only whoever asks for one waits for it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
import trio
from busworld import BOB
from deepprogram import DEEP
from forgedfiles import taken_apart
from liveworld import digest, live_world
from test_live_instances import ONE, TWO
from test_snapshots_as_files import brought, exported, taken

from sandbox.limits import FRAME_BYTES
from sandbox.statewords import look_untrusted

if TYPE_CHECKING:
    from pathlib import Path

    from busworld import BusWorld, Channel, Talker

pytestmark = pytest.mark.usefixtures("native")

# Its one frame has one word.
SPINS = b'(module (memory (export "memory") 1) (func (export "_start") (loop $more (br $more))))'
# Says "go" below 50,000 calls and waits there.
DEEPER = DEEP[:-1] + b'(func (export "_start") (drop (call $down (i32.const 50000)))))'
STACK = 8 << 20
COPIES = 20
ANSWERS = 30


async def stands(bus: Talker, wasm: bytes, **limits: int) -> None:
    await bus.ask("launch", instance=ONE, module=digest(wasm), limits=limits)
    if wasm is DEEPER:
        await bus.io(ONE).until(lambda channel: channel.data == b"go")
    await bus.ask("suspend", instance=ONE)


async def forged(bus: Talker, frames: int) -> bytes:
    """A file of a program that stands in so many frames of the smallest size, all of the same place: of a few
    kilobytes, for their chunks are the same. The snapshot that came in.
    """
    await stands(bus, SPINS)
    own = taken_apart(await exported(bus, await taken(bus)))
    state = own.held.read_all(own.section("state"))
    place = look_untrusted(state).frames
    assert len(place) == 4
    many = state[place.start : place.stop] * frames
    state = state[: place.start - 4] + struct.pack("<I", len(many)) + many + state[place.stop :]
    return (await brought(bus, own.made(own.held.of("state", state))))["snapshot"]


async def answered_until(bus: Talker, asked: Channel) -> int:
    """How often somebody else is answered while one waits."""
    count = 0
    while asked.answer is None:
        await bus.ask("features")
        count += 1
    return count


def walked(world: BusWorld) -> int:
    return world.host.parts.box._admission.counts.walked


async def test_while_a_forged_state_of_millions_of_frames_goes_on_others_are_answered(image_directory: Path) -> None:
    async with live_world(image_directory, None, SPINS) as world, world.talker() as alice, world.talker(BOB) as bob:
        snapshot = await forged(alice, FRAME_BYTES // 4)
        asked = alice.open("restore", {"snapshot": snapshot, "instance": TWO})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asked.until, lambda channel: channel.answer)
            answers = await answered_until(bob, asked)
        assert walked(world) == 1
        assert answers >= ANSWERS, "the host has looked at a thousand pieces of them, one a turn"


async def test_a_state_with_more_frames_than_any_program_has_does_not_go_on(image_directory: Path) -> None:
    async with live_world(image_directory, None, SPINS) as world, world.talker() as bus:
        snapshot = await forged(bus, FRAME_BYTES // 4 + 1)
        assert (await bus.open("restore", {"snapshot": snapshot, "instance": TWO}).error()).code == "bad-state"
        assert walked(world) == 0


async def test_the_frames_of_a_deep_program_are_looked_at_once_for_all_its_copies(image_directory: Path) -> None:
    async with live_world(image_directory, None, DEEPER) as world, world.talker() as alice, world.talker(BOB) as bob:
        await stands(alice, DEEPER, stack=STACK, memory=1 << 20)
        copies = [bytes([number + 1]) * 16 for number in range(COPIES)]
        asked = alice.open("clone", {"instance": ONE, "instances": copies})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asked.until, lambda channel: channel.answer)
            answers = await answered_until(bob, asked)
        told = (await asked.result())["instances"]
        assert [line["state"] for line in told] == ["RUNNING"] * COPIES
        assert walked(world) == 1
        assert answers >= ANSWERS
