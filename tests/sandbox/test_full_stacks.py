"""How much a stack may hold that is stopped: frames of 64 MiB, and as many references as fit, on both back-ends.

Beyond it the stop ends the program, and says so: part of the stack has been taken apart by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from programoutput import rest_of, said

from sandbox import BadState, BrokenProgram, Cause, Form, Limits, Setup, State
from sandbox.limits import FRAME_BYTES, stack_of_suspendable
from sandbox.memfd import MemfdSnapshot, allocated
from sandbox.packets import encode_data
from sandbox.statewords import look_untrusted, standing_untrusted

if TYPE_CHECKING:
    from collections.abc import Awaitable

    import sandbox
    from sandbox.box import BackendName

ROOM = Limits(stack=8 << 20)
# native/module/src/layout.rs.
REFERENCES_MAX = 1 << 22

TOO_LARGE = "The stop has ended the program: what is on its stack takes more than 64 MiB when it is stopped."
TOO_MANY = "The stop has ended the program: what is on its stack holds more than 4,194,304 references to functions."


def program(locals_: str, before: str, behind: str, depths: dict[str, int]) -> bytes:
    """Calls itself so many times, says "go" at the bottom, waits for a byte, and gives it with what `behind` adds."""
    entries = "".join(
        f'(func (export "{name}") (result i32) (call $down (i32.const {depth})))' for name, depth in depths.items()
    )
    return f"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (table $t 2 funcref) (elem declare func $four)
  (data (i32.const 16) "\\20\\00\\00\\00\\02\\00\\00\\00\\28\\00\\00\\00\\01\\00\\00\\00") (data (i32.const 32) "go")
  (type $f (func (result i32))) (func $four (type $f) (i32.const 4))
  (func $down (param $n i32) (result i32) (local $x i32) {locals_}
    {before}
    (if (local.get $n)
      (then (local.set $x (call $down (i32.sub (local.get $n) (i32.const 1)))))
      (else
        (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
        (drop (call $read (i32.const 0) (i32.const 24) (i32.const 1) (i32.const 8)))
        (local.set $x (i32.load8_u (i32.const 40)))))
    {behind}
    (local.get $x))
  {entries})""".encode()


def constants(count: int, **depths: int) -> bytes:
    """They take nothing of the native stack, and are saved."""
    return constants_of("i64", "i32.wrap_i64", count, depths)


def constants_of(ty: str, whole: str, count: int, depths: dict[str, int]) -> bytes:
    behind = "".join(f"(local.set $x (i32.add (local.get $x) ({whole} (local.get $c{at}))))" for at in range(count))
    return program("".join(f"(local $c{at} {ty})" for at in range(count)), "", behind, depths)


def references(count: int, **depths: int) -> bytes:
    """Each frame holds so many, copies of one, which take one place in the native stack, and calls it behind."""
    return program(
        "".join(f"(local $r{at} funcref)" for at in range(count)),
        "(local.set $r0 (ref.func $four))" + "".join(f"(local.set $r{at} (local.get $r0))" for at in range(1, count)),
        "".join(f"(table.set $t (i32.const 0) (local.get $r{at}))" for at in range(count))
        + "(local.set $x (i32.add (local.get $x) (call_indirect $t (type $f) (i32.const 0))))",
        depths,
    )


async def suspended_at(
    box: sandbox.Sandbox, wasm: bytes, function: str, limits: Limits = ROOM
) -> tuple[sandbox.Image, sandbox.Suspended]:
    image = await box.compile(wasm, form=Form.SUSPENDABLE)
    async with box.start(image, Setup(function=function), limits) as running:
        assert await said(running) == b"go"
        suspended = await running.suspend()
        assert (await running.wait()).state is State.SUSPENDED
    return image, suspended


async def goes_on(box: sandbox.Sandbox, wasm: bytes, function: str, limits: Limits = ROOM) -> int:
    """Its result for the byte 1."""
    image, suspended = await suspended_at(box, wasm, function, limits)
    async with box.resume(image, suspended, limits, program=wasm) as running:
        await running.send(encode_data(0, 0, b"\1"))
        await rest_of(running)
        outcome = await running.wait()
        assert outcome.state is State.HALTED, outcome
        return outcome.result


async def ended_by_its_stop(box: sandbox.Sandbox, wasm: bytes, function: str) -> str:
    image = await box.compile(wasm, form=Form.SUSPENDABLE)
    async with box.start(image, Setup(function=function), ROOM) as running:
        assert await said(running) == b"go"
        with pytest.raises(BrokenProgram) as caught:
            await running.suspend()
        outcome = await running.wait()
    assert outcome.cause is Cause.STACK_NOT_SAVED
    assert caught.value.text == f"The program ended before it had stopped. {outcome.text}"
    return outcome.text


async def test_frames_are_saved_up_to_the_last_byte_that_there_is_and_beyond_it_the_stop_says_so(
    box: sandbox.Sandbox,
) -> None:
    few = constants(600, one=1, two=2)
    sizes = [len(look_untrusted((await suspended_at(box, few, name))[1].state).frames) for name in ("one", "two")]
    each = sizes[1] - sizes[0]
    assert each > 4800, "constants are saved"
    most = 1 + (FRAME_BYTES - sizes[0]) // each
    full = constants(600, most=most, over=most + 1)
    assert await goes_on(box, full, "most") == 1
    assert await ended_by_its_stop(box, full, "over") == TOO_LARGE


async def test_narrow_constants_for_which_the_stack_is_too_small_are_refused_before_anything_goes_on(
    box: sandbox.Sandbox,
) -> None:
    """A quarter of it in frames: what goes on has a place of 16 bytes for each of 200 floats, and 32 besides."""
    room, each = stack_of_suspendable(ROOM.stack, goes_on=True), 200 * 16 + 32
    wasm = constants_of("f32", "i32.reinterpret_f32", 200, {"most": room // each * 99 // 100, "over": room // each + 1})
    assert await goes_on(box, wasm, "most") == 1
    image, suspended = await suspended_at(box, wasm, "over")
    told = await told_by(box.check_places(image, suspended.state, ROOM, wasm))
    assert told == (
        "To go on, what is on its stack takes 96.0 MiB or more; there are 96. "
        "`gatebus export` makes one module of the state, for a runtime with a larger stack."
    )
    assert await told_by(box.prepare(image, standing_untrusted(suspended.state), ROOM)) == told
    with pytest.raises(BadState) as caught:
        async with box.resume(image, suspended, ROOM, program=wasm):
            raise AssertionError("it went on")
    assert caught.value.text == told


async def told_by(work: Awaitable[None]) -> str:
    with pytest.raises(BadState) as caught:
        await work
    return caught.value.text


async def test_a_small_stack_is_told_of_too(box: sandbox.Sandbox) -> None:
    small = Limits()
    wasm = constants_of("f32", "i32.reinterpret_f32", 200, {"over": (4 << 20) // (200 * 16 + 32) + 1})
    image, suspended = await suspended_at(box, wasm, "over", small)
    told = await told_by(box.check_places(image, suspended.state, small, wasm))
    assert told.startswith("To go on, what is on its stack takes 4.0 MiB or more; there are 4.")


@pytest.mark.parametrize("backend", ["native"])
async def test_a_stopped_program_holds_no_second_copy_of_its_frames(box: sandbox.Sandbox) -> None:
    _image, suspended = await suspended_at(box, constants(600, half=7_000), "half")
    assert len(suspended.state) > 32 << 20
    assert isinstance(suspended.memory, MemfdSnapshot)
    assert allocated(suspended.memory.fd) < 2 << 20


async def test_references_in_frames_do_not_count_as_the_programs_table(box: sandbox.Sandbox) -> None:
    many = references(1, many=70_000)
    assert await goes_on(box, many, "many") == 70_001 * 4 + 1
    few = references(1, few=200)
    assert await goes_on(box, few, "few", Limits(stack=8 << 20, table=100)) == 201 * 4 + 1


async def test_a_table_of_the_programs_with_the_maximum_of_that_of_references_keeps_its_limit(
    box: sandbox.Sandbox,
) -> None:
    grows = (
        b'(func (export "grow") (result i32) (table.grow $own (ref.null func) (i32.const 70000)))'
        b"(table $own 1 4194304 funcref)"
    )
    wasm = references(1, few=3).replace(b'(func (export "few")', grows + b'(func (export "few")')
    image = await box.compile(wasm, form=Form.SUSPENDABLE)
    async with box.start(image, Setup(function="grow"), ROOM) as running:
        await rest_of(running)
        assert (await running.wait()).result == 2**32 - 1
    assert await goes_on(box, wasm, "few") == 4 * 4 + 1


async def test_more_references_than_there_is_room_for_end_the_stop(box: sandbox.Sandbox, backend: BackendName) -> None:
    most = REFERENCES_MAX // 64
    wasm = references(64, most=most - 1, over=most)
    assert await ended_by_its_stop(box, wasm, "over") == TOO_MANY
    if backend == "native":  # the portable one reads four millions of them for half a minute
        assert await goes_on(box, wasm, "most") == most * 4 + 1
