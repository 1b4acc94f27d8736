"""What of an instance is on record when its end is told, and what is said when there is nothing left to be forgotten.

Time is simulated: what the host writes a little later (RECORD_SECONDS) it never writes before the test says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest
import trio
import trio.testing
from test_policies import ONE, launch, world_of_idlers

from gatebus.accountbounds import RECORD_SECONDS, REWRITE_SECONDS
from gatebus.faults import GatebusError, StoreBroken
from gatebus.host.refusals import disk_full
from gatebus.snapshots.instancerecords import InstanceRecords
from gatebus.snapshots.snapshotstore import SnapshotStore

if TYPE_CHECKING:
    from busworld import BusWorld, Talker

    from gatebus.snapshots.savedwords import Record


async def on_record(world: BusWorld) -> Record | None:
    return await world.host.parts.lives.keeping.store.records.get(ONE)


async def full(*_given: object, **_more: object) -> NoReturn:
    raise disk_full()


async def test_one_that_can_neither_go_on_nor_be_stored_is_off_the_record_when_its_end_is_told(
    mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a host that crashes just then would run it again."""
    async with world_of_idlers() as (world, bus):
        await launch(bus)
        await bus.ask("snapshot", instance=ONE)
        assert await on_record(world) is not None
        waiting = bus.open("wait", {"instance": ONE})
        monkeypatch.setattr(SnapshotStore, "save", full)
        world.host.parts.box._backend.fail_starts = 1  # type: ignore[attr-defined]
        assert (await bus.open("snapshot", {"instance": ONE}).error()).code == "disk-full"
        assert (await waiting.result())["text"] == disk_full().text
        assert await on_record(world) is None


UNDELETED = (
    "Its end could not be written down (the host's disk is full or fails): "
    "should the host end before it is, it runs again."
)


async def full_for_ends(world: BusWorld, bus: Talker, monkeypatch: pytest.MonkeyPatch, depth: str) -> list[str]:
    """An instance, RUNNING or suspended, and a disk that has no room for its end. What is logged."""
    troubles: list[str] = []
    world.host.parts.lives.keeping.on_trouble = lambda trouble: troubles.append(trouble.code)
    await launch(bus)
    await bus.ask("snapshot", instance=ONE)
    if depth:
        await bus.ask("suspend", instance=ONE, depth=depth)
    monkeypatch.setattr(InstanceRecords, "delete", full)
    return troubles


@pytest.mark.parametrize("depth", ["", "parked", "stored"])
async def test_a_kill_that_cannot_be_written_down_is_refused_and_is_written_when_there_is_room(
    mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, depth: str
) -> None:
    async with world_of_idlers() as (world, bus):
        with monkeypatch.context() as patch:
            troubles = await full_for_ends(world, bus, patch, depth)
            waiting = bus.open("wait", {"instance": ONE})
            for _ in range(2):
                error = await bus.open("kill", {"instance": ONE}).error()
                assert (error.code, error.text) == ("disk-full", f"It was killed. {UNDELETED}")
            assert (await waiting.result())["text"].endswith(f" {UNDELETED}"), "whoever only waits hears of it, too"
            assert (await bus.open("delete", {"instance": ONE}).error()).code == "disk-full"
            for _ in range(3):
                await trio.testing.wait_all_tasks_blocked()
                mock_clock.jump(REWRITE_SECONDS)
            assert await on_record(world) is not None
            assert troubles == ["disk-full"], "told once"
        while await on_record(world) is not None:
            mock_clock.jump(REWRITE_SECONDS)
        assert (await bus.ask("kill", instance=ONE))["state"] == "KILLED"
        assert (await bus.ask("delete", instance=ONE))["state"] == "KILLED"


async def test_whoever_deletes_what_could_not_be_written_down_writes_it_when_there_is_room(
    mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world_of_idlers() as (world, bus):
        with monkeypatch.context() as patch:
            await full_for_ends(world, bus, patch, "stored")
            assert (await bus.open("kill", {"instance": ONE}).error()).code == "disk-full"
        await bus.ask("delete", instance=ONE)
        assert await on_record(world) is None
        assert (await bus.open("status", {"instance": ONE}).error()).code == "not-found"


async def test_one_that_a_fault_of_ours_ends_is_off_the_record_when_that_is_told(
    mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world_of_idlers() as (world, bus):
        await launch(bus)
        await bus.ask("snapshot", instance=ONE)
        waiting = bus.open("wait", {"instance": ONE})
        faults: list[Exception] = []
        world.host.parts.runner.on_problem = faults.append
        monkeypatch.setattr(world.host.parts.runner.loop, "_left", None)
        bus.open("suspend", {"instance": ONE})
        assert (await waiting.result())["text"] == "The host failed while it ran this program. Please report it."
        assert [type(each) for each in faults] == [TypeError]
        assert await on_record(world) is None


async def test_a_snapshot_that_was_dropped_before_it_could_be_forgotten_is_no_trouble(
    mock_clock: trio.testing.MockClock,
) -> None:
    """Whoever has killed an instance may drop its snapshots at once."""
    async with world_of_idlers() as (world, bus):
        keeping, troubles = world.host.parts.lives.keeping, list[GatebusError]()
        keeping.on_trouble = troubles.append
        await launch(bus)
        snapshot = (await bus.ask("snapshot", instance=ONE))["snapshot"]
        await bus.ask("kill", instance=ONE)
        await bus.ask("drop", snapshot=snapshot)
        assert keeping._due, "it is still to be forgotten"
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(RECORD_SECONDS)
        while keeping._due or keeping._busy or keeping._writing.locked():
            await trio.lowlevel.checkpoint()
        assert troubles == []


async def test_a_store_that_cannot_forget_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world_of_idlers() as (world, bus):
        keeping, troubles = world.host.parts.lives.keeping, list[GatebusError]()
        keeping.on_trouble = troubles.append
        await launch(bus)
        (instance,) = world.host.parts.registry.running()
        await keeping.forget(instance, b"s" * 32)
        assert troubles == []

        async def damaged(*_given: object) -> NoReturn:
            raise StoreBroken("A record is damaged.")

        monkeypatch.setattr(SnapshotStore, "line", damaged)
        await keeping.forget(instance, b"s" * 32)
        assert [each.code for each in troubles] == ["store-broken"]
