"""Long work in pieces: one piece in each turn of the event loop, whoever's it is, and nobody else waits."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import trio
from looprounds import rounds
from trio.lowlevel import checkpoint

from sandbox.piecework import PieceWork

if TYPE_CHECKING:
    from collections.abc import Generator


def work(pieces: int, done: list[str], name: str = "") -> Generator[None, None, str]:
    for _ in range(pieces):
        done.append(name)
        yield
    return name


async def test_the_loop_goes_round_between_two_pieces() -> None:
    done, goes_on = list[str](), True
    seen: list[int] = []

    async def another() -> None:
        while goes_on:
            seen.append(len(done))
            await checkpoint()

    with rounds() as gone:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(another)
            assert await PieceWork().done(work(100, done, "it")) == "it"
            goes_on = False
    assert gone.count > 100
    # Two: the tasks of one turn run in any order.
    assert all(after - before <= 2 for before, after in pairwise(seen))


async def test_of_all_who_have_such_work_one_piece_is_done_in_a_turn_and_they_take_turns() -> None:
    turns, done = PieceWork(), list[str]()
    with rounds() as gone:
        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(turns.done, work(50, done, name))
    assert gone.count >= 150
    assert all(set(done[at : at + 3]) == set("abc") for at in range(0, 140, 3))


async def test_an_error_of_the_work_is_told_and_the_others_go_on() -> None:
    def fails() -> Generator[None, None, None]:
        yield
        raise KeyError("x")

    turns = PieceWork()
    with pytest.raises(KeyError):
        await turns.done(fails())
    assert await turns.done(work(3, [], "on")) == "on"


async def test_work_that_nobody_waits_for_any_more_is_left() -> None:
    turns, done = PieceWork(), list[str]()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turns.done, work(1_000_000, done))
            while len(done) < 10:
                await checkpoint()
            scope.cancel()
    assert len(done) < 20
    assert await turns.done(work(3, [], "on")) == "on"
