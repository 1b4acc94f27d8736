"""A program that speaks packets with many clients (the chat room): stopped, stored and gone on with over the bus."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
from busworld import ALICE
from guestfiles import require_guest
from liveworld import digest, live_world
from test_live_instances import ONE, TWO

from gatebus.host.principals import by_key
from gatebus.protocol.proofs import public_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from busworld import BusWorld, Channel, Talker

pytestmark = pytest.mark.usefixtures("native")


@pytest.fixture(scope="module")
def room() -> bytes:
    return require_guest("chat.wasm").read_bytes()


async def enters(bus: Talker, name: str, instance: bytes = ONE) -> Channel:
    """It is named and known."""
    person = await bus.io(instance).until(lambda each: b"# you are " in each.data)
    person.write(f"/name {name}\n".encode())
    return await person.until(lambda each: f" {name}\n".encode() in each.data)


async def sees(person: Channel, line: str) -> None:
    await person.until(lambda each: f"{line}\n".encode() in each.data)


async def talks(speaker: Channel, hearer: Channel, name: str, text: str) -> None:
    speaker.write(f"{text}\n".encode())
    await sees(hearer, f"<{name}> {text}")


@pytest.mark.parametrize("depth", ["parked", "stored"])
async def test_a_room_that_was_suspended_is_woken_by_a_word_and_nobody_was_lost(
    depth: str, image_directory: Path, room: bytes
) -> None:
    async with live_world(image_directory, None, room) as world, world.talker() as bus, world.talker() as other:
        await bus.ask("launch", instance=ONE, module=digest(room))
        alice, bob = await enters(bus, "alice"), await enters(other, "bob")
        await talks(alice, bob, "alice", "first")
        for number in range(3):
            status = await bus.ask("suspend", instance=ONE, depth=depth)
            assert (status["state"], status["depth"]) == ("SUSPENDED", depth)
            await talks(bob, alice, "bob", f"word {number}")
            await talks(alice, bob, "alice", f"answer {number}")
        assert alice.data.count(b"<bob> word") == bob.data.count(b"<alice> answer") == 3


CONVERSATION = (
    ("bob", "hello"),
    ("alice", "what is new?"),
    ("bob", "nothing" * 30),
    ("alice", "so " + "long" * 40),
)


async def conversation(images: Path, room: bytes, *, stops: bool) -> tuple[bytes, bytes]:
    """What the two have heard, of a room that is stopped before everything that is said, or never."""
    async with live_world(images, None, room) as world, world.talker() as bus, world.talker() as other:

        async def stop() -> None:
            if stops:
                assert (await bus.ask("suspend", instance=ONE, depth="stored"))["state"] == "SUSPENDED"

        await bus.ask("launch", instance=ONE, module=digest(room))
        await stop()
        people = {"alice": await enters(bus, "alice")}
        await stop()
        people["bob"] = await enters(other, "bob")
        await sees(people["alice"], "= guest-2 bob")
        for name, text in CONVERSATION:
            await stop()
            people[name].write(f"{text}\n".encode())
            for each in people.values():
                await sees(each, f"<{name}> {text}")
        return bytes(people["alice"].data), bytes(people["bob"].data)


async def test_a_room_that_is_stopped_before_every_line_says_what_it_says_without(
    image_directory: Path, room: bytes
) -> None:
    heard = await conversation(image_directory, room, stops=True)
    assert heard == await conversation(image_directory, room, stops=False)
    assert all(each.endswith(b"<alice> so " + b"long" * 40 + b"\n") for each in heard)


async def talk_of_two(images: Path, *, stops: bool) -> bytes:
    """Of the demo's two programs: the one asks, the other answers; each is stopped before it has met the other."""
    both = require_guest("demo.wasm").read_bytes()
    async with live_world(images, None, both) as world, world.talker() as bus:
        for instance, function in ((ONE, "ask"), (TWO, "answer")):
            await bus.ask("launch", instance=instance, module=digest(both), function=function)
            if stops:
                await bus.ask("suspend", instance=instance)
        person = bus.io(ONE)
        for instance in (TWO, ONE) if stops else ():
            await bus.ask("resume", instance=instance)
        await person.until(lambda each: each.data.endswith(b"\n"))
        return bytes(person.data)


async def test_two_programs_that_are_stopped_before_they_meet_say_what_they_say_without(image_directory: Path) -> None:
    said = await talk_of_two(image_directory, stops=True)
    assert said == await talk_of_two(image_directory, stops=False) == b'yes: I heard "is anybody there?"\n'


async def test_a_snapshot_of_a_room_disturbs_nobody(image_directory: Path, room: bytes) -> None:
    async with live_world(image_directory, None, room) as world, world.talker() as bus, world.talker() as other:
        await bus.ask("launch", instance=ONE, module=digest(room))
        alice, bob = await enters(bus, "alice"), await enters(other, "bob")
        await talks(alice, bob, "alice", "before")
        taken = await bus.ask("snapshot", instance=ONE)
        await talks(alice, bob, "alice", "after")
        await bus.ask("restore", snapshot=taken["snapshot"], instance=TWO)
        carol = await enters(bus, "carol", TWO)
        await talks(carol, await enters(other, "dave", TWO), "carol", "it is another room")
        assert b"another room" not in alice.data + bob.data


async def test_a_stored_room_and_its_people_outlive_the_host(
    image_directory: Path, tmp_path: Path, room: bytes
) -> None:
    async with live_world(image_directory, tmp_path, room) as world, world.talker() as bus, world.talker() as other:
        await bus.ask("launch", instance=ONE, module=digest(room))
        alice, bob = await enters(bus, "alice"), await enters(other, "bob")
        await talks(alice, bob, "alice", "before")
        await bus.ask("suspend", instance=ONE)
    async with live_world(image_directory, tmp_path, room) as world, world.talker() as bus, world.talker() as other:
        alice = await bus.attach(alice).until(lambda each: each.accepted)
        bob = await other.attach(bob).until(lambda each: each.accepted)
        await talks(bob, alice, "bob", "after")
        await talks(alice, bob, "alice", "after all")
        assert bob.data.count(b"<alice> before\n") == 1


async def test_who_leaves_a_room_that_is_stored_is_missed_when_it_goes_on(image_directory: Path, room: bytes) -> None:
    async with live_world(image_directory, None, room) as world, world.talker() as bus, world.talker() as other:
        await bus.ask("launch", instance=ONE, module=digest(room), policy={"wake": "never"})
        alice, bob = await enters(bus, "alice"), await enters(other, "bob")
        await talks(alice, bob, "alice", "before")
        await bus.ask("suspend", instance=ONE)
        bob.end()
        bob.stop()
        await other.ask("usage")
        assert (await bus.ask("status", instance=ONE))["state"] == "SUSPENDED"
        await bus.ask("resume", instance=ONE)
        await sees(alice, "- bob")


# A room tells its group, which is called as all rooms' is, whatever it hears.


async def runs_again(bus: Talker, instance: bytes = ONE) -> dict[str, Any]:
    """It has a process again."""
    while not (status := await bus.ask("status", instance=instance))["lives"]:
        continue
    return status


@asynccontextmanager
async def stored_room(directory: Path, room: bytes, wake: str, data: Path | None = None) -> AsyncIterator[BusWorld]:
    async with live_world(directory, data, room) as world:
        async with world.talker() as bus:
            await bus.ask("launch", instance=ONE, module=digest(room), policy={"wake": wake})
            await enters(bus, "alice")
            await bus.ask("suspend", instance=ONE)
        yield world


async def says_something(bus: Talker, room: bytes) -> None:
    """In another room of the same group."""
    await bus.ask("launch", instance=TWO, module=digest(room))
    bob = await enters(bus, "bob", TWO)
    await talks(bob, bob, "bob", "is anybody there?")


async def folds(world: BusWorld) -> None:
    lives = world.host.parts.lives
    while not world.host.parts.registry.folded(by_key(public_key(ALICE), "alice").account):
        lives.folding.look()
        await trio.lowlevel.checkpoint()


async def test_a_stored_program_is_woken_by_its_peers_if_its_policy_says_so(image_directory: Path, room: bytes) -> None:
    async with stored_room(image_directory, room, "any") as world, world.talker() as bus:
        await says_something(bus, room)
        assert (await runs_again(bus))["state"] == "RUNNING"


async def test_others_are_not_woken_by_their_peers(image_directory: Path, room: bytes) -> None:
    async with stored_room(image_directory, room, "io") as world, world.talker() as bus:
        await says_something(bus, room)
        assert (await bus.ask("status", instance=ONE))["depth"] == "stored"


async def test_a_policy_that_is_changed_while_it_rests_holds_after_a_restart_of_the_host_too(
    image_directory: Path, tmp_path: Path, room: bytes
) -> None:
    async with stored_room(image_directory, room, "never", tmp_path) as world, world.talker() as bus:
        await bus.ask("policy", instance=ONE, policy={"wake": "any"})
        assert world.host.parts.lives.peers._asleep
    async with live_world(image_directory, tmp_path, room) as world, world.talker() as bus:
        await says_something(bus, room)
        await runs_again(bus)


async def test_one_that_peers_may_wake_no_longer_sleeps_on(image_directory: Path, room: bytes) -> None:
    async with stored_room(image_directory, room, "any") as world, world.talker() as bus:
        await bus.ask("policy", instance=ONE, policy={"wake": "io"})
        assert world.host.parts.lives.peers._asleep == {}
        await says_something(bus, room)
        assert (await bus.ask("status", instance=ONE))["depth"] == "stored"


async def test_one_that_is_a_line_in_the_host_s_memory_is_woken_too(image_directory: Path, room: bytes) -> None:
    async with stored_room(image_directory, room, "any") as world, world.talker() as bus:
        await folds(world)
        await says_something(bus, room)
        await runs_again(bus)


async def test_also_by_the_peers_that_it_has_after_a_restart_of_the_host(
    image_directory: Path, tmp_path: Path, room: bytes
) -> None:
    async with stored_room(image_directory, room, "any", tmp_path):
        pass
    async with live_world(image_directory, tmp_path, room) as world, world.talker() as bus:
        await says_something(bus, room)
        await runs_again(bus)


async def test_one_that_is_killed_while_it_is_stored_sleeps_no_longer(image_directory: Path, room: bytes) -> None:
    async with stored_room(image_directory, room, "any") as world, world.talker() as bus:
        assert (await bus.ask("kill", instance=ONE))["state"] == "KILLED"
        assert world.host.parts.lives.peers._asleep == {}
        await says_something(bus, room)
