"""gatebus.lookout: parked without traffic, looking after it, waking whoever reads, never in the way of a cancel."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from gatebus import lookout
from gatebus.lookout import SPIN_US, WATCHED, Lookout

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK = 10e-6


class FakeTime:
    """A clock that only the test moves, and a count of how often the processor was given away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1.0
        self.step = LOOK
        self.yields = 0
        monkeypatch.setattr(lookout, "perf_counter", lambda: self.now)
        monkeypatch.setattr(lookout.os, "sched_yield", self.given, raising=False)

    def given(self) -> None:
        self.yields += 1
        self.now += self.step


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return FakeTime(monkeypatch)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


class Reader:
    """One task that waits for a socket, and what it did."""

    def __init__(self, watch: Lookout, sock: socket.socket) -> None:
        self._watch, self._sock = watch, sock
        self.slept = 0
        self.got: list[bytes] = []

    async def read(self) -> None:
        await self._watch.readable(self._sock.fileno, self._sleep)
        self.got.append(self._sock.recv(64))

    async def _sleep(self) -> None:
        self.slept += 1
        await trio.lowlevel.wait_readable(self._sock)


async def test_after_traffic_it_looks_for_its_time_and_then_parks(time: FakeTime) -> None:
    watch = Lookout(50)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.testing.wait_all_tasks_blocked()
        assert time.yields == 0
        for _ in range(2):
            before = time.yields
            watch.pulse()
            await trio.testing.wait_all_tasks_blocked()
            assert 5 <= time.yields - before <= 5 + lookout.LOOKS
        nursery.cancel_scope.cancel()


async def test_more_traffic_meanwhile_prolongs_it(time: FakeTime) -> None:
    watch = Lookout(50)

    async def traffic() -> None:
        for _ in range(20):
            watch.pulse()
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(traffic)
        await trio.testing.wait_all_tasks_blocked()
        assert time.yields >= 20
        nursery.cancel_scope.cancel()


async def test_without_traffic_a_reader_sleeps(time: FakeTime, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    reader = Reader(Lookout(50), ours)
    theirs.send(b"x")
    await reader.read()
    assert (reader.slept, reader.got, time.yields) == (1, [b"x"], 0)


async def test_in_traffic_a_reader_is_woken_by_the_look_and_never_sleeps(
    time: FakeTime, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    watch = Lookout(50)
    reader = Reader(watch, ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.testing.wait_all_tasks_blocked()
        watch.pulse()
        theirs.send(b"x")
        await reader.read()
        nursery.cancel_scope.cancel()
    assert (reader.slept, reader.got) == (0, [b"x"])
    assert time.yields <= 2 * lookout.LOOKS


async def test_a_reader_for_whom_nothing_comes_goes_to_sleep_and_is_woken_there(
    time: FakeTime, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    watch = Lookout(50)
    reader = Reader(watch, ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.testing.wait_all_tasks_blocked()
        watch.pulse()
        nursery.start_soon(reader.read)
        await trio.testing.wait_all_tasks_blocked()
        assert reader.slept == 1
        theirs.send(b"x")
        await trio.testing.wait_all_tasks_blocked()
        assert reader.got == [b"x"]
        nursery.cancel_scope.cancel()
    assert time.yields > 0


async def test_a_quiet_reader_goes_to_sleep_although_others_have_traffic(
    time: FakeTime, pair: tuple[socket.socket, socket.socket]
) -> None:
    watch = Lookout(50)
    reader = Reader(watch, pair[0])

    async def traffic() -> None:
        for _ in range(1000):
            watch.pulse()
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.testing.wait_all_tasks_blocked()
        watch.pulse()
        nursery.start_soon(traffic)
        began = time.now
        nursery.start_soon(reader.read)
        while not reader.slept:
            await trio.lowlevel.checkpoint()
        assert time.now - began < 600e-6
        nursery.cancel_scope.cancel()


async def test_a_cancelled_reader_leaves_nothing_behind(
    time: FakeTime, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    watch = Lookout(50)
    time.step = 0.0  # its time is never over
    first, second = Reader(watch, ours), Reader(watch, ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.testing.wait_all_tasks_blocked()
        watch.pulse()
        with trio.CancelScope() as scope:
            scope.cancel()
            await first.read()
        assert scope.cancelled_caught
        theirs.send(b"x")
        await second.read()
        assert second.got == [b"x"]
        assert second.slept == 0
        nursery.cancel_scope.cancel()


async def test_a_closed_socket_is_not_waited_for_here(
    time: FakeTime, pair: tuple[socket.socket, socket.socket]
) -> None:
    watch = Lookout(50)
    pair[0].close()
    asked = []

    async def sleep() -> None:
        asked.append("sleep")
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.testing.wait_all_tasks_blocked()
        watch.pulse()
        with pytest.raises(trio.ClosedResourceError):
            await watch.readable(pair[0].fileno, sleep)
        nursery.cancel_scope.cancel()
    assert asked == []


async def test_a_socket_that_is_closed_meanwhile_wakes_its_reader(
    time: FakeTime, pair: tuple[socket.socket, socket.socket]
) -> None:
    watch = Lookout(50)
    reader = Reader(watch, pair[0])
    time.step = 0.0
    errors: list[OSError] = []

    async def read() -> None:
        try:
            await reader.read()
        except OSError as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.testing.wait_all_tasks_blocked()
        watch.pulse()
        nursery.start_soon(read)
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        pair[0].close()
        while not errors:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert reader.slept == 0


async def test_only_so_many_are_looked_after(time: FakeTime) -> None:
    watch = Lookout(50)
    time.step = 0.0
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(WATCHED + 1)]
        for ours, theirs in pairs:
            stack.enter_context(ours)
            stack.enter_context(theirs)
        readers = [Reader(watch, ours) for ours, _ in pairs]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            await trio.testing.wait_all_tasks_blocked()
            watch.pulse()
            for reader in readers:
                nursery.start_soon(reader.read)
            for _ in range(3):
                await trio.lowlevel.checkpoint()
            assert sum(reader.slept for reader in readers) == 1
            nursery.cancel_scope.cancel()


async def test_off_it_never_wakes_and_readers_sleep(time: FakeTime, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    watch = Lookout(0)
    reader = Reader(watch, ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.testing.wait_all_tasks_blocked()
        watch.pulse()
        await trio.testing.wait_all_tasks_blocked()
        theirs.send(b"x")
        await reader.read()
        nursery.cancel_scope.cancel()
    assert (time.yields, reader.slept) == (0, 1)


async def test_before_its_start_and_after_its_end_a_pulse_is_harmless_and_readers_sleep(
    time: FakeTime, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    watch = Lookout(50)
    for nth in (1, 2):
        reader = Reader(watch, ours)
        watch.pulse()
        theirs.send(b"x")
        await reader.read()
        assert reader.slept == 1, nth
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()


async def test_when_it_is_cancelled_its_readers_go_to_sleep(
    time: FakeTime, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    watch = Lookout(50)
    time.step = 0.0
    reader = Reader(watch, ours)
    async with trio.open_nursery() as readers:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            await trio.testing.wait_all_tasks_blocked()
            watch.pulse()
            readers.start_soon(reader.read)
            for _ in range(3):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert reader.slept == 1
        theirs.send(b"x")


def test_by_default_it_is_on_only_where_there_is_a_second_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout.os, "sched_yield", lambda: None, raising=False)
    monkeypatch.setattr(lookout.os, "cpu_count", lambda: 1)
    assert lookout.default_spin_us() == 0
    monkeypatch.setattr(lookout.os, "cpu_count", lambda: 2)
    assert lookout.default_spin_us() == SPIN_US


async def test_a_socket_that_is_closed_while_it_is_looked_after_is_told_as_one_that_is_closed(
    time: FakeTime, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, _theirs = pair
    watch = Lookout(50)
    reader = Reader(watch, ours)
    outcomes: list[str] = []

    async def read() -> None:
        try:
            await reader.read()
        except trio.ClosedResourceError:
            outcomes.append("closed")

    async def close() -> None:
        """Its turn is so long that nobody looks any more after it."""
        ours.close()
        time.now += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.testing.wait_all_tasks_blocked()
        watch.pulse()
        async with trio.open_nursery() as both:
            both.start_soon(read)
            await trio.lowlevel.checkpoint()
            both.start_soon(close)
        nursery.cancel_scope.cancel()
    assert (outcomes, reader.slept) == (["closed"], 0)
