"""A program that ends, or whose process does what nobody expects, while it is being stopped: whoever stops it is told
so, in an error of the sandbox. Nobody else hears of it, and nothing stays open.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, cast

import pytest
import trio
from openfiles import left_open, open_files
from test_stopping_programs import DIGEST, INNER, PATIENCE, STATE_MAX, SUSPENDED_REPORT, piece
from trio.testing import wait_all_tasks_blocked

from sandbox.backend import Beginning
from sandbox.errors import BrokenProgram
from sandbox.inlet import Inlet
from sandbox.keeper import LOST, Job
from sandbox.keeperwire import CONTROL_BYTES, Ended, control_offset
from sandbox.limits import Limits
from sandbox.memfd import memory_memfd, seal
from sandbox.nativeprocess import FRAMES_KEPT, NativeProcess
from sandbox.outcome import Cause, EndRecord, State
from sandbox.packets import encode_data
from sandbox.program import Program
from sandbox.stopping import Stoppable
from sandbox.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox.keeper import Keeper

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory files need Linux")

LIMITS = Limits(memory=1 << 20)


class Listening:
    """A keeper that does nothing but be told."""

    def __init__(self) -> None:
        self.killed = 0
        self.job = Job(1)

    def new_job(self) -> Job:
        return self.job

    def kill(self, _job: Job) -> None:
        self.killed += 1

    def terminate(self) -> None:
        raise AssertionError("nobody is stuck here")


class Stage:
    """One program whose process is this test: `process` is its end of the socket."""

    def __init__(self) -> None:
        ours, self.process = socket.socketpair()
        self.process.setblocking(False)
        self.keeper = Listening()
        self.memory = memory_memfd(control_offset(LIMITS.memory) + CONTROL_BYTES)
        keeper = cast("Keeper", self.keeper)
        self.started = NativeProcess(keeper, ours, self.memory, LIMITS, Beginning(suspendable=True))
        self.started.asked = True
        inlet = Inlet(memoryview(bytearray(256 << 10)), LIMITS, wants_tree=False)
        self.program = Program(self.started, inlet, Traffic(0), LIMITS, lambda: None)
        self.program.make_stoppable(Stoppable(DIGEST, STATE_MAX, PATIENCE))

    def fill(self) -> None:
        """The program reads nothing: not one packet more goes into its socket."""
        while self.program.send_nowait(encode_data(0, 0, bytes(984))):
            assert self.program._counter.between

    def ends(self, record: EndRecord = LOST) -> None:
        self.keeper.job.answer = Ended(1, record)
        self.keeper.job.end()

    def stops(self) -> None:
        """As a process that was asked to does."""
        self.process.send(piece(INNER) + SUSPENDED_REPORT)
        self.process.close()
        self.ends(EndRecord(4, None))


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    before = open_files()
    made = Stage()
    yield made
    made.process.close()
    del made.program, made.started
    assert left_open(before) == []


async def test_one_that_is_lost_while_its_socket_is_full_ends_the_stop_and_nobody_else(stage: Stage) -> None:
    stage.fill()
    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            with pytest.raises(BrokenProgram) as caught:
                await stage.program.suspend()
            assert caught.value.code == "program-ended"

        nursery.start_soon(stop)
        await wait_all_tasks_blocked()
        stage.ends()  # its keeper is gone; the process itself still holds its socket
        assert (await stage.program.wait()).cause is Cause.INTERNAL


async def test_a_request_that_cannot_be_written_is_still_told_by_a_packet(stage: Stage) -> None:
    seal(stage.memory)  # as a file system without room would refuse it
    stage.stops()
    assert (await stage.program.suspend()).sha256 == DIGEST


async def test_frames_that_cannot_be_given_back_are_no_reason_to_lose_the_state(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mapping needs one more descriptor for a moment."""

    def none_left(*_words: object, **_more: object) -> None:
        raise OSError(24, "Too many open files")

    os.pwrite(stage.memory, b"x" * 4096, stage.started.list_at + 2 * FRAMES_KEPT)
    monkeypatch.setattr("sandbox.memfd.mmap.mmap", none_left)
    stage.stops()
    assert (await stage.program.suspend()).memory_bytes == 65_536
    assert (await stage.program.wait()).state is State.SUSPENDED


async def test_what_a_kernel_refuses_when_it_is_sent_something_is_the_programs_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_self: object, _data: object) -> int:
        raise OSError(105, "No buffer space available")

    monkeypatch.setattr("sandbox.transport.SocketTransport.send", refused)
    with pytest.raises(BrokenProgram):
        await stage.program.send(encode_data(0, 0, b"x"))
    assert stage.keeper.killed == 1
    stage.ends()
    assert (await stage.program.wait()).state is State.KILLED
