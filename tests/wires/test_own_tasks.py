"""Tasks of a host that are about one thing each: what goes wrong in one is told, and ends nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gatebus.host.owntasks import AGAIN_SECONDS, OwnTasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock


class SlipError(Exception):
    pass


async def slips(*_words: object) -> None:
    await trio.lowlevel.checkpoint()
    raise SlipError


async def in_two() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slips)


@pytest.mark.parametrize("work", [slips, in_two])
async def test_a_bug_in_one_is_told_and_the_others_go_on(work: object) -> None:
    bugs: list[Exception] = []
    went_on = trio.Event()

    async def other(number: int) -> None:
        await wait_all_tasks_blocked()
        assert number == 7
        went_on.set()

    async with trio.open_nursery() as nursery:
        tasks = OwnTasks(nursery, bugs.append)
        tasks.start_soon(other, 7)
        tasks.start_soon(work)  # type: ignore[arg-type]
        await went_on.wait()
    assert len(bugs) == 1


async def test_what_goes_round_goes_on_after_a_pause_until_it_has_nothing_to_do(autojump_clock: MockClock) -> None:
    bugs: list[Exception] = []
    rounds: Iterator[bool] = iter([True, True, False])
    times = []

    async def goes_round() -> None:
        times.append(trio.current_time())
        if next(rounds):
            raise SlipError

    async with trio.open_nursery() as nursery:
        OwnTasks(nursery, bugs.append).keep_up(goes_round)
    assert [round(each - times[0], 3) for each in times] == [0, AGAIN_SECONDS, 2 * AGAIN_SECONDS]
    assert len(bugs) == 2


async def test_the_end_of_the_host_is_no_bug() -> None:
    bugs: list[Exception] = []
    async with trio.open_nursery() as nursery:
        tasks = OwnTasks(nursery, bugs.append)
        tasks.start_soon(trio.sleep_forever)
        tasks.keep_up(trio.sleep_forever)
        await wait_all_tasks_blocked()
        tasks.cancel()
    assert bugs == []
