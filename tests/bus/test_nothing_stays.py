"""What programs and clients that have gone leave in a host: bytes up to a bound, objects not at all.

Objects are counted, not memory: what is free at once, by reference counts, does not wait for the collector. A host lets
it look at old objects after millions of new ones only (gatebus.bounds.GC_THRESHOLD), so that circles in what came and
went were a hundred MiB after twenty thousand launches.
"""

from __future__ import annotations

import gc
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
import trio.testing
from busworld import BOB, PROGRAMS, BusWorld, Streams, Talker, bus_world, busy, echo, hello, pattern
from websockets.protocol import Protocol

from gatebus import accountbounds, bounds
from gatebus.exchange import Exchange
from gatebus.host.attendant import Attendant, Line
from gatebus.host.busstreams import BusStream
from gatebus.host.instances import Instance
from gatebus.host.operations import Waiting
from gatebus.services.origin import Origin
from gatebus.switchboard import Switchboard
from gatebus.web.websocketlink import WebsocketLink
from sandbox.program import Program

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from trio.testing import MockClock

    from sandbox.testing import FakeGuest

LAUNCHED = bounds.STREAM_SHARE // bounds.ORIGIN_STREAMS


async def window_full(guest: FakeGuest) -> None:
    """As much as a launched program may write before anybody takes it."""
    await Streams(guest).write(pattern(0, LAUNCHED))


MORE = {**PROGRAMS, b"window_full": window_full}


async def test_what_launched_programs_wrote_and_nobody_fetched_is_bounded() -> None:
    async with bus_world(programs=MORE) as world, world.talker() as bus:
        ids = [number.to_bytes(16, "big") for number in range(accountbounds.LEFTOVER_BYTES // LAUNCHED + 10)]
        for each in ids:
            await bus.launch(window_full, instance=each)
            await bus.ask("wait", instance=each)
        there = [world.host.parts.registry.known(UUID(bytes=each)) for each in ids]
        waiting = [each.unclaimed for each in there if each is not None and each.unclaimed is not None]
        held = sum(each.kept for each in waiting if isinstance(each, BusStream))
        assert LAUNCHED < held <= accountbounds.LEFTOVER_BYTES
        said = "The instance has ended: nobody can connect to it any more."
        assert (await bus.io(ids[0]).error()).text == said
        newest = await bus.io(ids[-1]).until(lambda each: len(each.data) == LAUNCHED)
        assert newest.data == pattern(0, LAUNCHED)


async def test_what_nobody_fetched_in_time_is_nobody_s_burden_any_more(mock_clock: MockClock) -> None:
    async with bus_world(programs=MORE) as world, world.talker() as bus:
        leftovers, quotas = world.host.parts.registry._leftovers, world.host.parts.quotas
        await bus.launch(window_full)
        [account] = quotas._accounts
        await bus.ask("wait", instance=b"i" * 16)
        assert leftovers.held(account) > LAUNCHED
        mock_clock.jump(bounds.LINGER_SECONDS + bounds.SWEEP_SECONDS)
        await trio.testing.wait_all_tasks_blocked()
        assert leftovers.held(account) == 0


# What is free without the collector.


async def launch(_world: BusWorld, bus: Talker) -> None:
    await bus.launch(hello)
    await bus.ask("wait", instance=b"i" * 16)
    await bus.ask("delete", instance=b"i" * 16)


async def kill(_world: BusWorld, bus: Talker) -> None:
    await bus.launch(busy)
    waiting = bus.open("wait", {"instance": b"i" * 16})
    await bus.ask("kill", instance=b"i" * 16)
    await waiting.result()
    await bus.ask("delete", instance=b"i" * 16)


async def talk(_world: BusWorld, bus: Talker) -> None:
    await bus.launch(echo)
    channel = await bus.io(b"i" * 16).until(lambda each: each.accepted)
    channel.write(b"hello")
    await channel.until(lambda each: each.data == b"hello")
    channel.end()
    await channel.result()
    await bus.ask("wait", instance=b"i" * 16)
    await bus.ask("delete", instance=b"i" * 16)


async def call(_world: BusWorld, bus: Talker) -> None:
    await bus.call(hello).result()


async def call_nothing(_world: BusWorld, bus: Talker) -> None:
    await bus.open("call", {"stream": bus.name(), "module": bytes(32)}).error()


async def call_and_give_up(_world: BusWorld, bus: Talker) -> None:
    channel = await bus.call(busy).until(lambda each: each.accepted)
    channel.cancel()
    await channel.result()


async def listen(_world: BusWorld, bus: Talker) -> None:
    channel = await bus.open("events", {}).until(lambda each: each.accepted)
    channel.cancel()
    await channel.result()


async def ask_for_somebody_elses(_world: BusWorld, bus: Talker) -> None:
    await bus.open("status", {"instance": bytes(16)}).error()


async def come_and_go(world: BusWorld, _bus: Talker) -> None:
    async with world.talker(BOB) as bob:
        await bob.call(hello).result()


async def say_nonsense(world: BusWorld, _bus: Talker) -> None:
    async with world.talker(BOB) as bob:
        bob.open("events", {})
        bob.say_raw(b"\xff")
        await bob.until_closed()


async def vanish(world: BusWorld, _bus: Talker) -> None:
    async with world.talker(BOB) as bob:
        bob.link.abort()
        await trio.testing.wait_all_tasks_blocked()


async def wait_and_vanish(world: BusWorld, bus: Talker) -> None:
    await bus.launch(busy)
    async with world.talker() as other:
        other.open("wait", {"instance": b"i" * 16})
        await other.ask("features")
    await bus.ask("kill", instance=b"i" * 16)
    await bus.ask("delete", instance=b"i" * 16)


WAYS = [
    launch, kill, talk, call, call_nothing, call_and_give_up, listen, ask_for_somebody_elses, come_and_go, say_nonsense,
    vanish, wait_and_vanish,
]  # fmt: skip


@contextmanager
def garbage() -> Iterator[Counter[str]]:
    """Of our own kinds, what only the collector would find: by name, after the body."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.update(type(each).__name__ for each in gc.garbage if isinstance(each, OURS))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


OURS = (
    Attendant, BusStream, Exchange, Instance, Line, Origin, Program, Protocol, Switchboard, Waiting, WebsocketLink,
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_what_came_and_went_is_free_without_the_collector(way: Callable[..., Awaitable[None]]) -> None:
    async with bus_world() as world, world.talker() as bus:
        await way(world, bus)
        with garbage() as found:
            for _ in range(3):
                await way(world, bus)
            await trio.testing.wait_all_tasks_blocked()
        assert not found
