"""Several memories of a program grow up to one limit together, and so do several tables: on each back-end, whether or
not it is stopped between, and wherever it goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from programoutput import rest_of, said

import sandbox
from sandbox import Cause, Form, Limits, Setup, State
from sandbox.packets import encode_data

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Boxes = dict[str, sandbox.Sandbox]

# 16 pages; of which 15 are taken before the stop, and 802 of the elements.
ROOM = Limits(stack=8 << 20, memory=1 << 20, table=1000)
GROWS = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (memory $b 1) (table $t 1 funcref) (table $u 1 externref) (table $w 0 funcref)
  (global $right (mut i32) (i32.const 1)) (elem declare func $before $it)
  (data (i32.const 16) "\\20\\00\\00\\00\\02\\00\\00\\00\\28\\00\\00\\00\\01\\00\\00\\00") (data (i32.const 32) "go")
  (func $is (param i32 i32) (global.set $right
    (i32.or (i32.shl (global.get $right) (i32.const 1)) (i32.eq (local.get 0) (local.get 1)))))
  (func $ask
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
    (drop (call $read (i32.const 0) (i32.const 24) (i32.const 1) (i32.const 8))))
  (func $before
    (call $is (memory.grow (i32.const 13)) (i32.const 1))
    (call $is (table.grow $t (ref.func $before) (i32.const 800)) (i32.const 1))
    (call $is (memory.grow (i32.const 2)) (i32.const -1)))
  (func $it (export "it") (result i32)
    %s
    (call $ask)
    (call $is (memory.grow $b (i32.const 2)) (i32.const -1))
    (call $is (memory.grow $b (i32.const 1)) (i32.const 1))
    (call $is (memory.grow (i32.const 1)) (i32.const -1))
    (call $is (memory.grow (i32.const 0)) (i32.const 14))
    (call $is (memory.grow $b (i32.const -1)) (i32.const -1))
    (call $is (table.grow $u (ref.null extern) (i32.const 199)) (i32.const -1))
    (call $is (table.grow $u (ref.null extern) (i32.const 197)) (i32.const 1))
    (call $is (table.grow $w (ref.func $it) (i32.const 1)) (i32.const 0))
    (call $is (table.grow $t (ref.null func) (i32.const 1)) (i32.const -1))
    (call $is (table.grow $t (ref.null func) (i32.const 0)) (i32.const 801))
    (call $is (table.grow $t (ref.null func) (i32.const -1)) (i32.const -1))
    (call $is (ref.is_null (table.get $t (i32.const 800))) (i32.const 0))
    (global.get $right))
  (func (export "_start")) %s)"""
CALLED = (GROWS % ("(call $before)", "")).encode()
STARTED = (GROWS % ("", "(start $before)")).encode()
ALL_RIGHT = (1 << 16) - 1


@pytest.fixture
async def boxes(native: None, image_directory: Path) -> AsyncIterator[Boxes]:
    settings = sandbox.Settings(cache_directory=str(image_directory))
    async with (
        sandbox.open_sandbox("native", settings) as native_box,
        sandbox.open_sandbox("portable", settings) as portable_box,
    ):
        yield {"native": native_box, "portable": portable_box}


async def result_of(program: sandbox.Program) -> int:
    await program.send(encode_data(0, 0, b"*"))
    await rest_of(program)
    outcome = await program.wait()
    assert outcome.state is State.HALTED, outcome
    return outcome.result


@pytest.mark.parametrize("module", [CALLED, STARTED], ids=["entry", "start function"])
@pytest.mark.parametrize("form", [Form.PLAIN, Form.SUSPENDABLE])
async def test_what_grows_is_counted_together(box: sandbox.Sandbox, module: bytes, form: Form) -> None:
    image = await box.compile(module, form=form)
    assert image.unsuspendable == ()
    async with box.start(image, Setup(function="it"), ROOM) as program:
        assert await said(program) == b"go"
        assert await result_of(program) == ALL_RIGHT


@pytest.mark.parametrize("order", [("native", "portable", "native"), ("portable", "native", "portable")])
async def test_what_is_within_the_limits_goes_on_on_the_other_backend_and_back(
    boxes: Boxes, order: tuple[str, str, str]
) -> None:
    images = {name: await box.compile(CALLED, form=Form.SUSPENDABLE) for name, box in boxes.items()}
    first, second, third = order
    async with boxes[first].start(images[first], Setup(function="it"), ROOM) as program:
        assert await said(program) == b"go"
        suspended = await program.suspend()
    async with boxes[second].resume(images[second], suspended, ROOM, program=CALLED) as program:
        suspended = await program.suspend()
    for name in (second, third):
        async with boxes[name].resume(images[name], suspended, ROOM, program=CALLED) as program:
            assert await result_of(program) == ALL_RIGHT


@pytest.mark.parametrize(
    ("limits", "which"),
    [
        (Limits(stack=8 << 20, memory=14 << 16, table=1000), "its memories are larger than the limit `memory`"),
        (Limits(stack=8 << 20, memory=1 << 20, table=801), "its tables are larger than the limit `table`"),
    ],
    ids=["memory", "table"],
)
async def test_a_state_above_a_lower_limit_says_which_one(box: sandbox.Sandbox, limits: Limits, which: str) -> None:
    image = await box.compile(CALLED, form=Form.SUSPENDABLE)
    async with box.start(image, Setup(function="it"), ROOM) as program:
        assert await said(program) == b"go"
        suspended = await program.suspend()
    async with box.resume(image, suspended, limits, program=CALLED) as program:
        await rest_of(program)
        outcome = await program.wait()
    assert (outcome.cause, outcome.text) == (Cause.BAD_STATE, f"The program cannot go on from this state: {which}.")
