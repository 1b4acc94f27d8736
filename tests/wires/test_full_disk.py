"""A disk that is full at any write of the snapshot store: whoever asked is told, nothing is lost, nothing is half done,
and the same is done when there is room again.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from required import require
from snapshothelpers import folder, opened_snapshots, packs, signed
from storemodel import LATE, World, choose, judge, next_serial, observe, perform
from test_snapshot_damage import FULL, small_disk

from gatebus.failpoints import COLLECT, DROP, LOAD
from gatebus.host.refusals import Refusal
from gatebus.snapshots.spool import Spool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from storemodel import Step

    from gatebus.snapshots.snapshotstore import SnapshotStore

__all__ = ["folder"]  # a fixture
BETWEEN = {*LOAD, *DROP, *COLLECT, "save-begun", "save-committing", "save-committed", "record-committing",
           "record-committed"}  # fmt: skip
"""Places at which nothing is written to a file."""
WRITES = {"save": 6, "put": 1, "delete": 1, "drop": 2, "import": 8, "collect": 2}  # at least so many


class Room:
    """For so many writes, and for none behind them; not `lasting`: there is room again right after that."""

    def __init__(self, *, lasting: bool = True) -> None:
        self.left, self.found = 1 << 30, False  # whether somebody was told that there is none
        self._lasting = lasting

    def write(self) -> bool:
        self.left -= 1
        full = self.left < 0 if self._lasting else self.left == -1
        self.found = self.found or full
        return not full

    def reached(self, name: str) -> None:
        if name not in BETWEEN and not self.write():
            raise OSError(errno.ENOSPC, "no space left on device")


class Database:
    """One whose commits take room: as SQLite says it when its log cannot grow."""

    def __init__(self, real: sqlite3.Connection, room: Room) -> None:
        self._real, self._room = real, room

    def execute(self, statement: str, *more: Any) -> sqlite3.Cursor:
        if statement == "COMMIT" and not self._room.write():
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error
        return self._real.execute(statement, *more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@asynccontextmanager
async def small_store(folder: Path, room: Room) -> AsyncIterator[SnapshotStore]:
    async with opened_snapshots(folder, None, signed(room)) as store:
        database = store.disk.database
        database._database = Database(database._database, room)  # type: ignore[assignment]
        yield store


async def history_before(folder: Path, do: str) -> tuple[World, Step]:
    """A store with a past, and a next step of that kind that changes something."""
    dice, world, ids = random.Random(3), World(), dict[int, bytes]()
    async with opened_snapshots(folder) as store:
        while True:
            step = choose(dice, world, next_serial(world))
            if len(world.shots) > 4 and step["do"] == do and world.after(step) != world:
                return world, step
            await perform(store, world, step, ids)
            world = world.after(step)


@pytest.mark.parametrize(("do", "lasting"), [*((do, True) for do in WRITES), ("drop", False), ("collect", False)])
async def test_a_disk_that_is_full_at_any_write_of_a_step_leaves_all_or_nothing(
    folder: Path, do: str, lasting: bool
) -> None:
    before, step = await history_before(folder / "before", do)
    room, refused = Room(lasting=lasting), 0
    for writes in range(30):
        shutil.copytree(folder / "before", place := folder / str(writes))
        async with small_store(place, room) as store:
            ids, _ = await observe(store)
            room.left, room.found = writes, False
            answered = await did(store, before, step, ids)
            room.left, refused = 1 << 30, refused + (not answered)
            if not answered:
                world, ids = await judge(store, before, step if do == "collect" else None)
                await perform(store, world, rest_of(step, world), ids)
            await judge(store, before.after(step), None)
            await store.sweep()
            assert {each.name for each in packs(place)} == await on_record(store), "no file is nobody's"
        if not room.found:
            break
    assert writes >= WRITES[do], "each of its writes was tried"
    assert refused >= writes - (do == "drop"), "only what a drop leaves behind goes later"


async def did(store: SnapshotStore, world: World, step: Step, ids: dict[int, bytes]) -> bool:
    """False: there was no room, and that was said."""
    try:
        await perform(store, world, step, ids)
    except Refusal as refused:
        if (refused.code, refused.text) != FULL:
            raise
        return False
    return True


def rest_of(step: Step, world: World) -> Step:
    """Of a collection that was refused in the middle."""
    return step | {"gone": [each for each in step["gone"] if each in world.shots]} if step["do"] == "collect" else step


async def on_record(store: SnapshotStore) -> set[str]:
    return {each.name.hex() for each in await store.disk.record(store.disk.database.packs)}


async def test_on_a_real_disk_without_a_byte_of_room_nothing_is_lost_by_what_cannot_be_done(tmp_path: Path) -> None:
    require(os.geteuid() == 0 and shutil.which("mount"), "a small disk needs root")
    dice, world, told = random.Random(5), World(), set[str]()
    with small_disk(tmp_path / "disk") as place:
        async with opened_snapshots(place) as store:
            ids, _ = await observe(store)
            for turn in range(60):
                filler = place / "filler"
                if turn >= 12:
                    fill(filler)
                step = choose(dice, world, next_serial(world))
                if await did(store, world, step, ids):
                    world = world.after(step)
                else:
                    told.add(step["do"])
                    world, ids = await judge(store, world, step)
                filler.unlink(missing_ok=True)
            await judge(store, world, None)
            await store.collect(LATE)
    assert {"save", "import"} <= told


def fill(filler: Path) -> None:
    """Until there is no room at all."""
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4_096))


def test_a_spool_on_a_full_disk_says_so_when_it_is_written_and_can_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    full = partial(Path("/dev/full").open, "r+b", buffering=1 << 16)
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: full())
    with Spool() as spool, pytest.raises(OSError, match="No space left"):
        spool.add(b"a few bytes")
