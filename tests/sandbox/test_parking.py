"""Parked programs stand still and wait for their host, on both back-ends; they can be killed, stopped, left behind."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import trio
from deepprogram import DEEP
from processes import descendants, stat_fields
from programoutput import said
from waiting import PATIENCE, until

import sandbox
from sandbox import BrokenProgram, Cause, Form, Limits, State
from sandbox.packets import encode_data

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from sandbox.box import BackendName

ROOM = Limits(stack=8 << 20)


def stands_still(pid: int) -> bool:
    try:
        return stat_fields(pid)[0] == "T"
    except (OSError, IndexError):
        return False  # it has just ended


def standing_still() -> int:
    """Processes below this one that are stopped, as the kernel has it."""
    return sum(map(stands_still, descendants()))


async def until_standing_still(count: int) -> None:
    """A signal to a process that is on another processor takes until it gets there."""
    await until(lambda: standing_still() == count)


def waiting(box: sandbox.Sandbox, image: sandbox.Image) -> AbstractAsyncContextManager[sandbox.Program]:
    """One that says "go", reads a byte, and returns three more than that."""
    return box.start(image, sandbox.Setup(function="shallow"), ROOM)


async def test_a_parked_program_takes_no_step_and_finds_what_was_sent_when_it_goes_on(box: sandbox.Sandbox) -> None:
    image = await box.compile(DEEP)
    async with waiting(box, image) as program:
        assert await said(program) == b"go"
        for _ in range(3):
            await program.park()
            await until_standing_still(1)
            await program.unpark()
            await until_standing_still(0)
        await program.park()
        await program.park()
        await program.send(encode_data(0, 0, b"*"))
        await until_standing_still(1)
        await program.unpark()
        while await program.receive_some():
            pass
        assert (await program.wait()).result == 3 + ord("*")
        with pytest.raises(BrokenProgram):
            await program.park()
        await program.unpark()


async def test_a_parked_program_is_killed_at_once(box: sandbox.Sandbox) -> None:
    image = await box.compile(DEEP)
    async with waiting(box, image) as program:
        assert await said(program) == b"go"
        await program.park()
        await until_standing_still(1)
        with trio.fail_after(PATIENCE):
            program.kill()
            assert (await program.wait()).cause is Cause.KILLED
        assert standing_still() == 0


async def test_a_parked_program_is_stopped_and_goes_on_elsewhere(box: sandbox.Sandbox) -> None:
    image = await box.compile(DEEP, form=Form.SUSPENDABLE)
    async with waiting(box, image) as program:
        assert await said(program) == b"go"
        await program.park()
        suspended = await program.suspend()
        assert (await program.wait()).state is State.SUSPENDED
    async with box.resume(image, suspended, ROOM, program=DEEP) as program:
        await program.park()
        await program.unpark()
        await program.send(encode_data(0, 0, b"*"))
        while await program.receive_some():
            pass
        assert (await program.wait()).result == 3 + ord("*")


async def test_a_program_that_is_parked_before_it_runs_stands_still(box: sandbox.Sandbox) -> None:
    image = await box.compile(DEEP)
    async with waiting(box, image) as program:
        await program.park()
        await until_standing_still(1)
        await program.unpark()
        assert await said(program) == b"go"


async def test_the_end_of_a_sandbox_takes_its_parked_programs_along(backend: BackendName) -> None:
    async with AsyncExitStack() as programs:
        async with sandbox.open_sandbox(backend, sandbox.Settings(cache_directory="")) as box:
            image = await box.compile(DEEP)
            for _ in range(2):
                program = await programs.enter_async_context(waiting(box, image))
                await said(program)
                await program.park()
            await until_standing_still(2)
        await until_standing_still(0)
        assert (await program.wait()).state is State.KILLED
