"""Programs with one connection whose client never comes back: the next one gets it, and nothing ends because of him."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from busworld import BOB
from liveworld import chained, live_world
from test_live_instances import ONE, connect, ended, launch
from test_restarts import graceful, recorded, until, went_back

if TYPE_CHECKING:
    from pathlib import Path

    from busworld import BusWorld, Talker

pytestmark = pytest.mark.usefixtures("native")
TAKEN = "This program has one connection (stdin and stdout), and it is taken."


def nobody_came(world: BusWorld) -> None:
    """Long after the last one could have come back."""
    for _ in range(2):
        world.host.parts.registry.sweep(trio.current_time() + 3_600)


async def crashed(image_directory: Path, folder: Path) -> None:
    """It had five bytes when it was stored, and its client eleven back."""
    async with live_world(image_directory, folder) as world, world.talker() as bus:
        stream = await launch(bus)
        await bus.ask("suspend", instance=ONE)
        stream.write(b" world")
        await stream.until(lambda each: len(each.data) == 11)
        await recorded(world, ONE, "running")


async def goes_on(bus: Talker, text: bytes) -> None:
    """From the five bytes, for a client who counts from zero; what nobody has had, he has."""
    stream = await bus.io(ONE).until(lambda each: each.accepted)
    stream.write(text)
    whole = chained(b"hello" + text)
    assert whole.endswith(said := await ended(stream))
    assert len(said) >= len(text)


async def test_whose_client_knows_too_much_is_talked_to_by_the_next_one(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        stream = await launch(bus)
        await bus.ask("suspend", instance=ONE)
        stream.write(b" world")
        await stream.until(lambda each: len(each.data) == 11)
        await recorded(world, ONE, "running")
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await until(bus, ONE, state="RUNNING")
        await went_back(bus, stream)
        await goes_on(bus, b" again")


@pytest.mark.parametrize("attempts", [0, 1])
async def test_one_that_came_back_with_its_host_is_not_ended_by_a_client_who_does_not(
    attempts: int, image_directory: Path, tmp_path: Path
) -> None:
    await crashed(image_directory, tmp_path)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await until(bus, ONE, state="RUNNING")
        for _ in range(attempts):
            nobody_came(world)
        await graceful(world)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await until(bus, ONE, state="RUNNING")
        nobody_came(world)
        await goes_on(bus, b" later")


async def test_one_that_was_launched_is_not_ended_by_a_client_who_does_not_come_back(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        async with world.talker() as lost:
            await launch(lost)
        while (await bus.ask("status", instance=ONE))["clients"].get("attached"):
            await trio.testing.wait_all_tasks_blocked()
        nobody_came(world)
        await goes_on(bus, b" later")


@pytest.mark.parametrize("depth", ["parked", "stored"])
async def test_one_that_is_suspended_goes_on_for_the_next_client(depth: str, image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        async with world.talker() as lost:
            await launch(lost)
            await bus.ask("suspend", instance=ONE, depth=depth)
        await goes_on(bus, b" world")


async def test_one_that_runs_and_whose_client_has_lost_its_link_has_the_next_one_at_once(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        async with world.talker() as lost:
            stream = await launch(lost)
        second = await connect(bus, ONE, b" world")
        assert (await bus.attach(stream).error()).code == "not-found", "it has gone on with somebody else"
        assert chained(b"hello world").endswith(await ended(second))


async def test_bytes_of_the_lost_client_that_the_program_had_not_read_are_read_first(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        async with world.talker() as lost:
            stream = await launch(lost, policy={"wake": "never"})
            await bus.ask("suspend", instance=ONE)
            stream.write(b" before")
            await lost.ask("status", instance=ONE)
        second = await bus.io(ONE).until(lambda each: each.accepted)
        second.write(b" after")
        await bus.ask("resume", instance=ONE)
        assert chained(b"hello before after").endswith(await ended(second))


async def test_who_has_a_link_keeps_it_and_a_stranger_takes_nothing_over(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus, world.talker(BOB) as bob:
        async with world.talker() as lost:
            stream = await launch(lost, open=True)
            assert (await bus.io(ONE).error()).text == TAKEN
        assert (await bob.io(ONE).error()).text == TAKEN
        stream = await bus.attach(stream).until(lambda each: each.accepted)
        assert (await bus.io(ONE).error()).text == TAKEN
        assert await ended(stream) == chained(b"hello")
