"""Whose turn it is among those who open connections: one piece at a time, sources in turn, others in between."""

from __future__ import annotations

import socket
from itertools import pairwise
from typing import TYPE_CHECKING

import trio
from trio.testing import wait_all_tasks_blocked
from webparts import echo, serving

from gatebus.bounds import OPENING_PASSES
from gatebus.web.dialling import dial
from gatebus.web.floor import Turnstile
from gatebus.web.front import Front
from gatebus.web.listening import ACCEPTED_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Callable


async def passes(count: Callable[[], None]) -> None:
    """Of the event loop."""
    while True:
        await trio.lowlevel.checkpoint()
        count()


async def test_whoever_is_alone_waits_for_some_passes_and_no_longer() -> None:
    async with trio.open_nursery() as nursery:
        passed: list[int] = []
        nursery.start_soon(passes, lambda: passed.append(1))
        await Turnstile().turn("one")
        assert len(passed) <= OPENING_PASSES + 4
        nursery.cancel_scope.cancel()


async def test_between_two_pieces_the_loop_goes_round() -> None:
    turnstile, done, passed = Turnstile(), [], [0]

    async def piece() -> None:
        await turnstile.turn("flood")
        done.append(passed[0])

    def count() -> None:
        passed[0] += 1

    async with trio.open_nursery() as looking:
        looking.start_soon(passes, count)
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(piece)
        looking.cancel_scope.cancel()
    assert all(later - before >= OPENING_PASSES for before, later in pairwise(done))


async def test_one_source_with_many_connections_has_one_place_among_the_others() -> None:
    turnstile, order = Turnstile(), []

    async def piece(source: str) -> None:
        await turnstile.turn(source)
        order.append(source)

    async with trio.open_nursery() as nursery:
        for _ in range(200):
            nursery.start_soon(piece, "flood")
        await trio.lowlevel.checkpoint()
        for source in ("a", "b", "c"):
            nursery.start_soon(piece, source)
    assert max(order.index(source) for source in ("a", "b", "c")) <= 8


async def test_who_gives_up_waiting_stops_nobody() -> None:
    turnstile = Turnstile()
    async with trio.open_nursery() as nursery:
        scopes = [trio.CancelScope() for _ in range(10)]

        async def piece(scope: trio.CancelScope) -> None:
            with scope:
                await turnstile.turn("flood")

        for scope in scopes:
            nursery.start_soon(piece, scope)
        for scope in scopes[::2]:
            scope.cancel()
        await turnstile.turn("flood")
        await turnstile.turn("other")


async def test_who_was_evicted_meanwhile_keeps_nobody_waiting() -> None:
    turnstile, passed = Turnstile(), [0]

    def count() -> None:
        passed[0] += 1

    async with trio.open_nursery() as looking:
        looking.start_soon(passes, count)
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(turnstile.turn, "flood", lambda: False)
        assert passed[0] < 100 * OPENING_PASSES
        looking.cancel_scope.cancel()


async def test_sources_that_have_gone_are_forgotten() -> None:
    turnstile = Turnstile()
    for number in range(100):
        await turnstile.turn(f"{number}")
    assert not turnstile._of


async def test_more_connections_than_are_accepted_at_once_all_get_in() -> None:
    async with serving(Front(echo)) as address:
        others = [socket.create_connection((address.place, address.port)) for _ in range(5 * ACCEPTED_AT_ONCE)]
        async with dial(address) as link:
            link.write(b"here")
            assert await link.receive_many() == [b"here"]
        for each in others:
            each.close()
        await wait_all_tasks_blocked()
