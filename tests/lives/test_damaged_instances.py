"""A stored program whose files are damaged, and one that could not go on: its owner, who is elsewhere, is told."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from snapshothelpers import packs
from test_folded_instances import folds
from test_policies import ONE, TWO, launch, world_of_idlers

from gatebus.host.hostconfig import HostConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from busworld import BusWorld, Talker

LAST = "What is stored of this instance is damaged on the host's disk. "
FSCK = " The host's owner runs `gatebus fsck`."
SNAPSHOT = "This snapshot is damaged on the host's disk. Another one of its instance may be whole: see `snapshots`."


@asynccontextmanager
async def damaged(folder: Path, snapshots: int) -> AsyncIterator[tuple[BusWorld, Talker, bytes]]:
    """So many are whole, the last one, from which it goes on, is not."""
    async with world_of_idlers(HostConfig(data=str(folder))) as (world, bus):
        await launch(bus)
        for _ in range(snapshots):
            await bus.ask("snapshot", instance=ONE)
        before = {*packs(folder)}
        stored = await bus.ask("suspend", instance=ONE)
        for path in {*packs(folder)} - before:
            path.write_bytes(path.read_bytes()[:-40] + bytes(40))
        yield world, bus, stored["snapshot"]


@pytest.mark.parametrize(
    ("snapshots", "there"),
    [
        (0, "Nothing else of it is stored."),
        (1, "Another snapshot of it may be whole: `snapshots`, then `restore`."),
        (2, "2 other snapshots of it may be whole: `snapshots`, then `restore`."),
    ],
)
async def test_who_cannot_resume_it_hears_what_else_of_it_is_there(tmp_path: Path, snapshots: int, there: str) -> None:
    async with damaged(tmp_path, snapshots) as (world, bus, _):
        assert "failure" not in await bus.ask("status", instance=ONE), "nobody knows yet"
        error = await bus.open("resume", {"instance": ONE}).error()
        assert (error.code, error.text) == ("bad-state", f"{LAST}{there}{FSCK}")
        told = await bus.ask("status", instance=ONE)
        assert (told["state"], told["failure"]) == ("SUSPENDED", {"code": error.code, "text": error.text})
        await folds(world)
        assert (await bus.ask("status", instance=ONE)) == told


async def test_who_wants_a_copy_of_it_makes_known_that_it_is_damaged(tmp_path: Path) -> None:
    async with damaged(tmp_path, 0) as (_world, bus, _):
        error = await bus.open("clone", {"instance": ONE, "instances": [TWO]}).error()
        assert (await bus.ask("status", instance=ONE))["failure"] == {"code": "bad-state", "text": error.text}


async def test_the_snapshot_before_is_whole_and_the_damaged_one_is_told_as_that(tmp_path: Path) -> None:
    async with damaged(tmp_path, 1) as (_world, bus, last):
        for what in ("show", "export", "restore"):
            error = await bus.open(what, {"snapshot": last} | ({"instance": TWO} if what == "restore" else {})).error()
            assert (error.code, error.text) == ("bad-state", SNAPSHOT + FSCK)
        others = (await bus.ask("snapshots", instance=ONE))["snapshots"]
        (whole,) = [each["snapshot"] for each in others if each["snapshot"] != last]
        assert (await bus.ask("restore", snapshot=whole, instance=TWO))["state"] == "RUNNING"


async def test_what_had_no_room_to_go_on_says_so_until_it_does() -> None:
    async with world_of_idlers() as (world, bus):
        await launch(bus)
        await bus.ask("suspend", instance=ONE)
        world.host.parts.box._backend.fail_starts = 1  # type: ignore[attr-defined]
        error = await bus.open("resume", {"instance": ONE}).error()
        told = await bus.ask("status", instance=ONE)
        assert told["failure"] == {"code": error.code, "text": error.text}
        assert "failure" not in await bus.ask("resume", instance=ONE)
        assert "failure" not in await bus.ask("suspend", instance=ONE)
