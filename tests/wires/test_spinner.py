"""gatebus.spinner: parked without traffic, polling after it, and never in the way of being cancelled."""

import pytest
import trio
import trio.testing

from gatebus import spinner
from gatebus.spinner import Spinner


class FakeTime:
    """A clock that only the test moves, and a count of how often the processor was given away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.yields = 0
        monkeypatch.setattr(spinner, "perf_counter", lambda: self.now)
        monkeypatch.setattr(spinner.os, "sched_yield", self.given, raising=False)

    def given(self) -> None:
        self.yields += 1
        self.now += 10e-6


async def test_after_traffic_it_looks_again_for_its_time_and_then_parks(monkeypatch: pytest.MonkeyPatch) -> None:
    time, spinning = FakeTime(monkeypatch), Spinner(50)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spinning.run)
        await trio.testing.wait_all_tasks_blocked()
        assert time.yields == 0
        for _ in range(2):
            before = time.yields
            spinning.pulse()
            await trio.testing.wait_all_tasks_blocked()
            assert time.yields - before in (5, 6)
        nursery.cancel_scope.cancel()


async def test_more_traffic_meanwhile_prolongs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    time, spinning = FakeTime(monkeypatch), Spinner(50)

    async def traffic() -> None:
        for _ in range(20):
            spinning.pulse()
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(spinning.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(traffic)
        await trio.testing.wait_all_tasks_blocked()
        assert time.yields >= 20
        nursery.cancel_scope.cancel()


async def test_off_it_never_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    time, spinning = FakeTime(monkeypatch), Spinner(0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spinning.run)
        await trio.testing.wait_all_tasks_blocked()
        spinning.pulse()
        await trio.testing.wait_all_tasks_blocked()
        assert time.yields == 0
        nursery.cancel_scope.cancel()


async def test_a_pulse_after_its_end_or_before_its_start_is_harmless() -> None:
    spinning = Spinner(50)
    spinning.pulse()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spinning.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    spinning.pulse()


def test_by_default_it_is_on_only_where_there_is_a_second_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spinner.os, "sched_yield", lambda: None, raising=False)
    monkeypatch.setattr(spinner.os, "cpu_count", lambda: 1)
    assert spinner.default_spin_us() == 0
    monkeypatch.setattr(spinner.os, "cpu_count", lambda: 2)
    assert spinner.default_spin_us() == 50
