"""The turn more that a stop of a shared memory takes, when something else happens in the middle of it.

A task of the keeper's nursery asks which pages have changed: an error in it would end the host's sandbox, and all
programs with it.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, cast

import pytest
from openfiles import left_open, open_files

from sandbox.backend import Beginning
from sandbox.control import take_packet
from sandbox.keeper import Job
from sandbox.keeperwire import CONTROL_BYTES, control_offset
from sandbox.limits import Limits
from sandbox.memfd import memory_memfd, seal
from sandbox.nativeprocess import NativeProcess
from sandbox.pageranges import from_pages_untrusted, to_pages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sandbox.keeper import Keeper

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory files need Linux")

LIMITS = Limits(memory=1 << 20)
CHANGED = ((4096, 8192), (65536, 4096))
ADDRESS = 1 << 30


class Listing:
    """A keeper. `answer` is what it does when its turn comes: it lists pages in the memory file."""

    def __init__(self) -> None:
        self.soon_to_run: list[Callable[[], Awaitable[None]]] = []
        self.killed = 0
        self.answer: Callable[[int], int | None] = lambda _memory: None

    def new_job(self) -> Job:
        return Job(1)

    def soon(self, task: Callable[[], Awaitable[None]]) -> None:
        self.soon_to_run.append(task)

    def kill(self, _job: Job) -> None:
        self.killed += 1

    async def scan(self, _job: Job, _datagram: bytes, memory: int) -> int | None:
        return self.answer(memory)


class Held:
    """A program on a shared memory whose process has told its state, and waits."""

    def __init__(self, *, shares_base: bool = True) -> None:
        self.before = open_files()
        ours, self.program = socket.socketpair()
        self.program.setblocking(False)
        memory = memory_memfd(control_offset(LIMITS.memory) + CONTROL_BYTES)
        self.keeper = Listing()
        self.process = NativeProcess(cast("Keeper", self.keeper), ours, memory, LIMITS, Beginning(suspendable=True))
        self.process.shares_base = shares_base
        self.process.held(ADDRESS)

    async def its_turn(self) -> None:
        for task in self.keeper.soon_to_run:
            await task()

    def list_changed(self, memory: int) -> int:
        return os.pwrite(memory, to_pages(CHANGED), self.process.list_at) // 8

    def left_open(self) -> list[str]:
        self.process.close()
        self.program.close()
        return left_open(self.before)


async def test_the_process_is_told_how_many_entries_the_list_has() -> None:
    held = Held()
    held.keeper.answer = held.list_changed
    await held.its_turn()
    assert held.program.recv(64) == take_packet(2)
    assert (held.process.changed, held.keeper.killed) == (CHANGED, 0)
    assert held.left_open() == []


async def test_where_the_kernel_does_not_tell_everything_has_changed() -> None:
    held = Held()
    listed = os.dup(held.process._memory)
    await held.its_turn()
    assert held.program.recv(64) == take_packet(1)
    assert held.process.changed is None
    assert from_pages_untrusted(os.pread(listed, 8, held.process.list_at), LIMITS.memory) == ((0, LIMITS.memory),)
    os.close(listed)
    assert held.left_open() == []


async def test_killed_and_gone_before_the_question_is_asked_it_harms_nobody() -> None:
    held = Held()
    held.keeper.answer = held.list_changed
    held.process.close()
    await held.its_turn()
    assert held.left_open() == []


async def test_killed_while_the_keeper_looks_it_harms_nobody() -> None:
    held = Held()

    def killed(memory: int) -> int:
        held.process.close()
        return held.list_changed(memory)

    held.keeper.answer = killed
    await held.its_turn()
    assert held.left_open() == []


async def test_a_list_that_cannot_be_written_ends_the_program_and_nobody_else() -> None:
    held = Held()
    seal(held.process._memory)  # as a file system without room would refuse it
    await held.its_turn()
    assert (held.keeper.killed, held.process.changed) == (1, None)
    with pytest.raises(BlockingIOError):
        held.program.recv(64)
    assert held.left_open() == []


async def test_without_a_descriptor_left_the_program_ends_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_fd: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("sandbox.nativeprocess.os.dup", none_left)
    held = Held()
    assert (held.keeper.killed, held.keeper.soon_to_run) == (1, [])
    monkeypatch.undo()
    assert held.left_open() == []


async def test_one_that_shares_no_memory_has_nothing_to_wait_for() -> None:
    held = Held(shares_base=False)
    assert (held.keeper.killed, held.keeper.soon_to_run) == (1, [])
    assert held.left_open() == []
