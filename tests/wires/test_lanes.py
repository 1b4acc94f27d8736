"""So many at a time of each key: in order of arrival, and nobody waits for another key."""

from __future__ import annotations

from collections import defaultdict

import pytest
import trio
from looprounds import rounds
from trio.testing import wait_all_tasks_blocked

from sandbox.lanes import Lanes


class Visitors:
    """Who is in a lane, and who has been, in order."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes, self.there, self.order = lanes, set[str](), list[str]()
        self.may_go = defaultdict[str, trio.Event](trio.Event)

    async def visit(self, key: str, name: str) -> None:
        async with self.lanes.one(key):
            self.order.append(name)
            self.there.add(name)
            await self.may_go[name].wait()
            self.there.remove(name)


@pytest.mark.parametrize("at_once", [1, 3])
async def test_as_many_of_a_key_are_inside_as_may_be_and_others_wait_in_order(at_once: int) -> None:
    visitors = Visitors(Lanes(at_once))
    async with trio.open_nursery() as nursery:
        for name in "abcde":
            nursery.start_soon(visitors.visit, "key", name)
            await wait_all_tasks_blocked()
        assert visitors.there == set("abcde"[:at_once])
        for name in "abcde":
            visitors.may_go[name].set()
            await wait_all_tasks_blocked()  # of those who may go on in the same turn, any can be the first
    assert visitors.order == list("abcde")


async def test_nobody_waits_for_another_key_not_even_a_turn_of_the_loop() -> None:
    visitors = Visitors(Lanes())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(visitors.visit, "one", "a")
        await wait_all_tasks_blocked()
        with rounds() as gone:
            async with visitors.lanes.one("other"):
                assert len(visitors.lanes) == 2
        assert gone.count == 0
        visitors.may_go["a"].set()


async def test_a_key_is_remembered_as_long_as_somebody_uses_it_or_waits_for_it() -> None:
    lanes = Lanes()
    visitors = Visitors(lanes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(visitors.visit, "key", "a")
        await wait_all_tasks_blocked()
        with trio.move_on_after(0):
            await visitors.visit("key", "gives up")
        assert "key" in lanes
        nursery.start_soon(visitors.visit, "key", "b")
        await wait_all_tasks_blocked()
        visitors.may_go["a"].set()
        visitors.may_go["b"].set()
    assert visitors.order == ["a", "b"]
    assert ("key" in lanes, len(lanes)) == (False, 0)


async def test_an_error_inside_lets_the_next_one_in() -> None:
    lanes = Lanes()
    with pytest.raises(KeyError):
        async with lanes.one("key"):
            raise KeyError
    async with lanes.one("key"):
        assert len(lanes) == 1
