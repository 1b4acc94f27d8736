"""Stored instances that nobody is connected to are lines; whoever asks for one finds it as it was."""

from __future__ import annotations

import gc
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import trio
import trio.testing
from busworld import ALICE, BOB, BusWorld, Streams, bus_world, module, put

from gatebus.accountbounds import FOLDED_STREAMS
from gatebus.host.instances import Instance
from gatebus.host.lives.folded import Folded
from gatebus.host.lives.lifetable import WrongStep
from gatebus.host.lives.live import use
from gatebus.host.lives.recovering import put_away

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from busworld import Channel, Talker

    from sandbox.testing import FakeGuest

ONE, TWO = b"1" * 16, b"2" * 16


async def echoes(guest: FakeGuest) -> None:
    """What comes, behind a greeting; and then it works on for itself."""
    streams = Streams(guest)
    if not guest.memory:
        guest.memory = b"greeted"
        await streams.write(b"hello")
    if guest.memory.startswith(b"greeted"):
        while data := await streams.read():
            await streams.write(data)
        guest.memory = b"ended"
        await streams.end()
    await trio.sleep_forever()


@asynccontextmanager
async def world_of_stored(instance: bytes = ONE, **more: object) -> AsyncIterator[tuple[BusWorld, Talker]]:
    """It is stored; it has said hello to nobody."""
    async with bus_world(None, {b"echoes": echoes}) as world:
        await put(world.host, b"echoes")
        async with world.talker() as bus:
            await bus.ask("launch", instance=instance, module=module(b"echoes"), **more)
            while (await bus.ask("status", instance=instance))["usage"]["bytes_out"] < len(b"hello"):
                continue
            await bus.ask("suspend", instance=instance)
            yield world, bus


def fold(world: BusWorld) -> None:
    world.host.parts.lives.folding.look()


def is_folded(world: BusWorld, instance: bytes = ONE) -> bool:
    return isinstance(world.host.parts.registry._instances[instance], Folded)


async def folds(world: BusWorld, instance: bytes = ONE) -> None:
    """As soon as those who have it in hand have let it go."""
    while not is_folded(world, instance):
        fold(world)
        await trio.lowlevel.checkpoint()


def objects_of(instance: bytes) -> list[Instance]:
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, Instance) and each.id == instance]


async def told(bus: Talker, instance: bytes = ONE) -> dict[str, Any]:
    return await bus.ask("status", instance=instance)


async def connected(bus: Talker, text: bytes) -> Channel:
    """It has been woken, and has answered."""
    stream = await bus.io(ONE).until(lambda each: each.accepted)
    stream.write(text)
    return await stream.until(lambda each: each.data.endswith(text))


async def test_what_is_folded_is_nobody_s_object_any_more() -> None:
    name = uuid4().bytes  # so that no other test has left something of this one
    async with world_of_stored(name) as (world, bus):
        parts = world.host.parts
        await folds(world, name)
        while objects_of(name):
            await bus.ask("usage")  # what goes on with it may still be compiled
        assert len(parts.lives.minding._minded) == len(parts.lives.folding._resting) == 0


async def test_its_status_and_its_place_in_the_list_are_as_before() -> None:
    async with world_of_stored(tags=["a"], policy={"wake": "any", "keep_every": 100}) as (world, bus):
        await bus.ask("launch", instance=TWO, module=module(b"echoes"))
        before = await told(bus)
        await folds(world)
        listed = (await bus.ask("list"))["instances"]
        assert [each["instance"] for each in listed] == [ONE, TWO]
        assert listed[0] == before
        assert is_folded(world), "to list it is not to unfold it"
        assert await told(bus) == before
        assert not is_folded(world)


async def test_the_first_who_connects_gets_what_it_wrote_and_wakes_it() -> None:
    async with world_of_stored() as (world, bus):
        await folds(world)
        stream = await connected(bus, b" world")
        stream.end()
        await stream.result()
        assert stream.data == b"hello world"
        assert (await told(bus))["lives"] == 1


async def test_a_client_that_lost_its_link_finds_its_stream_and_no_byte_is_lost_or_doubled() -> None:
    async with world_of_stored(policy={"wake": "never"}) as (world, bus):
        async with world.talker() as other:
            stream = await other.io(ONE).until(lambda each: each.data == b"hello")
            stream.write(b" world")  # it waits here: nobody may wake the program
            await other.ask("status", instance=ONE)
            fold(world)
            assert not is_folded(world), "somebody is connected"
        await folds(world)
        stream = await bus.attach(stream).until(lambda each: each.accepted)
        stream.write(b"!")
        stream.end()
        assert (await told(bus))["state"] == "SUSPENDED"
        await bus.ask("resume", instance=ONE)
        await stream.result()
        assert stream.data == b"hello world!"


async def test_what_waits_for_it_and_is_much_stays_as_it_is() -> None:
    async with world_of_stored(policy={"wake": "never"}) as (world, bus):
        async with world.talker() as other:
            stream = await other.io(ONE).until(lambda each: each.data == b"hello")
            stream.write(bytes(FOLDED_STREAMS))
            await other.ask("status", instance=ONE)
        await bus.ask("status", instance=ONE)
        fold(world)
        assert not is_folded(world)


async def test_one_that_somebody_waits_for_stays_as_it_is() -> None:
    async with world_of_stored() as (world, bus), world.talker() as other:
        waiting = other.open("wait", {"instance": ONE})
        await other.ask("status", instance=ONE)
        fold(world)
        assert not is_folded(world)
        await bus.ask("kill", instance=ONE)
        assert (await waiting.result())["state"] == "KILLED"


async def test_it_is_killed_and_its_stream_is_told() -> None:
    async with world_of_stored(policy={"wake": "never"}) as (world, bus):
        async with world.talker() as other:
            stream = await other.io(ONE).until(lambda each: each.data == b"hello")
        await folds(world)
        assert (await bus.ask("kill", instance=ONE))["state"] == "KILLED"
        stream = bus.attach(stream)
        assert (await stream.result())["ended"]["state"] == "KILLED"
        assert world.host.parts.registry._asleep == {}
        assert (await bus.ask("delete", instance=ONE))["state"] == "KILLED"


async def test_a_stream_that_comes_back_is_let_go_by_its_client() -> None:
    async with world_of_stored(policy={"wake": "never"}) as (world, bus):
        async with world.talker() as other:
            stream = await other.io(ONE).until(lambda each: each.data == b"hello")
        await folds(world)
        stream = await bus.attach(stream).until(lambda each: each.accepted)
        stream.cancel()
        assert await stream.result() == {}


@pytest.mark.parametrize("sent", [b"", b"unread"])
async def test_one_whose_client_has_let_go_is_stored_again(sent: bytes) -> None:
    async with world_of_stored(policy={"wake": "never"}) as (world, bus):
        stream = await bus.io(ONE).until(lambda each: each.data == b"hello")
        stream.write(sent)
        stream.cancel()
        await stream.result()
        await bus.ask("resume", instance=ONE)
        assert (await bus.ask("suspend", instance=ONE))["depth"] == "stored"
        await folds(world)
        assert (await bus.ask("resume", instance=ONE))["lives"] == 2


async def test_its_one_connection_is_not_given_away_twice() -> None:
    """Its client has had the answer: that is no lost link."""
    async with world_of_stored() as (world, bus):
        stream = await connected(bus, b" world")
        stream.end()
        await stream.result()
        await bus.ask("suspend", instance=ONE)
        before = await bus.io(ONE).error()
        world.host.parts.registry.sweep(trio.current_time() + 1e6)
        await folds(world)
        assert (await bus.io(ONE).error()).text == before.text


async def test_somebody_else_neither_finds_nor_unfolds_it() -> None:
    async with world_of_stored() as (world, _bus), world.talker(BOB) as bob, world.talker(ALICE) as bus:
        await folds(world)
        assert (await bob.open("status", {"instance": ONE}).error()).code == "not-found"
        assert (await bob.io(ONE).error()).code == "not-found"
        assert (await bob.ask("list"))["instances"] == []
        assert is_folded(world)
        assert (await bus.ask("resume", instance=ONE))["state"] == "RUNNING"


async def test_one_that_was_launched_open_is_anybody_s_to_connect_to() -> None:
    async with world_of_stored(open=True) as (world, _bus), world.talker(BOB) as bob:
        await folds(world)
        stream = await connected(bob, b" bob")
        assert stream.data == b"hello bob"


async def test_folded_ones_count_as_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatebus.host.lives.lives.STORED_EACH", 1)
    async with world_of_stored() as (world, bus):
        await folds(world)
        await bus.ask("launch", instance=TWO, module=module(b"echoes"))
        error = await bus.open("suspend", {"instance": TWO}).error()
        assert error.text == "You have 1 stored instances, the most there can be. Delete some."
        await bus.ask("resume", instance=ONE)
        assert (await bus.ask("suspend", instance=TWO))["depth"] == "stored"


async def test_who_resumes_and_who_suspends_at_once_have_the_same_one_in_hand() -> None:
    async with world_of_stored() as (world, bus), world.talker() as other:
        for _ in range(5):
            await folds(world)
            first, second = bus.open("resume", {"instance": ONE}), other.open("suspend", {"instance": ONE})
            fold(world)
            await first.result()
            await second.result()
            await bus.ask("suspend", instance=ONE)
        stream = await connected(bus, b" world")
        assert stream.data == b"hello world"


async def test_what_the_host_would_collect_knows_folded_ones() -> None:
    async with world_of_stored() as (world, _bus):
        await folds(world)
        assert list(world.host.parts.registry.alive()) == [ONE]
        assert list(world.host.parts.registry.running()) == []


class Folds(trio.abc.Instrument):
    """Before each step of any task whatever may be folded is: nobody has an instance in hand who has not said so."""

    def __init__(self, world: BusWorld) -> None:
        self._world = world

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        fold(self._world)


@contextmanager
def folded_at_every_step(world: BusWorld) -> Iterator[None]:
    trio.lowlevel.add_instrument(folds := Folds(world))
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(folds)  # it is gone already when it has failed


@pytest.mark.parametrize(
    ("asked", "given", "told_state"),
    [
        ("status", {}, "SUSPENDED"),
        ("resume", {}, "RUNNING"),
        ("suspend", {}, "SUSPENDED"),
        ("suspend", {"depth": "parked"}, "SUSPENDED"),
        ("keep", {"every": 1, "last": 1}, "SUSPENDED"),
        ("kill", {}, "KILLED"),
        ("snapshot", {}, None),
        ("clone", {"instances": [TWO]}, None),
        ("clone", {"instances": [TWO], "durable": True}, None),
    ],
)
async def test_whatever_is_asked_is_answered_though_it_is_folded_whenever_it_may_be(
    asked: str, given: dict[str, object], told_state: str | None
) -> None:
    async with world_of_stored() as (world, bus):
        await folds(world)
        with folded_at_every_step(world):
            answer = await bus.ask(asked, instance=ONE, **given)
            assert answer.get("state") == told_state
            assert (await told(bus))["state"] == (told_state or "SUSPENDED")


async def test_clients_wake_it_though_it_is_folded_whenever_it_may_be() -> None:
    async with world_of_stored() as (world, bus):
        with folded_at_every_step(world):
            async with world.talker() as other:
                stream = await connected(other, b" world")
                await other.ask("suspend", instance=ONE)
            again = await bus.attach(stream).until(lambda each: each.accepted)
            again.write(b"!")
            await again.until(lambda each: each.data == b"hello world!")


async def test_whoever_has_one_in_hand_that_is_folded_cannot_do_anything_with_it() -> None:
    async with world_of_stored() as (world, _bus):
        lives = world.host.parts.lives
        held = next(world.host.parts.registry.running())
        await folds(world)
        for each in (lives.resume, lives.store, lives.copy, lives.park, lives.rouse):
            with pytest.raises(WrongStep, match="has not said so"):
                await each(held)
        with pytest.raises(WrongStep):
            use(held)


async def test_a_host_that_stops_has_in_hand_what_it_puts_away_whenever_that_may_be_folded() -> None:
    async with world_of_stored() as (world, _bus):
        with folded_at_every_step(world):
            await put_away(world.host.parts)
        await folds(world)


async def test_one_whose_record_is_behind_stays_as_it_is_until_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world_of_stored() as (world, _bus):
        keeping = world.host.parts.lives.keeping
        held, gate = next(world.host.parts.registry.running()), trio.Event()

        async def forgets(*_: object) -> None:
            await gate.wait()

        monkeypatch.setattr(keeping, "forget", forgets)
        keeping._due[ONE], keeping._gone = held, [(held, b"s" * 32)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keeping._write_due)
            await trio.testing.wait_all_tasks_blocked()
            fold(world)
            assert not is_folded(world)
            gate.set()
        await folds(world)
        record = await keeping.store.records.get(ONE)
        assert record is not None
        assert record.state == "stored"
