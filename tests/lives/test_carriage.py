"""Places for files on their way: no few accounts can keep all the others from `import` and `export`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
import trio
from busworld import BOB
from test_policies import ONE, launch, world_of_idlers
from trio.testing import wait_all_tasks_blocked

from gatebus.accountbounds import (
    CARRIED_AT_ONCE,
    CARRIED_GRACE,
    CARRIED_LOOK,
    CARRIED_RATE,
    CARRIED_SECONDS,
    CARRIED_WAIT,
)
from gatebus.host.lives.carriage import Carriage, Carried
from gatebus.host.refusals import Refusal
from gatebus.protocol.messages import Error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

GAVE_WAY = (
    "Somebody else waits for the place: a file that moves slower than 64 KiB a second, or is not the only one of its "
    "account, makes room. Ask again later."
)
FULL = "Other snapshots are being brought in or taken out. Try again later."
LIVELY = CARRIED_RATE


class Files:
    """On their way until they are told to end, each in a task of its own."""

    def __init__(self, nursery: trio.Nursery, carriage: Carriage | None = None) -> None:
        self.carriage = carriage or Carriage()
        self.there: list[str] = []  # accounts, in the order in which they got a place
        self.refused: list[tuple[str, str]] = []
        self._ends: dict[str, list[trio.Event]] = {}
        self._nursery = nursery

    async def come(self, *accounts: str, rate: int = 0) -> None:
        """`rate`: bytes a second."""
        for account in accounts:
            self._nursery.start_soon(self._carry, account, rate)
            await wait_all_tasks_blocked()

    async def _carry(self, account: str, rate: int) -> None:
        end = trio.Event()
        try:
            async with self.carriage.place(account) as carried:
                self.there.append(account)
                self._ends.setdefault(account, []).append(end)
                carried.begins()
                await self._move(carried, rate, end)
        except Refusal as refused:
            self.refused.append((account, refused.text))

    async def _move(self, carried: Carried, rate: int, end: trio.Event) -> None:
        while not end.is_set():
            with trio.move_on_after(1):
                await end.wait()
            carried.moved(rate)

    async def ends(self, account: str) -> None:
        self._ends[account].pop(0).set()
        await wait_all_tasks_blocked()


@asynccontextmanager
async def files() -> AsyncIterator[Files]:
    async with trio.open_nursery() as nursery:
        yield Files(nursery)
        nursery.cancel_scope.cancel()


async def later(clock: MockClock, seconds: float) -> None:
    for _ in range(int(seconds)):
        clock.jump(1)
        await wait_all_tasks_blocked()


FOUR = ("a", "a", "b", "b", "c", "c", "d", "d")
EIGHT = tuple("abcdefgh")


async def test_where_there_is_room_nobody_waits() -> None:
    async with files() as all_files:
        await all_files.come(*FOUR)
        assert all_files.there == [*FOUR]


async def test_a_third_file_of_an_account_is_refused_at_once_also_while_two_wait() -> None:
    text = "2 files of yours are on their way already. Wait for the end of one."
    async with files() as all_files:
        await all_files.come("a", "a", "a")
        assert all_files.refused == [("a", text)]
        await all_files.come(*FOUR[2:], "z", "z", "z")
        assert all_files.refused == [("a", text), ("z", text)]


@pytest.mark.parametrize("rate", [0, 1, 10 * CARRIED_RATE])
async def test_who_has_no_place_gets_one_of_an_account_that_has_two(rate: int, mock_clock: MockClock) -> None:
    """However fast these are."""
    async with files() as all_files:
        await all_files.come(*FOUR, rate=rate)
        await later(mock_clock, CARRIED_GRACE / 2)
        await all_files.come("z")
        assert all_files.there == [*FOUR]
        await later(mock_clock, CARRIED_GRACE)
        assert all_files.there == [*FOUR, "z"]
        assert [text for _, text in all_files.refused] == [GAVE_WAY]


async def test_each_of_many_who_have_none_gets_one_and_no_more_give_way_than_needed(mock_clock: MockClock) -> None:
    async with files() as all_files:
        await all_files.come(*FOUR)
        await all_files.come("x", "y", "z")
        await later(mock_clock, CARRIED_GRACE + 1)
        assert sorted(all_files.there[CARRIED_AT_ONCE:]) == ["x", "y", "z"]
        assert len(all_files.refused) == 3
        assert len({account for account, _ in all_files.refused}) == 3, "the one with the most, each time"


async def test_of_accounts_with_one_file_each_the_slowest_gives_way(mock_clock: MockClock) -> None:
    async with files() as all_files:
        await all_files.come(*EIGHT[:-2], rate=2 * LIVELY)
        await all_files.come("slow", rate=LIVELY // 2)
        await all_files.come("slowest", rate=LIVELY // 4)
        await later(mock_clock, CARRIED_GRACE + 1)
        await all_files.come("z")
        await later(mock_clock, 1)
        assert all_files.refused == [("slowest", GAVE_WAY)]
        assert all_files.there[-1] == "z"


async def test_who_is_fast_enough_stays_and_who_comes_hears_that_all_is_taken(mock_clock: MockClock) -> None:
    async with files() as all_files:
        await all_files.come(*EIGHT, rate=2 * LIVELY)
        await all_files.come("z")
        await later(mock_clock, CARRIED_WAIT + 1)
        assert all_files.refused == [("z", FULL)]


async def test_who_has_a_place_takes_nobody_s_with_another_file(mock_clock: MockClock) -> None:
    async with files() as all_files:
        await all_files.come(*EIGHT)
        await all_files.come("a")
        await later(mock_clock, CARRIED_WAIT + 1)
        assert all_files.refused == [("a", FULL)]


async def test_whose_bytes_are_all_there_does_not_give_way(mock_clock: MockClock) -> None:
    async with files() as all_files:
        await all_files.come(*FOUR)
        for each in all_files.carriage._under_way:
            each.whole()
        await all_files.come("z")
        await later(mock_clock, CARRIED_WAIT + 1)
        assert all_files.refused == [("z", FULL)]


async def test_a_place_that_is_given_back_goes_to_who_has_none_and_not_to_who_asks_again() -> None:
    """So nobody stays by beginning anew before he would have to give way."""
    async with files() as all_files:
        await all_files.come(*FOUR[:-1], "z")
        await all_files.come("d", "y")
        await all_files.ends("a")
        assert all_files.there[CARRIED_AT_ONCE:] == ["y"]
        await all_files.ends("a")
        assert all_files.there[CARRIED_AT_ONCE:] == ["y", "d"]


async def test_who_no_longer_wants_to_wait_leaves_nothing_behind() -> None:
    async with files() as all_files:
        await all_files.come(*FOUR)
        with trio.move_on_after(0):
            async with all_files.carriage.place("z"):
                raise AssertionError("there is no place")
        assert all_files.carriage._waiting == []
        await all_files.ends("a")
        await all_files.come("z")
        assert all_files.there[-1] == "z"


# At a host.

A_FILE = {"size": 10, "sha256": sha256(b"").digest()}


async def test_a_file_that_stands_still_lets_go(mock_clock: MockClock) -> None:
    async with world_of_idlers() as (_, bus):
        stuck = await bus.open("import", A_FILE).until(lambda each: each.accepted)
        for _ in range(int(CARRIED_SECONDS / 10) + 1):
            mock_clock.jump(10)
            await bus.ask("features")
        error = await stuck.error()
        assert (error.code, error.text) == ("busy", "Nothing moved for 30 s; others want the place. Ask again.")


async def test_four_keys_do_not_keep_a_fifth_from_bringing_in_and_taking_out(mock_clock: MockClock) -> None:
    async with world_of_idlers() as (world, bus), world.talker(BOB) as bob, trio.open_nursery() as nursery:
        flood = Files(nursery, world.host.parts.lives.importing.carriage)
        await launch(bus)
        snapshot = (await bus.ask("snapshot", instance=ONE))["snapshot"]
        await flood.come(*FOUR)
        mine = bob.open("import", A_FILE), bus.open("export", {"snapshot": snapshot})
        await later(mock_clock, CARRIED_GRACE + 1)
        for each in mine:
            await each.until(lambda channel: channel.accepted)
        assert [text for _, text in flood.refused] == [GAVE_WAY] * 2
        nursery.cancel_scope.cancel()


async def test_an_import_that_gave_way_is_answered_and_leaves_nothing(mock_clock: MockClock) -> None:
    async with world_of_idlers() as (world, bus), trio.open_nursery() as nursery:
        others = Files(nursery, world.host.parts.lives.importing.carriage)
        stuck = [await bus.open("import", A_FILE).until(lambda each: each.accepted) for _ in range(2)]
        await later(mock_clock, CARRIED_GRACE)
        await others.come(*FOUR[2:], "z", rate=LIVELY)
        assert others.there[-1] == "z"
        await bus.ask("features")
        (error,) = [each.answer for each in stuck if each.answer is not None]
        assert isinstance(error, Error)
        assert (error.code, error.text) == ("busy", GAVE_WAY)
        assert (await bus.ask("snapshots"))["snapshots"] == []
        nursery.cancel_scope.cancel()


async def test_who_is_cancelled_while_it_waits_is_answered_soon_and_takes_no_place(mock_clock: MockClock) -> None:
    async with world_of_idlers() as (world, bus), trio.open_nursery() as nursery:
        others = Files(nursery, world.host.parts.lives.importing.carriage)
        await others.come(*EIGHT, rate=2 * LIVELY)
        waiting = bus.open("import", A_FILE)
        await bus.ask("features")
        waiting.cancel()
        await bus.ask("features")
        await later(mock_clock, CARRIED_LOOK)
        assert (await waiting.error()).code == "busy"
        assert others.carriage._waiting == []
        nursery.cancel_scope.cancel()
