"""Programs that somebody has parked, and a host that crashes: they stand still afterwards, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import cbor2
import pytest
import trio
from liveworld import live_world
from test_live_instances import ONE, launch
from test_restarts import until

from gatebus.host.refusals import disk_full
from gatebus.snapshots.instancerecords import InstanceRecords

if TYPE_CHECKING:
    from pathlib import Path

    from busworld import BusWorld, Talker

    from gatebus.snapshots.savedwords import Record

pytestmark = pytest.mark.usefixtures("native")


async def parked(bus: Talker, world: BusWorld) -> None:
    """With a snapshot to go back to; and that is on record."""
    await launch(bus)
    await bus.ask("snapshot", instance=ONE)
    assert (await bus.ask("suspend", instance=ONE, depth="parked"))["depth"] == "parked"
    await written(world, parked=True)


async def written(world: BusWorld, *, parked: bool) -> None:
    keeping = world.host.parts.lives.keeping
    await keeping.write_due()
    record = await keeping.store.records.get(ONE)
    assert record is not None
    assert cbor2.loads(record.about).get("parked", False) is parked


async def test_one_that_was_parked_is_suspended_after_a_crash_and_runs_when_it_is_told_to(
    image_directory: Path, tmp_path: Path
) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await parked(bus, world)
    for _ in range(2):
        async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
            told = await bus.ask("status", instance=ONE)
            assert (told["state"], told["depth"]) == ("SUSPENDED", "stored")
            assert told["recovered"] > 0, "what it had done since is gone"
            assert "due" not in told
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        assert (await bus.ask("resume", instance=ONE))["state"] == "RUNNING"
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await until(bus, ONE, state="RUNNING")


async def test_one_that_was_parked_and_resumed_runs_after_a_crash_at_once(
    image_directory: Path, tmp_path: Path
) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await parked(bus, world)
        await bus.ask("resume", instance=ONE)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await until(bus, ONE, state="RUNNING")


async def test_one_that_was_copied_while_it_was_parked_is_suspended_after_a_crash(
    image_directory: Path, tmp_path: Path
) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await parked(bus, world)
        await bus.ask("snapshot", instance=ONE)
        await until(bus, ONE, depth="parked")
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        assert (await bus.ask("status", instance=ONE))["state"] == "SUSPENDED"


async def test_one_that_was_parked_goes_on_though_that_cannot_be_written_down(
    image_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await parked(bus, world)
        troubles: list[str] = []
        world.host.parts.lives.keeping.on_trouble = lambda trouble: troubles.append(trouble.code)
        with monkeypatch.context() as patch:
            patch.setattr(InstanceRecords, "put", full)
            assert (await bus.ask("resume", instance=ONE))["state"] == "RUNNING"
            assert troubles == ["disk-full"]
        await written(world, parked=False)


async def test_one_that_goes_on_while_that_it_stands_still_is_written_down_runs_after_a_crash(
    image_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await launch(bus)
        await bus.ask("snapshot", instance=ONE)
        keeping, begun, may_end = world.host.parts.lives.keeping, trio.Event(), trio.Event()
        put = InstanceRecords.put

        async def slow(records: InstanceRecords, record: Record, seen: int) -> Record:
            begun.set()
            await may_end.wait()
            return await put(records, record, seen)

        async with trio.open_nursery() as nursery:
            with monkeypatch.context() as patch:
                patch.setattr(InstanceRecords, "put", slow)
                await bus.ask("suspend", instance=ONE, depth="parked")
                nursery.start_soon(keeping.write_due)
                await begun.wait()
                resumed = bus.open("resume", {"instance": ONE})
                await bus.ask("usage")  # it has come there
            may_end.set()
            assert (await resumed.result())["state"] == "RUNNING"
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await until(bus, ONE, state="RUNNING")


async def full(*_given: object) -> NoReturn:
    raise disk_full()
