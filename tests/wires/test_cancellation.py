"""A cancellation anywhere in a program's life or a compilation:

nothing is left open, nothing runs on, and the next program works.

Two ways to meet every place. By stage: the cancellation comes as the stage begins, which does not depend on time, so it
can be said that it was caught. By step: before the n-th turn of the task, for each n until a life is over sooner; how
many turns there are and in which stage the n-th lies depends on who is faster, so only what is left behind is said.
"""

from __future__ import annotations

import sys
from itertools import count
from typing import TYPE_CHECKING

import pytest
import trio
from fakekeeper import keeper_in
from openfiles import left_open, open_files
from stepwise import cancelled_at

import sandbox
from sandbox import File, Settings, Setup, Tree
from sandbox.packets import encode

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the native client needs Linux")

LARGE = Setup(arguments=("a",) * 50, tree=Tree({f"file {number}": File(bytes(60_000)) for number in range(12)}))
STAGES = ("compile", "start", "send", "receive", "wait")

Enter = "Callable[[str], None]"


def nothing_happens(_stage: str) -> None:
    return


async def whole_life(box: sandbox.Sandbox, name: bytes, enter: Enter = nothing_happens) -> None:
    enter("compile")
    image = await box.compile(name)
    enter("start")
    async with box.start(image, LARGE) as program:
        enter("send")
        for _ in range(4):
            await program.send(encode(0, 0, bytes(60_000)))
        enter("receive")
        size = 0
        while size < 4 * 60_008:
            size += len(await program.receive_some())
        enter("wait")
        program.kill()
        await program.wait()


@pytest.fixture
def keeper(tmp_path: Path) -> str:
    return keeper_in(tmp_path)


def nothing_is_left_of_a_life(box: sandbox.Sandbox, before: Counter[str]) -> None:
    assert box.statistics().running == 0
    assert left_open(before) == []


async def test_a_cancellation_at_every_step_leaves_nothing_behind(keeper: str) -> None:
    async with sandbox.open_sandbox("native", Settings(executable=keeper, cache_directory="")) as box:
        await whole_life(box, b"echo")
        before = open_files()
        for step in count(1):
            caught = await cancelled_at(step, lambda: whole_life(box, b"echo"))
            nothing_is_left_of_a_life(box, before)
            if not caught:
                break
        await whole_life(box, b"echo")


@pytest.mark.parametrize("stage", STAGES)
async def test_a_cancellation_as_each_stage_begins_leaves_nothing_behind(keeper: str, stage: str) -> None:
    async with sandbox.open_sandbox("native", Settings(executable=keeper, cache_directory="")) as box:
        await whole_life(box, b"echo")
        before = open_files()
        with trio.CancelScope() as scope:
            await whole_life(box, b"echo", lambda entered: scope.cancel() if entered == stage else None)
        assert scope.cancelled_caught
        nothing_is_left_of_a_life(box, before)
        await whole_life(box, b"echo")


async def test_a_cancellation_at_every_step_of_a_compilation_leaves_nothing_behind(keeper: str, tmp_path: Path) -> None:
    settings = Settings(executable=keeper, cache_directory=str(tmp_path / "images"))
    async with sandbox.open_sandbox("native", settings) as box:
        await box.compile(b"exit-0")
        before, kept = open_files(), images_in_memory(box)
        for step in count(1):
            wasm = f"arguments {step}".encode()
            caught = await cancelled_at(step, lambda wasm=wasm: box.compile(wasm))
            left = left_open(before)
            # An image is kept when only its way to the disk was cancelled.
            assert left == ["/memfd:image (deleted)"] * (images_in_memory(box) - kept)
            assert not box._admission._queues
            if not caught:
                break
        await box.compile(b"exit-1")


def images_in_memory(box: sandbox.Sandbox) -> int:
    return len(box._admission._store._memory)


async def test_a_compilation_that_is_cancelled_while_its_worker_runs_leaves_nothing_behind(keeper: str) -> None:
    async with sandbox.open_sandbox("native", Settings(executable=keeper, cache_directory="")) as box:
        before = open_files()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(box.compile, b"compile-hang")
                while not box._backend._keeper._jobs:
                    await trio.lowlevel.checkpoint()
                scope.cancel()
        assert scope.cancelled_caught
        assert left_open(before) == []
        await box.compile(b"exit-1")
