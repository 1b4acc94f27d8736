"""A program that was stopped and went on ends as if it had not been stopped: with the same cause, in the same words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from programoutput import rest_of, said

from sandbox import Cause, Form, Limits, Setup, State
from sandbox.packets import encode_data

if TYPE_CHECKING:
    import sandbox

ROOM = Limits(stack=8 << 20)
# Says "go", waits for a byte, and goes wrong then.
WAITS = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (table $t 4 funcref) (elem (table $t) (i32.const 0) func $nothing) (tag $thrown)
  (type $number (func (result i32))) (elem $gone func $nothing) (data $abc "abc")
  (data (i32.const 16) "\\20\\00\\00\\00\\02\\00\\00\\00\\28\\00\\00\\00\\01\\00\\00\\00") (data (i32.const 32) "go")
  (func $nothing)
  (func $deeper (call $deeper) (call $nothing))
  (func $ask
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
    (drop (call $read (i32.const 0) (i32.const 24) (i32.const 1) (i32.const 8))))
  (func $wrong (elem.drop $gone) (call $ask) %s)
  %s)"""
WRONG = {
    "unreachable": "unreachable",
    "load": "(drop (i32.load (i32.const -8)))",
    "memory.init": "(memory.init $abc (i32.const 0) (i32.const 0) (i32.const 5))",
    "memory.copy": "(memory.copy (i32.const 65530) (i32.const 0) (i32.const 9))",
    "table.get": "(drop (table.get $t (i32.const 9)))",
    "table.init": "(table.init $t $gone (i32.const 0) (i32.const 0) (i32.const 1))",
    "index of a call": "(call_indirect $t (i32.const 9))",
    "null element": "(call_indirect $t (i32.const 2))",
    "signature": "(drop (call_indirect $t (type $number) (i32.const 0)))",
    "division": "(drop (i32.div_s (i32.const 1) (i32.load (i32.const 1000))))",
    "overflow": "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
    "conversion": "(drop (i32.trunc_f32_s (f32.const nan)))",
    "stack": "(call $deeper)",
    "exception": "(throw $thrown)",
}
# Where it goes wrong.
ENTRY = '(func (export "_start") (call $wrong))'
INITIALIZE = '(func (export "_initialize") (call $wrong)) (func (export "it"))'
START = '(start $wrong) (func (export "_start"))'
PLACES = {"entry": (ENTRY, "_start"), "_initialize": (INITIALIZE, "it"), "start function": (START, "_start")}
# A start function has a row of its own for these.
CASES = [(wrong, "entry") for wrong in WRONG] + [
    (wrong, place) for place in ("_initialize", "start function") for wrong in ("load", "table.get", "exception")
]
OUT_OF_BOUNDS = {"load", "memory.init", "memory.copy", "table.get", "table.init", "index of a call"}

End = tuple[Cause | None, str]


async def end_of(program: sandbox.Program) -> End:
    await program.send(encode_data(0, 0, b"*"))
    await rest_of(program)
    outcome = await program.wait()
    assert outcome.state is State.KILLED
    return outcome.cause, outcome.text


async def end_unstopped(box: sandbox.Sandbox, module: bytes, function: str, form: Form) -> End:
    image = await box.compile(module, form=form)
    assert image.unsuspendable == ()
    async with box.start(image, Setup(function=function), ROOM) as program:
        assert await said(program) == b"go"
        return await end_of(program)


async def end_stopped(box: sandbox.Sandbox, module: bytes, function: str) -> End:
    """It is stopped twice: once in its own code, once in that of its continuation."""
    image = await box.compile(module, form=Form.SUSPENDABLE)
    async with box.start(image, Setup(function=function), ROOM) as program:
        assert await said(program) == b"go"
        suspended = await program.suspend()
    async with box.resume(image, suspended, ROOM, program=module) as program:
        suspended = await program.suspend()
    async with box.resume(image, suspended, ROOM, program=module) as program:
        return await end_of(program)


@pytest.mark.parametrize(("wrong", "place"), CASES)
async def test_a_stop_changes_nothing_of_how_a_program_ends_later(box: sandbox.Sandbox, wrong: str, place: str) -> None:
    body, function = PLACES[place]
    module = (WAITS % (WRONG[wrong], body)).encode()
    unstopped = await end_unstopped(box, module, function, Form.PLAIN)
    assert await end_unstopped(box, module, function, Form.SUSPENDABLE) == unstopped
    assert await end_stopped(box, module, function) == unstopped
    of_segments = "a segment or the start function goes out of bounds" in unstopped[1]
    assert of_segments is (place == "start function" and wrong in OUT_OF_BOUNDS)
