"""A stored program that goes on: what it goes on from is read while the disk takes down that it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from liveworld import chained, live_world
from test_live_instances import ONE, ended, launch
from waiting import until

from gatebus.host.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from busworld import BusWorld

    from gatebus.host.instances import Instance
    from gatebus.host.lives.remains import Leftover
    from gatebus.host.quotas import Amounts

pytestmark = pytest.mark.usefixtures("native")


def at_hand(world: BusWorld) -> Leftover | None:
    (instance,) = world.host.parts.registry.running()
    return world.host.parts.lives.loading.at_hand(instance)


async def until_read(world: BusWorld) -> None:
    await until(lambda: at_hand(world) is not None)


def recording(world: BusWorld, first: Callable[[], Awaitable[None]]) -> Callable[[Instance], Awaitable[bool]]:
    """Keeping.goes_on, after that."""
    goes_on = world.host.parts.lives.keeping.goes_on

    async def recorded(instance: Instance) -> bool:
        await first()
        return await goes_on(instance)

    return recorded


async def test_it_is_read_before_the_record_is_there_and_not_read_again(
    image_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        lives = world.host.parts.lives
        stream = await launch(bus)
        await bus.ask("suspend", instance=ONE)
        fetched: list[bytes] = []
        fetch = lives.loading.fetch

        async def noting(snapshot: bytes, account: str, covered: int = 0) -> Leftover:
            fetched.append(snapshot)
            return await fetch(snapshot, account, covered)

        monkeypatch.setattr(lives.loading, "fetch", noting)
        monkeypatch.setattr(lives.keeping, "goes_on", recording(world, lambda: until_read(world)))
        await bus.ask("resume", instance=ONE)
        assert len(fetched) == 1
        assert at_hand(world) is None
        stream.write(b" world")
        assert await ended(stream) == chained(b"hello world")


async def test_a_record_that_cannot_be_written_leaves_nothing_of_what_was_read(
    image_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full() -> None:
        await until_read(world)
        raise Refusal("disk-full", "The host's disk is full.")

    async with live_world(image_directory) as world, world.talker() as bus:
        lives = world.host.parts.lives
        stream = await launch(bus)
        await bus.ask("suspend", instance=ONE)
        before = world.host.parts.quotas.total
        with monkeypatch.context() as patch:
            patch.setattr(lives.keeping, "goes_on", recording(world, full))
            assert (await bus.open("resume", {"instance": ONE}).error()).code == "disk-full"
        assert at_hand(world) is None
        assert world.host.parts.quotas.total == before
        assert (await bus.ask("status", instance=ONE))["state"] == "SUSPENDED"
        await bus.ask("resume", instance=ONE)
        stream.write(b" world")
        assert await ended(stream) == chained(b"hello world")


async def test_what_cannot_be_read_ahead_is_told_by_its_own_reason(
    image_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object) -> Leftover:
        raise Refusal("conflict", "A file of stored snapshots is damaged.")

    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        await bus.ask("suspend", instance=ONE)
        with monkeypatch.context() as patch:
            patch.setattr(world.host.parts.lives.loading, "fetch", refused)
            error = await bus.open("resume", {"instance": ONE}).error()
        assert (error.code, error.text) == ("conflict", "A file of stored snapshots is damaged.")
        assert (await bus.ask("status", instance=ONE))["state"] == "SUSPENDED"
        assert (await bus.ask("resume", instance=ONE))["state"] == "RUNNING"


async def test_what_was_read_counts_to_its_account_until_its_process_pays_for_it(
    image_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Amounts] = []

    async def look() -> None:
        await until_read(world)
        seen.append(world.host.parts.quotas.total)

    async with live_world(image_directory) as world, world.talker() as bus:
        lives = world.host.parts.lives
        monkeypatch.setattr("gatebus.host.lives.heldsizes.HELD_FREE", 0)
        await launch(bus)
        running = world.host.parts.quotas.total
        await bus.ask("suspend", instance=ONE)
        rests = world.host.parts.quotas.total
        monkeypatch.setattr(lives.keeping, "goes_on", recording(world, look))
        await bus.ask("resume", instance=ONE)
        assert rests.memory < seen[0].memory < running.memory
        assert world.host.parts.quotas.total.memory == running.memory


async def test_one_that_runs_and_ends_before_its_resume_is_answered_has_run(
    image_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        lives = world.host.parts.lives
        begin = lives._begin

        async def begun_and_over(instance: Instance, *, recorded: bool) -> None:
            await begin(instance, recorded=recorded)
            await until(lambda: instance.ended_at is not None)

        monkeypatch.setattr(lives, "_begin", begun_and_over)
        stream = await launch(bus, policy={"wake": "never"})
        await bus.ask("suspend", instance=ONE)
        stream.end()
        told = await bus.ask("resume", instance=ONE)
        assert (told["state"], told["lives"]) == ("HALTED", 1)
        assert await ended(stream) == chained(b"hello")
        assert (await bus.open("resume", {"instance": ONE}).error()).text == "The instance has ended: it cannot go on."
