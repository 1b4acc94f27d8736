"""A program that speaks packets with many clients (the chat room): stopped, stored and gone on with over the bus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from guestfiles import require_guest
from liveworld import digest, live_world
from test_live_instances import ONE, TWO

if TYPE_CHECKING:
    from pathlib import Path

    from busworld import Channel, Talker

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
