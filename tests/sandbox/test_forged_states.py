"""States from anyone, on both back-ends: refused with what is wrong, or a run inside the sandbox; nothing else."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from deepprogram import DEEP

import sandbox
from sandbox import BadState, Cause, Form, Limits, Setup, State, Suspended
from sandbox.packets import DATA, PAIR, encode_data, split_untrusted
from sandbox.statewords import look_untrusted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.box import BackendName

# A state with all of its parts: references in frames, globals and a table, a dropped segment, a second memory.
# It waits for a byte in a function that was called through the table, and gives it and the rest together.
RICH = b"""(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (memory $other 1)
  (type $step (func (param i32) (result i32)))
  (global $sum (mut i64) (i64.const 5)) (global $wide (mut v128) (v128.const i32x4 1 2 3 4))
  (global $f (mut funcref) (ref.func $waits))
  (table $t 3 4 funcref) (elem (i32.const 1) $waits)
  (data (i32.const 16) "\\20\\00\\00\\00\\02\\00\\00\\00\\28\\00\\00\\00\\01\\00\\00\\00") (data (i32.const 32) "go")
  (data $gone "abc")
  (func $waits (type $step)
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
    (drop (call $read (i32.const 0) (i32.const 24) (i32.const 1) (i32.const 8)))
    (i32.add (local.get 0) (i32.load8_u (i32.const 40))))
  (func (export "run") (result i32) (local $kept funcref) (local $v v128)
    (local.set $kept (ref.func $waits))
    (local.set $v (global.get $wide))
    (data.drop $gone)
    (table.set $t (i32.const 2) (local.get $kept))
    (i32.store $other (i32.const 4000) (i32.const 77))
    (call_indirect $t (type $step) (i32.const 1) (i32.const 2))
    (table.set $t (i32.const 0) (local.get $kept))
    (i32.add (i32.load $other (i32.const 4000)))
    (i32.add (i32x4.extract_lane 3 (local.get $v)))
    (i32.add (i32.wrap_i64 (global.get $sum)))))"""
RICH_SAYS = 1 + 77 + 4 + 5

ROOM = Limits(stack=8 << 20)
# For what may loop or wait for ever; on the portable back-end a start alone may take seconds.
SHORT = {"native": replace(ROOM, cpu_time=1, wall_time=1), "portable": replace(ROOM, cpu_time=20, wall_time=20)}
# A start costs a hundred times as much on the portable back-end; both check by the same code, all bytes of which
# are changed in native/module/tests.
SAMPLES = {"native": 250, "portable": 8}
# Ends of programs, and of states that are refused.
INSIDE = set(Cause) - {Cause.INTERNAL, Cause.FORBIDDEN_CALL, Cause.ORPHANED}


async def stopped(box: sandbox.Sandbox, wasm: bytes, function: str) -> Suspended:
    image = await box.compile(wasm, form=Form.SUSPENDABLE)
    assert image.unsuspendable == ()
    async with box.start(image, Setup(function=function), ROOM) as program:
        assert await program.receive_some()
        return await program.suspend()


async def end_of(box: sandbox.Sandbox, wasm: bytes, suspended: Suspended, limits: Limits = ROOM) -> sandbox.Outcome:
    """Given its byte."""
    image = await box.compile(wasm, form=Form.SUSPENDABLE)
    async with box.resume(image, suspended, limits, program=wasm) as program:
        try:
            await program.send(encode_data(0, 0, b"*"))
            async for batch in program:
                for packet in split_untrusted(batch):
                    assert packet.domain != DATA or len(packet.content) <= PAIR.size
        except (sandbox.BrokenProgram, sandbox.PacketViolation):
            pass  # its end says why
        return await program.wait()


async def told(box: sandbox.Sandbox, wasm: bytes, forged: Suspended, limits: Limits = ROOM) -> tuple[Cause, str]:
    """How it ended, and why it was refused if it was."""
    try:
        outcome = await end_of(box, wasm, forged, limits)
    except BadState as refused:
        return Cause.BAD_STATE, refused.text
    return outcome.cause, outcome.text


def world_of(state: bytes) -> int:
    """Where what stands behind its host calls begins: its length is before it, and it is the last part."""
    return next(at for at in range(36, len(state)) if int.from_bytes(state[at - 4 : at], "little") == len(state) - at)


def changed(suspended: Suspended, at: int, bit: int) -> Suspended:
    state = bytearray(suspended.state)
    state[at] ^= bit
    return replace(suspended, state=bytes(state))


async def test_every_byte_of_a_state_changed_is_refused_or_a_run_inside_the_sandbox(
    box: sandbox.Sandbox, backend: BackendName
) -> None:
    good = await stopped(box, RICH, "run")
    assert (await end_of(box, RICH, good)).result == RICH_SAYS + ord("*")
    dice = Random(22)
    zeros = good.state.index(bytes(64))  # the second memory's piece: a byte of it is any value
    places = [at for at in range(36, len(good.state)) if not zeros <= at < zeros + 3900]
    ends = []
    for at in dice.sample(places, min(len(places), SAMPLES[backend])):
        cause, text = await told(box, RICH, changed(good, at, 1 << dice.randrange(8)), SHORT[backend])
        ends.append(cause)
        assert cause in INSIDE, (at, cause, text)
        assert cause is not Cause.BAD_STATE or len(text) > 30, (at, text)
    assert Cause.BAD_STATE in ends
    assert Cause.NORMAL in ends
    assert (await end_of(box, RICH, good)).result == RICH_SAYS + ord("*")


def named(suspended: Suspended, sha256: str) -> Suspended:
    """With another program's name in it."""
    state = suspended.state[:4] + bytes.fromhex(sha256) + suspended.state[36:]
    return replace(suspended, sha256=sha256, state=state)


async def test_a_state_of_another_program_is_refused_under_either_name(box: sandbox.Sandbox) -> None:
    rich, deep = await stopped(box, RICH, "run"), await stopped(box, DEEP, "shallow")
    assert await told(box, DEEP, rich) == (Cause.BAD_STATE, "The state is of another program.")
    for wasm, own, other in ((DEEP, deep, rich), (RICH, rich, deep)):
        cause, text = await told(box, wasm, named(other, own.sha256))
        assert cause is Cause.BAD_STATE
        assert text in (
            "The state names a place that the program does not have.",
            "The program cannot go on from this state: the entry cannot have left any of these frames.",
            "The state is damaged: its frames end within a frame, or there are none.",
        )


# The entry's frame in DEEP saves nothing: it is its site's number.
OUTERMOST = 4


def without_outermost(frames: bytes) -> bytes:
    return frames[:-OUTERMOST]


def twice(frames: bytes) -> bytes:
    return frames + frames


CHAINS = [
    (without_outermost, "the entry cannot have left any of these frames"),
    (twice, "a frame stands inside a site that has nothing inside it"),
]


@pytest.mark.parametrize(("forge", "why"), CHAINS, ids=["without_outermost", "twice"])
async def test_frames_that_cannot_stand_so_are_refused_by_name(
    box: sandbox.Sandbox, forge: Callable[[bytes], bytes], why: str
) -> None:
    good = await stopped(box, DEEP, "shallow")
    place = look_untrusted(good.state).frames
    frames = forge(good.state[place.start : place.stop])
    length = len(frames).to_bytes(4, "little")
    forged = good.state[: place.start - 4] + length + frames + good.state[place.stop :]
    cause, text = await told(box, DEEP, replace(good, state=forged))
    assert (cause, text) == (Cause.BAD_STATE, f"The program cannot go on from this state: {why}.")


async def test_a_number_that_the_next_file_would_get_is_a_legal_change_and_the_program_waits_as_it_did(
    box: sandbox.Sandbox,
) -> None:
    """The last byte of a world without files: of the cookie that the root directory would give next."""
    good = await stopped(box, DEEP, "shallow")
    image = await box.compile(DEEP, form=Form.SUSPENDABLE)
    forged = changed(good, len(good.state) - 1, 0x40)
    async with box.resume(image, forged, ROOM, program=DEEP) as program:
        again = await program.suspend()
    assert again.state[-8:] == forged.state[-8:] == (3 | 0x40 << 56).to_bytes(8, "little")
    outcome = await end_of(box, DEEP, again)
    assert (outcome.state, outcome.result) == (State.HALTED, 3 + ord("*"))


@pytest.mark.usefixtures("native")
async def test_what_goes_on_nowhere_is_not_shown(image_directory: Path) -> None:
    """The same checks before a person sees frames, and before an export; only limits are whoever's that goes on."""
    refused: list[bool] = []
    async with sandbox.open_sandbox("native", sandbox.Settings(cache_directory=str(image_directory))) as box:
        good = await stopped(box, RICH, "run")
        assert [frame["function"] for frame in await box.frames(good, RICH)] == [0, 2, 3]
        world = world_of(good.state)
        places = [*range(36, look_untrusted(good.state).frames.stop + 70, 5), *range(world, len(good.state), 7)]
        for at in places:
            forged = changed(good, at, 0x80)
            with suppress(BadState):
                await box.frames(forged, RICH)
                continue
            refused += [at >= world]
            assert (await told(box, RICH, forged))[0] is Cause.BAD_STATE, at
            with pytest.raises(BadState):
                await box.export(forged, RICH)
    assert (refused.count(False) > 10, refused.count(True) > 10) == (True, True)
