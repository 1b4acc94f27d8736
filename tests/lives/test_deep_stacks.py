"""Programs that stand deep in a recursion, and files that say so, or that name millions of other small things: only
whoever asks for one waits for it.
"""

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
from waiting import until

from gatebus.accountbounds import UNSENT_PART
from gatebus.host.lives import loading
from sandbox import admission
from sandbox.limits import FRAME_BYTES
from sandbox.packets import HEADER
from sandbox.statewords import WALK_PIECE, look_untrusted

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path
    from types import ModuleType

    from busworld import BusWorld, Channel, Talker

pytestmark = pytest.mark.usefixtures("native")

# Its one frame has one word.
SPINS = b'(module (memory (export "memory") 1) (func (export "_start") (loop $more (br $more))))'
# Says "go" below 50,000 calls and waits there.
DEEPER = DEEP[:-1] + b'(func (export "_start") (drop (call $down (i32.const 50000)))))'
STACK = 8 << 20
FRAMES = 4 << 20  # a word each
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


class Others:
    """How often somebody else was answered, now and when each piece of some work began, the last time."""

    def __init__(self) -> None:
        self.answers = 0
        self.at_pieces: list[int] = []

    async def ask_until(self, bus: Talker, waits: Channel) -> None:
        while waits.answer is None:
            await bus.ask("features")
            self.answers += 1

    def watch(self, monkeypatch: pytest.MonkeyPatch, module: ModuleType, work: str) -> None:
        """`work`: a function there that works in pieces."""
        made = getattr(module, work)

        def watched(*arguments: object) -> Generator[None, None, object]:
            pieces = made(*arguments)
            self.at_pieces.clear()  # it may be done again
            while True:
                self.at_pieces.append(self.answers)
                try:
                    next(pieces)
                except StopIteration as end:
                    return end.value
                yield

        monkeypatch.setattr(module, work, watched)

    @property
    def meanwhile(self) -> int:
        return self.at_pieces[-1] - self.at_pieces[0]


async def asked(alice: Talker, bob: Talker, others: Others, operation: str, **given: object) -> Channel:
    """By alice, and answered; bob asks for something else all the time."""
    channel = alice.open(operation, given)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.until, lambda each: each.answer)
        nursery.start_soon(others.ask_until, bob, channel)
    return channel


async def test_while_a_forged_state_of_millions_of_frames_goes_on_others_are_answered(
    image_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 4 * FRAMES <= FRAME_BYTES
    (others := Others()).watch(monkeypatch, admission, "walk_untrusted")
    async with live_world(image_directory, None, SPINS) as world, world.talker() as alice, world.talker(BOB) as bob:
        snapshot = await forged(alice, FRAMES)
        await asked(alice, bob, others, "restore", snapshot=snapshot, instance=TWO)
        assert walked(world) == 1
        assert len(others.at_pieces) > 4 * FRAMES // WALK_PIECE
        assert others.meanwhile >= ANSWERS


def walked(world: BusWorld) -> int:
    return world.host.parts.box._admission.counts.walked


async def test_a_state_with_more_frames_than_any_program_has_does_not_go_on(image_directory: Path) -> None:
    async with live_world(image_directory, None, SPINS) as world, world.talker() as bus:
        snapshot = await forged(bus, FRAME_BYTES // 4 + 1)
        assert (await bus.open("restore", {"snapshot": snapshot, "instance": TWO}).error()).code == "bad-state"
        assert walked(world) == 0


async def test_the_frames_of_a_deep_program_are_looked_at_once_for_all_its_copies(
    image_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (others := Others()).watch(monkeypatch, admission, "walk_untrusted")
    async with live_world(image_directory, None, DEEPER) as world, world.talker() as alice, world.talker(BOB) as bob:
        await stands(alice, DEEPER, stack=STACK, memory=1 << 20)
        copies = [bytes([number + 1]) * 16 for number in range(COPIES)]
        cloned = await asked(alice, bob, others, "clone", instance=ONE, instances=copies)
        told = (await cloned.result())["instances"]
        assert [line["state"] for line in told] == ["RUNNING"] * COPIES
        assert walked(world) == 1


async def test_while_millions_of_packets_that_a_program_has_not_read_are_counted_others_are_answered(
    image_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (others := Others()).watch(monkeypatch, loading, "leftover_untrusted")
    smallest = HEADER.pack(HEADER.size, 0, 0, 0)
    async with live_world(image_directory, None, SPINS) as world, world.talker() as alice, world.talker(BOB) as bob:
        await stands(alice, SPINS)
        own = taken_apart(await exported(alice, await taken(alice)))
        unsent = smallest * (UNSENT_PART // len(smallest) - 1) + b"\0"
        came = await brought(alice, own.made(own.held.of("unsent", unsent)))
        channel = await asked(alice, bob, others, "restore", snapshot=came["snapshot"], instance=TWO)
        assert (await channel.error()).text == "What the snapshot has for its program is no packet."
        assert others.meanwhile >= ANSWERS


def constants(ty: str, wide: str, count: int, calls: int) -> bytes:
    """Says "go" with so many constants alive in each of so many calls."""
    locals_ = "".join(f"(local $c{at} {ty})" for at in range(count))
    use = "".join(f"(local.set $sum (i64.add (local.get $sum) ({wide} (local.get $c{at}))))" for at in range(count))
    down = f"""(func $deep (param $n i32) (local $sum i64) {locals_}
      (if (local.get $n) (then (call $deep (i32.sub (local.get $n) (i32.const 1))))
        (else (drop (call $down (i32.const 0)))))
      {use} (global.set $kept (local.get $sum)))
    (global $kept (mut i64) (i64.const 0))
    (func (export "_start") (call $deep (i32.const {calls}))))"""
    return DEEP[:-1] + down.encode()


async def test_a_snapshot_of_more_than_there_is_room_for_ends_the_program_and_says_why(image_directory: Path) -> None:
    wasm = constants("i64", "i64.rotl (i64.const 0)", 600, 14_000)  # more than a stop has room for
    async with live_world(image_directory, None, wasm) as world, world.talker() as bus:
        await bus.ask("launch", instance=ONE, module=digest(wasm), limits={"stack": STACK})
        await bus.io(ONE).until(lambda channel: channel.data == b"go")
        why = "The stop has ended the program: what is on its stack takes more than 64 MiB when it is stopped."
        refused = await bus.open("snapshot", {"instance": ONE}).error()
        assert why in refused.text, refused.text
        status = await bus.ask("status", instance=ONE)
        assert (status["state"], status["cause"], status["text"]) == ("KILLED", "STACK_NOT_SAVED", why)


async def test_what_has_too_little_stack_to_go_on_says_so_before_anybody_wakes_it_and_stays(
    image_directory: Path,
) -> None:
    """Floats have 4 bytes in a frame, and 16 on the stack of what goes on."""
    wasm = constants("f32", "i64.trunc_sat_f32_s", 200, 32_000)
    async with live_world(image_directory, None, wasm) as world, world.talker() as bus:
        await bus.ask("launch", instance=ONE, module=digest(wasm), limits={"stack": STACK})
        await bus.io(ONE).until(lambda channel: channel.data == b"go")
        await bus.ask("suspend", instance=ONE)
        preparing = world.host.parts.lives.preparing
        await until(lambda: not preparing.under_way)
        status = await bus.ask("status", instance=ONE)
        assert (status["state"], status["depth"]) == ("SUSPENDED", "stored")
        assert status["failure"] == {
            "code": "bad-state",
            "text": "To go on, what is on its stack takes 98.9 MiB or more; there are 96. "
            "`gatebus export` makes one module of the state, for a runtime with a larger stack.",
        }
        refused = await bus.open("resume", {"instance": ONE}).error()
        assert (refused.code, refused.text) == ("bad-state", status["failure"]["text"])
        assert (await bus.ask("status", instance=ONE))["state"] == "SUSPENDED"
