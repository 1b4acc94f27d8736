"""Programs that are stopped on one back-end and go on on the other one, with the right answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from deepprogram import DEEP
from programoutput import rest_of, said
from required import require

import sandbox
from sandbox import Cause, Form, Limits, Setup, State, Suspended
from sandbox.packets import encode_data
from sandbox.portable.portable_engine_name import TRANSFORMER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Boxes = dict[str, sandbox.Sandbox]

ROUNDS = 100_000_000
# Says "go", computes for half a second, and gives a part of the result: of integers, a NaN's bits, a vector.
COUNTS = b"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (memory $other 2)
  (global $sum (mut i64) (i64.const 0)) (global $nan (mut f32) (f32.const nan:0x212345))
  (global $wide (mut v128) (v128.const i32x4 1 2 3 4))
  (table $t 3 funcref) (elem (i32.const 1) $step)
  (type $step (func (param i64) (result i64)))
  (data (i32.const 16) "\\20\\00\\00\\00\\02\\00\\00\\00") (data (i32.const 32) "go")
  (data $gone "abc")
  (func $say (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8))))
  (func $step (type $step) (i64.add (i64.mul (local.get 0) (i64.const 6364136223846793005)) (i64.const 1)))
  (func (export "count") (result i32) (local $n i32)
    (data.drop $gone)
    (table.set $t (i32.const 2) (table.get $t (i32.const 1)))
    (table.set $t (i32.const 1) (ref.null func))
    (i32.store $other (i32.const 70000) (i32.const 77))
    (call $say)
    (loop $l
      (global.set $sum (call_indirect $t (type $step) (global.get $sum) (i32.const 2)))
      (global.set $wide (i32x4.add (global.get $wide) (v128.const i32x4 1 1 1 1)))
      (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100000000))))
    (i32.xor (i32.wrap_i64 (i64.shr_u (global.get $sum) (i64.const 32)))
      (i32.xor (i32.reinterpret_f32 (global.get $nan))
        (i32.xor (i32.load $other (i32.const 70000)) (i32x4.extract_lane 3 (global.get $wide)))))))"""


def counted() -> int:
    """By doubling: n rounds are total -> total * factor + term."""
    total, factor, term, left = 0, 6364136223846793005, 1, ROUNDS
    while left:
        if left & 1:
            total = (total * factor + term) % 2**64
        factor, term, left = factor * factor % 2**64, (factor + 1) * term % 2**64, left >> 1
    return (total >> 32) ^ 0x7FA1_2345 ^ 77 ^ (ROUNDS + 4)


ROOM = Limits(stack=8 << 20)


@pytest.fixture
async def portable(image_directory: Path) -> AsyncIterator[sandbox.Sandbox]:
    require(TRANSFORMER.is_file(), "gatebus-transform is not built: run `make build`")
    async with sandbox.open_sandbox("portable", sandbox.Settings(cache_directory=str(image_directory))) as box:
        yield box


@pytest.fixture
async def boxes(native: None, portable: sandbox.Sandbox, image_directory: Path) -> AsyncIterator[Boxes]:
    async with sandbox.open_sandbox("native", sandbox.Settings(cache_directory=str(image_directory))) as box:
        yield {"native": box, "portable": portable}


async def stopped(box: sandbox.Sandbox, wasm: bytes, function: str) -> Suspended:
    image = await box.compile(wasm, form=Form.SUSPENDABLE)
    assert image.unsuspendable == ()
    async with box.start(image, Setup(function=function), ROOM) as program:
        assert await said(program) == b"go"
        suspended = await program.suspend()
        assert (await program.wait()).state is State.SUSPENDED
    return suspended


async def end_of(box: sandbox.Sandbox, suspended: Suspended, wasm: bytes, byte: bytes = b"") -> int:
    """What the program gives that goes on."""
    image = await box.compile(wasm, form=Form.SUSPENDABLE)
    async with box.resume(image, suspended, ROOM, program=wasm) as program:
        if byte:
            await program.send(encode_data(0, 0, byte))
        assert await rest_of(program) == b""
        outcome = await program.wait()
        assert outcome.state is State.HALTED, outcome
        return outcome.result & 0xFFFF_FFFF


async def moved(box: sandbox.Sandbox, suspended: Suspended, wasm: bytes) -> Suspended:
    image = await box.compile(wasm, form=Form.SUSPENDABLE)
    async with box.resume(image, suspended, ROOM, program=wasm) as program:
        return await program.suspend()


async def test_a_busy_loop_goes_on_on_the_portable_backend(portable: sandbox.Sandbox) -> None:
    suspended = await stopped(portable, COUNTS, "count")
    suspended = await moved(portable, suspended, COUNTS)
    assert await end_of(portable, suspended, COUNTS) == counted()


async def test_a_busy_loop_moves_between_both_backends_and_back(boxes: Boxes) -> None:
    suspended = await stopped(boxes["native"], COUNTS, "count")
    for name in ("portable", "native", "portable"):
        suspended = await moved(boxes[name], suspended, COUNTS)
    results = [await end_of(boxes[name], suspended, COUNTS) for name in ("native", "portable")]
    assert results == [counted()] * 2


@pytest.mark.parametrize(("first", "second"), [("native", "portable"), ("portable", "native")])
async def test_ten_thousand_frames_that_wait_move(boxes: Boxes, first: str, second: str) -> None:
    suspended = await stopped(boxes[first], DEEP, "deep")
    assert await end_of(boxes[second], suspended, DEEP, b"*") == 10_000 + ord("*")
    again = await moved(boxes[second], suspended, DEEP)
    assert again.memory.read(0, 64) == suspended.memory.read(0, 64)
    assert await end_of(boxes[first], again, DEEP, b"+") == 10_000 + ord("+")


async def test_both_backends_write_the_same_state(boxes: Boxes) -> None:
    states = [await stopped(box, DEEP, "shallow") for box in boxes.values()]
    worlds = [each.state.index(b"shallow") for each in states]
    assert states[0].state[: worlds[0] + 64] == states[1].state[: worlds[1] + 64]
    assert len(states[0].state) == len(states[1].state)


# Where in the state, what it is, and who refuses it.
FORGED = [
    (36, "the phase", "process"),
    (41, "the entry's name", "process"),
    (51, "the number of pages", "host"),
    (52, "the length of the frames", "host"),
    (59, "the innermost site", "host"),
]


@pytest.mark.parametrize(("at", "what", "refuses"), FORGED, ids=[what for _, what, _ in FORGED])
async def test_a_forged_state_is_refused(portable: sandbox.Sandbox, at: int, what: str, refuses: str) -> None:
    suspended = await stopped(portable, DEEP, "shallow")
    image = await portable.compile(DEEP, form=Form.SUSPENDABLE)
    forged = bytearray(suspended.state)
    forged[at] ^= 0x40
    try:
        async with portable.resume(image, replace(suspended, state=bytes(forged)), ROOM, program=DEEP) as program:
            await rest_of(program)
            found = ("process", (await program.wait()).cause)
    except sandbox.BadState:
        found = ("host", Cause.BAD_STATE)
    assert found == (refuses, Cause.BAD_STATE), what


async def test_frames_that_cannot_stand_so_end_with_bad_state(portable: sandbox.Sandbox) -> None:
    suspended = await stopped(portable, DEEP, "shallow")
    image = await portable.compile(DEEP, form=Form.SUSPENDABLE)
    name = suspended.state.index(b"shallow")
    length = int.from_bytes(suspended.state[name + 11 : name + 15], "little")
    start = name + 15
    frames = suspended.state[start : start + length]
    backwards = suspended.state[: name + 11] + (length // 5 * 4).to_bytes(4, "little")
    forged = backwards + frames[: length // 5 * 4] + suspended.state[start + length :]
    async with portable.resume(image, replace(suspended, state=forged), ROOM, program=DEEP) as program:
        await rest_of(program)
        assert (await program.wait()).cause is Cause.BAD_STATE
