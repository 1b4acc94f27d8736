"""Real programs are stopped in the jail and go on in fresh processes: computing, waiting, deep in recursion; often."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trio
from deepprogram import DEEP
from programoutput import rest_of, said

import sandbox
from sandbox import Cause, Form, Limits, State, Suspended
from sandbox.packets import encode_data
from sandbox.statewords import look_untrusted, program_of_untrusted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("native")

# Says "go", computes until the host's hand is in memory (never, here) or the count is used up, and gives the sum.
COUNTS = b"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (global $sum (mut i64) (i64.const 0))
  (data (i32.const 16) "\\20\\00\\00\\00\\02\\00\\00\\00") (data (i32.const 32) "go")
  (func $say (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8))))
  (func $step (param i64) (result i64) (i64.add (i64.mul (local.get 0) (i64.const 6364136223846793005)) (i64.const 1)))
  (func (export "count") (result i32) (local $n i32)
    (call $say)
    (loop $l
      (global.set $sum (call $step (global.get $sum)))
      (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 60000000))))
    (i32.wrap_i64 (i64.shr_u (global.get $sum) (i64.const 32)))))"""

ROOM = Limits(stack=8 << 20)


@pytest.fixture
async def box(image_directory: Path) -> AsyncIterator[sandbox.Sandbox]:
    async with sandbox.open_sandbox("native", sandbox.Settings(cache_directory=str(image_directory))) as made:
        yield made


async def stopped(
    box: sandbox.Sandbox, wasm: bytes, function: str, limits: Limits = ROOM
) -> tuple[sandbox.Image, Suspended]:
    image = await box.compile(wasm, form=Form.SUSPENDABLE)
    async with box.start(image, sandbox.Setup(function=function), limits) as program:
        assert await said(program) == b"go"
        suspended = await program.suspend()
        assert (await program.wait()).state is State.SUSPENDED
    return image, suspended


async def test_a_busy_loop_is_stopped_again_and_again_and_gives_what_it_gives_without(box: sandbox.Sandbox) -> None:
    image = await box.compile(COUNTS, form=Form.SUSPENDABLE)
    async with box.start(image, sandbox.Setup(function="count")) as program:
        expected = (await rest_of(program), (await program.wait()).result)[1]
    image, suspended = await stopped(box, COUNTS, "count")
    for _ in range(5):
        async with box.resume(image, suspended, program=COUNTS) as program:
            suspended = await program.suspend()
            assert program.usage().bytes_out == 0, "it has written nothing: its state is not its own word"
    async with box.resume(image, suspended, program=COUNTS) as program:
        assert await rest_of(program) == b""
        outcome = await program.wait()
        assert (outcome.result, outcome.usage.bytes_out) == (expected, 0)


async def test_a_program_that_waits_is_stopped_and_its_call_is_made_again(box: sandbox.Sandbox) -> None:
    image, suspended = await stopped(box, DEEP, "shallow")
    async with box.resume(image, suspended, program=DEEP) as program:
        await program.send(encode_data(0, 0, b"*"))
        assert await rest_of(program) == b""
        assert (await program.wait()).result == 3 + ord("*")


async def test_ten_thousand_frames_go_on(box: sandbox.Sandbox) -> None:
    image, suspended = await stopped(box, DEEP, "deep")
    assert len(look_untrusted(suspended.state).frames) > 10_000 * 8
    async with box.resume(image, suspended, ROOM, program=DEEP) as program:
        again = await program.suspend()
    assert len(look_untrusted(again.state).frames) > 10_000 * 8
    async with box.resume(image, again, ROOM, program=DEEP) as program:
        await program.send(encode_data(0, 0, b"*"))
        await rest_of(program)
        assert (await program.wait()).result == 10_000 + ord("*")


async def test_one_state_goes_on_many_times_each_with_memory_of_its_own(box: sandbox.Sandbox) -> None:
    image, suspended = await stopped(box, DEEP, "shallow")
    for byte in b"abc":
        async with box.resume(image, suspended, program=DEEP) as program:
            await program.send(encode_data(0, 0, bytes([byte])))
            await rest_of(program)
            assert (await program.wait()).result == 3 + byte


async def test_input_that_was_sent_before_the_stop_is_read_after_it(box: sandbox.Sandbox) -> None:
    image = await box.compile(COUNTS, form=Form.SUSPENDABLE)
    assert image.suspendable
    image, suspended = await stopped(box, DEEP, "shallow")
    async with box.resume(image, suspended, program=DEEP) as program:
        await program.send(encode_data(0, 0, b"!"))
        with trio.move_on_after(60):
            try:
                suspended = await program.suspend()
            except sandbox.BrokenProgram:  # it has read the byte and ended: nothing was lost either
                assert (await program.wait()).result == 3 + ord("!")
                return
    async with box.resume(image, suspended, program=DEEP) as program:
        await rest_of(program)
        assert (await program.wait()).result == 3 + ord("!")


async def test_a_plain_program_says_that_it_cannot_be_stopped_and_runs_on(box: sandbox.Sandbox) -> None:
    image = await box.compile(DEEP)
    async with box.start(image, sandbox.Setup(function="shallow")) as program:
        with pytest.raises(sandbox.NotSuspendable) as caught:
            await program.suspend()
        assert caught.value.text == "The program was not compiled in the form that can be stopped."
        await said(program)
        await program.send(encode_data(0, 0, b"*"))
        await rest_of(program)
        assert (await program.wait()).result == 3 + ord("*")


async def test_a_program_that_has_ended_or_was_killed_says_so(box: sandbox.Sandbox) -> None:
    image = await box.compile(DEEP, form=Form.SUSPENDABLE)
    async with box.start(image, sandbox.Setup(function="shallow")) as program:
        program.kill()
        with pytest.raises(sandbox.BrokenProgram) as caught:
            await program.suspend()
        assert caught.value.text == "The program was killed before it had stopped."
    async with box.start(image, sandbox.Setup(function="shallow")) as program:
        await said(program)
        await program.send(encode_data(0, 0, b"*"))
        await program.wait()
        with pytest.raises(sandbox.BrokenProgram):
            await program.suspend()


async def test_a_second_suspend_gives_the_same_and_nothing_is_sent_after_the_first(box: sandbox.Sandbox) -> None:
    image = await box.compile(DEEP, form=Form.SUSPENDABLE)
    async with box.start(image, sandbox.Setup(function="shallow")) as program:
        await said(program)
        found: list[Suspended] = []

        async def suspend() -> None:
            found.append(await program.suspend())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(suspend)
            nursery.start_soon(suspend)
        assert found[0] is found[1] is await program.suspend()
        with pytest.raises(sandbox.BrokenProgram):
            await program.send(encode_data(0, 0, b"*"))


async def test_a_cancelled_suspend_can_be_asked_again(box: sandbox.Sandbox) -> None:
    image = await box.compile(DEEP, form=Form.SUSPENDABLE)
    async with box.start(image, sandbox.Setup(function="shallow")) as program:
        await said(program)
        with trio.CancelScope() as scope:
            scope.cancel()
            await program.suspend()
        assert scope.cancelled_caught
        assert (await program.suspend()).sha256 == image.sha256


async def test_a_state_of_another_program_or_over_the_limits_is_refused_before_a_process_is_made(
    box: sandbox.Sandbox,
) -> None:
    image, suspended = await stopped(box, DEEP, "shallow")
    assert program_of_untrusted(suspended.state) == image.sha256
    started = box.statistics().started
    other = await box.compile(COUNTS, form=Form.SUSPENDABLE)
    plain = await box.compile(DEEP)
    for given, limits, code in (
        (other, ROOM, "state-other-program"),
        (plain, ROOM, "state-form"),
    ):
        with pytest.raises(sandbox.BadState) as caught:
            async with box.resume(given, suspended, limits, program=DEEP):
                pass
        assert caught.value.code == code
    pages = look_untrusted(suspended.state).frames.start - 8
    large = suspended.state[:pages] + (2000).to_bytes(4, "little") + suspended.state[pages + 4 :]
    with pytest.raises(sandbox.BadState) as caught:
        async with box.resume(image, replace(suspended, state=large), program=DEEP):
            pass
    assert caught.value.text == "The program has 131072000 bytes of memory; the limit `memory` is 67108864."
    with pytest.raises(sandbox.BadState) as caught:
        async with box.resume(image, replace(suspended, state=suspended.state[:60]), program=DEEP):
            pass
    assert caught.value.code == "state-broken"
    assert box.statistics().started == started


async def test_a_forged_state_ends_with_its_cause_or_is_a_run_inside_the_sandbox(box: sandbox.Sandbox) -> None:
    image, suspended = await stopped(box, DEEP, "shallow")
    ends = set()
    for at in range(36, len(suspended.state), 7):
        state = bytearray(suspended.state)
        state[at] ^= 0x55
        forged = replace(suspended, state=bytes(state))
        try:
            async with box.resume(image, forged, Limits(cpu_time=1, wall_time=1), program=DEEP) as program:
                await program.send(encode_data(0, 0, b"*"))
                await rest_of(program)
                ends.add((await program.wait()).cause)
        except (sandbox.BadState, sandbox.BrokenProgram):
            ends.add(Cause.BAD_STATE)
    assert Cause.BAD_STATE in ends
    assert not ends & {Cause.INTERNAL, Cause.FORBIDDEN_CALL}
    assert await box.compile(DEEP, form=Form.SUSPENDABLE) is image


async def test_what_was_continued_once_needs_the_program_no_more() -> None:
    fresh = sandbox.Settings(cache_directory="")
    async with sandbox.open_sandbox("native", fresh) as box:
        image, suspended = await stopped(box, DEEP, "shallow")
        with pytest.raises(sandbox.BadState) as caught:
            async with box.resume(image, suspended):
                pass
        assert caught.value.text == "To go on from this state the program itself is needed."
        for program_bytes in (DEEP, None):
            async with box.resume(image, suspended, program=program_bytes) as program:
                await program.send(encode_data(0, 0, b"*"))
                await rest_of(program)
                assert (await program.wait()).result == 3 + ord("*")


async def test_the_frames_of_a_state_have_names(box: sandbox.Sandbox) -> None:
    _image, suspended = await stopped(box, DEEP, "shallow")
    frames = await box.frames(suspended, DEEP)
    assert [frame["function"] for frame in frames][-4:] == [2, 2, 2, 3]
    assert {frame["name"] for frame in frames if frame["function"] == 2} == {"down"}
    assert frames[-1]["place"] == "calls 2 (down)"
