"""A program that is stopped again and again gets every byte of its standard input once, and its end, in whatever turn
of the event loop they come; and its output is written once.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio._core._run
import trio.abc

from gatebus.cli import stopping_run
from gatebus.cli.attending import Run
from gatebus.cli.options import RunOptions
from gatebus.cli.runplan import Plan
from gatebus.cli.stopping_run import attended, prepare_to_go_on
from gatebus.cli.terminal import CountingSink, Source
from sandbox import Form, Limits, Sandbox, Setup, State
from sandbox.packets import DATA, encode_data, encode_flow
from sandbox.testing import FakeGuest, open_fake_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

INPUT = b"a\nb\n"
NAME = b"repeats"


async def repeats(guest: FakeGuest) -> None:
    """Says that it is there; wants input, and keeps it; at its end says what it was. The first two bytes of its memory:
    how much it has, and how far it has come.
    """
    kept = guest.memory = guest.memory or bytearray(65_536)
    if kept[1] == 0:
        kept[1] = 1
        await guest.send(encode_data(0, 0, b"there\n") + encode_flow(0, [(0, 1000)]))
    while kept[1] == 1:
        packet = await guest.receive()
        if packet.domain == DATA:
            _take(kept, packet.content[8:])
    if kept[1] == 2:
        kept[1] = 3
        await guest.send(encode_data(0, 0, bytes(kept[2 : 2 + kept[0]])))


def _take(kept: bytearray, data: bytes) -> None:
    kept[2 + kept[0] : 2 + kept[0] + len(data)] = data
    kept[0] += len(data)
    kept[1] = 1 if data else 2


class Steps(trio.abc.Clock, trio.abc.Instrument):
    """Time in which every step of a task takes a millisecond, and nothing else any. `before`: what happens before
    which step.
    """

    def __init__(self, before: dict[int, Callable[[], None]]) -> None:
        self.count, self._before = 0, before

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._before.pop(self.count, _nothing)()
        self.count += 1

    def start_clock(self) -> None: ...

    def current_time(self) -> float:
        return self.count / 1000

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Nobody has anything to do: the next moment comes at once, unless only a thread is waited for."""
        if deadline == inf:
            return inf
        self.count += 1
        return 0


def _nothing() -> None: ...


class Person:
    """Who writes all the input at once, and ends it."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        self._output, self.screen = os.pipe()
        self.has_written = False

    def write(self) -> None:
        if not self.has_written:
            self.has_written = True
            os.write(self._writer, INPUT)
            os.close(self._writer)

    def sees(self) -> bytes:
        os.close(self.screen)
        with open(self._output, "rb") as file:
            return file.read()


@contextmanager
def a_person(monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    person = Person()
    monkeypatch.setattr(stopping_run, "Source", lambda _: Source(person.reader))
    monkeypatch.setattr(stopping_run, "CountingSink", lambda _: CountingSink(person.screen))
    yield person
    os.close(person.reader)


def options(file: str, **others: Any) -> RunOptions:
    return RunOptions(file, (), Limits(), "native", (), (), None, None, None, False, False, **others)


async def stopped_twice(person: Person, box: Sandbox, folder: Path, after: float) -> None:
    """Each time by a process that goes on with the file of the one before; whoever comes to an end before is let be."""
    first, second = str(folder / "first"), str(folder / "second")
    plans = [
        lambda: Plan(options("it", suspend_after=after, state=first), NAME, Setup(origin_credit=1000)),
        lambda: prepare_to_go_on(options(first, resume=True, suspend_after=after, state=second)),
        lambda: prepare_to_go_on(options(second, resume=True)),
    ]
    for plan in plans:
        if plan is plans[-1]:
            person.write()
        run = Run(image=await box.compile(NAME, form=Form.SUSPENDABLE))
        assert await attended(plan(), box, run) is None
        assert run.outcome is not None
        if run.outcome.state is not State.SUSPENDED:
            assert run.outcome.ok
            return


async def story(person: Person, folder: Path, after: float) -> None:
    async with open_fake_sandbox({NAME: repeats}) as box:
        await stopped_twice(person, box, folder, after)


# Tasks that are woken in the same turn run in either order: trio draws lots, these tests do not.
orders = pytest.mark.parametrize("order", [0.0, 1.0], ids=["in-turn", "the-last-first"])


@orders
def test_no_input_is_lost_in_whatever_turn_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: float
) -> None:
    monkeypatch.setattr(trio._core._run._r, "random", lambda: order)
    for moment in count():
        with a_person(monkeypatch) as person:
            clock = Steps({moment: person.write})
            trio.run(story, person, tmp_path, 0.04, clock=clock, instruments=[clock])
            assert person.sees() == b"there\n" + INPUT, moment
        if clock.count < moment:
            break
    assert moment > 80  # both stops, and what follows


@orders
def test_no_input_is_lost_in_whatever_turn_the_stop_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: float
) -> None:
    monkeypatch.setattr(trio._core._run._r, "random", lambda: order)
    for milliseconds in range(80):
        with a_person(monkeypatch) as person:
            person.write()
            clock = Steps({})
            trio.run(story, person, tmp_path, milliseconds / 1000, clock=clock, instruments=[clock])
            assert person.sees() == b"there\n" + INPUT, milliseconds
