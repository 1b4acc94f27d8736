"""What happens to programs by themselves: idle ones are put away, checkpoints are taken, crowded hosts make room.

With fake programs: their memory is what a stop keeps, as sandbox.testing says. Time is told to whoever looks at it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import cbor2
import pytest
import trio
from busworld import BusWorld, Streams, Talker, bus_world, module, put

from gatebus.host.hostconfig import HostConfig
from gatebus.host.quotas import Amounts
from gatebus.host.refusals import disk_full
from gatebus.snapshots.snapshotstore import SnapshotStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox.testing import FakeGuest

ONE, TWO = b"1" * 16, b"2" * 16


async def waits(guest: FakeGuest) -> None:
    """For what never comes, or goes on with it."""
    streams = Streams(guest)
    while data := await streams.read():
        await streams.write(data)


@asynccontextmanager
async def world_of_idlers(config: HostConfig | None = None) -> AsyncIterator[tuple[BusWorld, Talker]]:
    async with bus_world(config, {b"waits": waits}) as world:
        await put(world.host, b"waits")
        async with world.talker() as bus:
            yield world, bus


async def launch(bus: Talker, instance: bytes = ONE, **more: object) -> None:
    """It waits for its input, and has said so."""
    await bus.ask("launch", instance=instance, module=module(b"waits"), **more)
    while not (await bus.ask("status", instance=instance))["usage"]["bytes_out"]:
        continue


async def becomes(bus: Talker, instance: bytes = ONE, **wanted: object) -> dict[str, Any]:
    """Asked again and again: what happens by itself has nobody whom it answers."""
    while not wanted.items() <= (status := await bus.ask("status", instance=instance)).items():
        continue
    return status


class Looks:
    """The host's look at policies, at times of the test's choice."""

    def __init__(self, world: BusWorld) -> None:
        self._minding, self._began = world.host.parts.lives.minding, trio.current_time()

    def after(self, seconds: float) -> None:
        self._minding.look(self._began + seconds)


async def test_an_idle_program_is_parked_and_later_stored() -> None:
    async with world_of_idlers() as (world, bus):
        looks = Looks(world)
        await launch(bus, policy={"idle_park": 500, "idle_store": 2000})
        looks.after(100)
        looks.after(599)
        assert (await bus.ask("status", instance=ONE))["state"] == "RUNNING"
        looks.after(601)
        await becomes(bus, depth="parked")
        looks.after(2099)
        assert (await bus.ask("status", instance=ONE))["depth"] == "parked"
        looks.after(2101)
        await becomes(bus, depth="stored")


async def test_one_that_is_talked_to_is_not_idle() -> None:
    async with world_of_idlers() as (world, bus):
        looks = Looks(world)
        await launch(bus, policy={"idle_store": 500})
        looks.after(100)
        stream = await bus.io(ONE).until(lambda each: each.accepted)
        stream.write(b"x")
        await stream.until(lambda each: each.data)
        looks.after(601)
        assert (await bus.ask("status", instance=ONE))["state"] == "RUNNING"


async def test_one_that_nobody_asked_to_mind_stays() -> None:
    async with world_of_idlers() as (world, bus):
        looks = Looks(world)
        await launch(bus)
        looks.after(100)
        looks.after(100_000)
        assert (await bus.ask("status", instance=ONE))["state"] == "RUNNING"


async def test_checkpoints_are_taken_and_only_the_last_ones_stay() -> None:
    async with world_of_idlers() as (world, bus):
        looks = Looks(world)
        await launch(bus)
        status = await bus.ask("keep", instance=ONE, every=100, last=2)
        assert (status["policy"]["keep_every"], status["policy"]["keep_last"]) == (100.0, 2)
        seen: set[bytes | None] = {None}
        for number in range(1, 4):
            while (kept := (await bus.ask("status", instance=ONE)).get("snapshot")) in seen:
                looks.after(101 * number)  # nothing, as long as the one before is being written down
            seen.add(kept)
        while len(lines := (await bus.ask("snapshots", instance=ONE))["snapshots"]) != 2:
            continue
        assert [each["kind"] for each in lines] == ["checkpoint"] * 2
        await bus.ask("keep", instance=ONE, every=0)
        looks.after(10_000)
        status = await bus.ask("status", instance=ONE)
        assert (status["snapshot"], status["lives"]) == (kept, 0)  # it has gone on, but nobody had suspended it


async def test_checkpoints_that_cannot_be_stored_are_seen_and_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its owner believes that a crash costs him no more than the time between two."""
    async with world_of_idlers() as (world, bus):
        looks, log = Looks(world), world.host.parts.events
        await launch(bus)
        await bus.ask("keep", instance=ONE, every=100, last=2)
        with monkeypatch.context() as patch:
            patch.setattr(SnapshotStore, "save", full)
            since = []
            for number in range(1, 4):
                await becomes(bus, state="RUNNING")  # its next process, after the copy
                looks.after(101 * number)
                while world.host.parts.lives.minding._busy:
                    await bus.ask("status", instance=ONE)
                unkept = (await bus.ask("status", instance=ONE))["unkept"]
                since.append(unkept.pop("since"))
                assert unkept == {"code": "disk-full", "text": disk_full().text}
            assert since == [since[0]] * 3
        events = [cbor2.loads(each.event) for each in log._remembered]
        (told,) = [each for each in events if each["event"] == "unkept"]
        assert told["unkept"]["since"] == since[0]
        while "unkept" in await bus.ask("status", instance=ONE):
            looks.after(505)


async def test_another_wish_for_checkpoints_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world_of_idlers() as (world, bus):
        await launch(bus)
        await bus.ask("keep", instance=ONE, every=100)
        with monkeypatch.context() as patch:
            patch.setattr(SnapshotStore, "save", full)
            Looks(world).after(101)
            while "unkept" not in await bus.ask("status", instance=ONE):
                continue
        assert "unkept" not in await bus.ask("keep", instance=ONE, every=0)


async def full(*_given: object, **_more: object) -> NoReturn:
    raise disk_full()


async def test_where_memory_is_scarce_what_is_parked_is_stored() -> None:
    config = HostConfig()
    some = replace(config.quotas.principal, memory=130 << 20)
    config = replace(config, quotas=replace(config.quotas, principal=some))
    async with world_of_idlers(config) as (world, bus):
        looks = Looks(world)
        await launch(bus)
        await launch(bus, TWO)
        await bus.ask("suspend", instance=ONE, depth="parked")
        looks.after(1)
        await becomes(bus, depth="stored")
        assert (await bus.ask("status", instance=TWO))["state"] == "RUNNING"
        assert (await bus.ask("usage"))["memory"]["used"] == 64 << 20


async def test_events_tell_what_happens_to_a_life() -> None:
    async with world_of_idlers() as (_, bus):
        heard = await bus.open("events", {}).until(lambda each: each.accepted)
        await launch(bus)
        await bus.ask("suspend", instance=ONE)
        await bus.ask("resume", instance=ONE)
        await bus.ask("snapshot", instance=ONE)
        await bus.ask("clone", instance=ONE, instances=[TWO])
        await heard.until(lambda each: b"cloned" in each.data)
        names = ["started", "suspended", "resumed", "snapshot", "cloned"]
        places = [heard.data.find(cbor2.dumps("event") + cbor2.dumps(name)) for name in names]
        assert places == sorted(places)
        assert -1 not in places


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"policy": 1}, "The parameter `policy` must be a map."),
        ({"policy": {"wake": "often"}}, "The parameter `wake` must be one of never, io, any."),
        ({"policy": {"idle_park": 0.1}}, "The parameter `idle_park` must be 0 or 1 to 2592000 seconds (30 days)."),
        ({"policy": {"keep_last": 0}}, "The parameter `keep_last` must be a whole number from 1 to 100."),
        ({"suspendable": 1}, "The parameter `suspendable` must be true or false."),
    ],
)
async def test_a_policy_that_is_none_is_refused(given: dict[str, object], text: str) -> None:
    async with world_of_idlers() as (_, bus):
        error = await bus.open("launch", {"instance": ONE, "module": module(b"waits"), **given}).error()
        assert (error.code, error.text) == ("bad-request", text)


async def test_what_has_no_room_now_rests_on_and_its_caller_hears_why() -> None:
    config = HostConfig()
    config = replace(config, quotas=replace(config.quotas, principal=Amounts(1, 1 << 30, 1 << 30, 8, 8)))
    async with world_of_idlers(config) as (_, bus):
        await launch(bus)
        await bus.ask("suspend", instance=ONE)
        await launch(bus, TWO)
        error = await bus.open("resume", {"instance": ONE}).error()
        assert error.code == "quota-instances"
        assert (await bus.ask("status", instance=ONE))["depth"] == "stored"
        await bus.ask("kill", instance=TWO)
        assert (await bus.ask("resume", instance=ONE))["state"] == "RUNNING"
