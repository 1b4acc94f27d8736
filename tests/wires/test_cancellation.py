"""A cancellation at every step of a program's life:

nothing is left open, nothing runs on, and the next program works.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import trio

import sandbox
from sandbox import File, Settings, Setup, Tree
from sandbox.packets import encode

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the native client needs Linux")

FAKE = Path(__file__).parent.parent / "sandbox" / "fake_keeper.py"
LARGE = Setup(arguments=("a",) * 50, tree=Tree({f"file {number}": File(bytes(60_000)) for number in range(12)}))


class CancelAt(trio.abc.Instrument):
    """Cancels a scope right before the n-th step of the task that is inside it."""

    def __init__(self, scope: trio.CancelScope, step: int) -> None:
        self._scope, self._steps, self._task = scope, step, trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._steps -= 1
            if not self._steps:
                self._scope.cancel()


async def whole_life(box: sandbox.Sandbox, name: bytes) -> None:
    image = await box.compile(name)
    async with box.start(image, LARGE) as program:
        for _ in range(4):
            await program.send(encode(0, 0, bytes(60_000)))
        size = 0
        while size < 4 * 60_008:
            size += len(await program.receive_some())
        program.kill()
        await program.wait()


async def test_a_cancellation_at_every_step_leaves_nothing_behind(tmp_path: Path) -> None:
    executable = tmp_path / "keeper"
    executable.write_text(f"#!{sys.executable} -E\n{FAKE.read_text()}")
    executable.chmod(0o755)
    async with sandbox.open_sandbox("native", Settings(executable=str(executable), cache_directory="")) as box:
        await whole_life(box, b"echo")
        before, step, finished = len(os.listdir("/proc/self/fd")), 0, False
        while not finished:
            step += 1
            finished = await cancelled_at(box, step)
            assert box.statistics().running == 0
            assert len(os.listdir("/proc/self/fd")) <= before
        assert step > 8
        await whole_life(box, b"echo")


async def cancelled_at(box: sandbox.Sandbox, step: int) -> bool:
    """True when the life was over before the step came."""
    with trio.CancelScope() as scope:
        instrument = CancelAt(scope, step)
        trio.lowlevel.add_instrument(instrument)
        try:
            await whole_life(box, b"echo")
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return not scope.cancelled_caught


async def test_a_cancellation_at_every_step_of_a_compilation_leaves_nothing_behind(tmp_path: Path) -> None:
    executable = tmp_path / "keeper"
    executable.write_text(f"#!{sys.executable} -E\n{FAKE.read_text()}")
    executable.chmod(0o755)
    settings = Settings(executable=str(executable), cache_directory=str(tmp_path / "images"))
    async with sandbox.open_sandbox("native", settings) as box:
        await box.compile(b"exit-0")
        before, finished, step = len(os.listdir("/proc/self/fd")), False, 0
        while not finished:
            step += 1
            with trio.CancelScope() as scope:
                instrument = CancelAt(scope, step)
                trio.lowlevel.add_instrument(instrument)
                try:
                    await box.compile(f"arguments {step}".encode())
                finally:
                    trio.lowlevel.remove_instrument(instrument)
            finished = not scope.cancelled_caught
            kept = (
                len(box._admission._store._memory) - 1
            )  # an image is kept when only its way to the disk was cancelled
            assert len(os.listdir("/proc/self/fd")) <= before + kept
            assert not box._admission._queues
        assert step > 4
        await box.compile(b"exit-1")
