"""Wakes and stops that meet: whoever was answered last has the last word, and what comes meanwhile is not forgotten.

With fake programs: an echo, whose process is parked, and whose record is written, when the test says so.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
from test_policies import ONE, world_of_idlers
from test_policies import launch as launched
from trio.testing import wait_all_tasks_blocked

from gatebus.host.busstreams import bus_streams
from sandbox.testing import FakeProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from busworld import BusWorld, Channel, Talker

SECONDS = 30  # only a test that fails waits so long


class Gate:
    """What passes here waits until the test opens it, once."""

    def __init__(self) -> None:
        self.reached, self.opened = trio.Event(), trio.Event()

    async def passes(self) -> None:
        self.reached.set()
        await self.opened.wait()


@pytest.fixture
def parking(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Processes stand still only after this."""
    gate, park = Gate(), FakeProcess.park

    async def parks(process: FakeProcess) -> None:
        await park(process)
        await gate.passes()

    monkeypatch.setattr(FakeProcess, "park", parks)
    return gate


@asynccontextmanager
async def echoing(**more: object) -> AsyncIterator[tuple[BusWorld, Talker, Channel]]:
    """One instance, and a stream of it."""
    with trio.fail_after(SECONDS):
        async with world_of_idlers() as (world, bus):
            await launched(bus, **more)
            stream = await bus.io(ONE).until(lambda each: each.accepted)
            stream.write(b"hello")
            yield world, bus, await said(stream, b"hello")


async def said(stream: Channel, text: bytes) -> Channel:
    await stream.until(lambda each: len(each.data) >= len(text))
    assert bytes(stream.data) == text
    return stream


async def state(bus: Talker) -> str:
    return str((await bus.ask("status", instance=ONE))["state"])


async def has_come(world: BusWorld, size: int) -> None:
    """To the host."""
    instance = next(world.host.parts.registry.running())
    while sum(each.flows.into.received for each in bus_streams(instance)) < size:
        await wait_all_tasks_blocked()


def asked_to_park(bus: Talker) -> Channel:
    return bus.open("suspend", {"instance": ONE, "depth": "parked"}, 0)


async def test_bytes_that_come_while_a_program_is_being_parked_wake_it(parking: Gate) -> None:
    async with echoing() as (world, bus, stream):
        parked = asked_to_park(bus)
        await parking.reached.wait()
        stream.write(b" world")
        await has_come(world, 11)
        parking.opened.set()
        await parked.result()
        await said(stream, b"hello world")


async def test_bytes_that_come_while_a_parked_program_is_copied_wake_it(parking: Gate) -> None:
    """It is parked again only when nothing has come."""
    async with echoing() as (world, bus, stream):
        parking.opened.set()
        await asked_to_park(bus).result()
        parking.opened = trio.Event()
        parking.reached = trio.Event()
        await bus.ask("snapshot", instance=ONE)
        await parking.reached.wait()
        stream.write(b" world")
        await has_come(world, 11)
        parking.opened.set()
        await said(stream, b"hello world")


async def test_a_parked_program_that_is_copied_is_parked_again_when_nothing_has_come() -> None:
    async with echoing() as (_, bus, stream):
        await asked_to_park(bus).result()
        await bus.ask("snapshot", instance=ONE)
        await wait_all_tasks_blocked()
        assert await state(bus) == "SUSPENDED"
        stream.write(b" world")
        await said(stream, b"hello world")


async def test_bytes_that_wake_a_parked_program_do_so_though_it_is_copied_just_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, unpark = Gate(), FakeProcess.unpark

    async def unparks(process: FakeProcess) -> None:
        await gate.passes()
        await unpark(process)

    async with echoing() as (_, bus, stream):
        await asked_to_park(bus).result()
        monkeypatch.setattr(FakeProcess, "unpark", unparks)
        stream.write(b" world")
        await gate.reached.wait()
        shot = bus.open("snapshot", {"instance": ONE}, 0)
        await wait_all_tasks_blocked()
        gate.opened.set()
        await shot.result()
        await said(stream, b"hello world")
        assert await state(bus) == "RUNNING"


async def test_one_that_is_resumed_while_it_is_being_parked_runs(parking: Gate) -> None:
    async with echoing() as (_, bus, stream):
        parked = asked_to_park(bus)
        await parking.reached.wait()
        resumed = bus.open("resume", {"instance": ONE}, 0)
        await wait_all_tasks_blocked()
        assert resumed.answer is None
        parking.opened.set()
        await parked.result()
        assert (await resumed.result())["state"] == "RUNNING"
        stream.write(b" world")
        await said(stream, b"hello world")


async def test_a_parked_program_that_is_stored_while_it_is_copied_is_not_parked_when_it_goes_on() -> None:
    async with echoing() as (_, bus, stream):
        await asked_to_park(bus).result()
        shot, stored = (bus.open(each, {"instance": ONE}, 0) for each in ("snapshot", "suspend"))
        await shot.result()
        assert (await stored.result())["depth"] == "stored"
        assert (await bus.ask("resume", instance=ONE))["state"] == "RUNNING"
        await wait_all_tasks_blocked()
        assert await state(bus) == "RUNNING"
        stream.write(b" world")
        await said(stream, b"hello world")


@pytest.mark.parametrize("by", ["bytes", "resume", "attach"])
async def test_a_suspend_that_is_answered_holds_though_a_wake_was_under_way(
    by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with echoing() as (world, bus, stream):
        await bus.ask("suspend", instance=ONE)
        gate = on_record(world, monkeypatch)
        if by == "bytes":
            stream.write(b" world")
        elif by == "resume":
            bus.open("resume", {"instance": ONE}, 0)
        else:
            bus.attach(stream)
        await gate.reached.wait()
        stored = bus.open("suspend", {"instance": ONE}, 0)
        await wait_all_tasks_blocked()
        gate.opened.set()
        told = await stored.result()
        assert (told["state"], told["lives"]) == ("SUSPENDED", 1)
        await wait_all_tasks_blocked()
        assert await state(bus) == "SUSPENDED"


def on_record(world: BusWorld, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """That it goes on is written down only after this."""
    gate, keeping = Gate(), world.host.parts.lives.keeping
    goes_on = keeping.goes_on

    async def writes(instance: Any) -> bool:
        await gate.passes()
        return await goes_on(instance)

    monkeypatch.setattr(keeping, "goes_on", writes)
    return gate
