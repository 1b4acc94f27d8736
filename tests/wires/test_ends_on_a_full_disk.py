"""A disk that is full when an instance has ended: that is on record all the same, from room that was kept for it; and a
store that finds none says so.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from required import require
from snapshothelpers import ADA, folder, memory_of, opened_snapshots, record, saved
from test_full_disk import Room, fill, small_store
from test_snapshot_damage import FULL, small_disk

from gatebus.faults import GatebusError
from gatebus.host.refusals import Refusal
from gatebus.snapshots.recordguard import Reserve
from gatebus.snapshots.savedwords import Change
from gatebus.snapshots.snapshotbounds import RESERVE

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["folder"]  # a fixture
MANY = 40
"""Instances whose ends are written down: more than the reserve alone has room for."""


async def test_on_a_disk_without_a_byte_of_room_ends_are_on_record_when_that_is_answered(tmp_path: Path) -> None:
    require(os.geteuid() == 0 and shutil.which("mount"), "a small disk needs root")
    with small_disk(tmp_path / "disk") as place:
        async with opened_snapshots(place) as store:
            kept = await store.save(saved(memory_of(2)), account=ADA)
            for number in range(MANY):
                await store.records.put(record(number, snapshot=kept.id), 0)
            fill(place / "filler")
            with pytest.raises(Refusal) as refused:
                await store.save(saved(memory_of(4, 1, 2, seed=9), taken=5), account=ADA, change=Change(record(99), 0))
            assert refused.value.code == "disk-full"
            for number in range(MANY):
                await store.records.delete(record(number).instance, 1)
        (place / "filler").unlink()
        async with opened_snapshots(place) as store:
            assert await store.records.list() == []
            assert (place / "snapshots" / "reserve").stat().st_size == RESERVE, "for the next time"


async def test_without_any_room_the_end_is_refused_and_stays_undone(folder: Path) -> None:
    room = Room()
    async with small_store(folder, room) as store:
        await store.records.put(record(1), 0)
        room.left = 0
        with pytest.raises(Refusal) as refused:
            await store.records.delete(record(1).instance, 1)
        assert (refused.value.code, refused.value.text) == FULL
        assert room.left == -3, "at once, in a log from its beginning, in the room that was kept"
        room.left = 1 << 30
        assert [each.instance for each in await store.records.list()] == [record(1).instance]


async def test_room_in_the_log_from_its_beginning_is_enough(folder: Path) -> None:
    room = Room(lasting=False)
    async with small_store(folder, room) as store:
        await store.records.put(record(1), 0)
        room.left = 0
        await store.records.delete(record(1).instance, 1)
        assert room.found
        assert await store.records.list() == []


async def test_what_somebody_changed_meanwhile_is_no_question_of_room(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        await store.records.put(record(1), 0)
        with pytest.raises(GatebusError, match="The instance was changed meanwhile"):
            await store.records.delete(record(1).instance, 7)
        assert (folder / "snapshots" / "reserve").stat().st_size == RESERVE


def test_a_reserve_that_a_crash_has_cut_is_filled_again(tmp_path: Path) -> None:
    reserve, path = Reserve(tmp_path / "reserve"), tmp_path / "reserve"
    for size in (0, 1, RESERVE - 1):
        path.write_bytes(bytes(size))
        reserve.fill()
        assert path.stat().st_size == RESERVE
    reserve.give()
    assert path.stat().st_size == 0
    path.unlink()
    with suppress(FileNotFoundError):
        reserve.give()
    reserve.fill()
    assert path.stat().st_size == RESERVE
