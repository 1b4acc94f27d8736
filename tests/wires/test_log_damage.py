"""Logs of both databases as a host that was killed leaves them, and every bit class of them flipped (T24): what is
read afterwards is what was answered, an end of it that is missing as after a power cut, or nothing, and that is said.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from snapshothelpers import ADA, GRACE, folder, memory_of, opened_snapshots, record, same, saved
from storehelpers import ADA as OWNER
from storehelpers import WASM, opened, put, sha

from gatebus.faults import StoreBroken
from gatebus.snapshots.savedwords import Change

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gatebus.snapshots.savedwords import Saved

__all__ = ["folder"]  # a fixture
FRAME = 24 + 4_096  # of SQLite's log: its head, a page; the file begins with a head of 32


def flipped(good: bytes) -> Iterator[bytes]:
    """A bit of every field of the file's head, of frames' heads and of pages."""
    frames = range(32, len(good), FRAME)
    places = [*range(0, 32, 3)]
    for at in frames[:: max(1, len(frames) // 6)]:
        places += [*range(at, at + 24, 5), at + 24, at + 24 + 100, at + 24 + 2_048, at + FRAME - 1]
    for place in places:
        damaged = bytearray(good)
        damaged[place] ^= 1 << place % 8
        yield bytes(damaged)


def as_killed(live: Path, aside: Path) -> Path:
    """What is on the disk while a host uses it."""
    shutil.copytree(live, aside)
    return aside


async def snapshots_of(place: Path, wanted: dict[bytes, Saved]) -> set[bytes]:
    """Ids; each is what was saved."""
    async with opened_snapshots(place) as store:
        lines = [line for account in (ADA, GRACE) for line in await store.list(account)]
        pointed = {each.snapshot for each in await store.records.list()}
        assert pointed <= {line.id for line in lines}, "a record is there with its snapshot"
        for line in lines:
            assert same(await store.load(line.id), wanted[line.id])
        return {line.id for line in lines}


async def test_a_log_of_snapshots_with_a_flipped_bit_is_believed_up_to_there(folder: Path) -> None:
    wanted: dict[bytes, Saved] = {}
    order: list[bytes] = []
    async with opened_snapshots(folder / "live") as store:
        for number in range(1, 5):
            one = saved(memory_of(3, 1, seed=number), instance=number, taken=number)
            kept = await store.save(one, account=ADA, change=Change(record(number, "stored"), 0))
            wanted[kept.id] = one
            order.append(kept.id)
        killed = as_killed(folder / "live", folder / "killed")
    log = killed / "snapshots" / "snapshots.sqlite-wal"
    outcomes: set[str] = set()
    for damaged in flipped(log.read_bytes()):
        place = as_killed(killed, folder / "damaged")
        (place / "snapshots" / log.name).write_bytes(damaged)
        (place / "snapshots" / "snapshots.sqlite-shm").unlink(missing_ok=True)
        try:
            found = await snapshots_of(place, wanted)
            assert found == set(order[: len(found)]), "the end is missing, and nothing out of the middle"
            outcomes.add("whole" if len(found) == len(order) else "shorter")
        except StoreBroken:
            outcomes.add("told")
        packs = {each.name for each in (place / "snapshots" / "packs").iterdir()}
        assert packs == {each.name for each in (killed / "snapshots" / "packs").iterdir()}, "nothing is deleted"
        shutil.rmtree(place)
    assert "shorter" in outcomes


async def test_a_log_of_modules_with_a_flipped_bit_is_believed_up_to_there(folder: Path) -> None:
    async with opened(folder / "live") as store:
        for number in range(4):
            await put(store, WASM + bytes([number]))
            await store.pin(sha(WASM + bytes([number])), OWNER, [f"tag {number}"])
        expected = {(each.module, each.holding.tags) for each in await store.modules(OWNER)}
        killed = as_killed(folder / "live", folder / "killed")
    log, found = killed / "records.sqlite-wal", set[int]()
    for damaged in flipped(log.read_bytes()):
        place = as_killed(killed, folder / "damaged")
        (place / log.name).write_bytes(damaged)
        (place / "records.sqlite-shm").unlink(missing_ok=True)
        with suppress(StoreBroken):
            async with opened(place) as store:
                there = {(each.module, each.holding.tags) for each in await store.modules(OWNER)}
            assert there <= expected | {(module, ()) for module, _ in expected}, "as it was, before its pin perhaps"
            found.add(len(there))
        shutil.rmtree(place)
    assert len(found) > 1


@pytest.mark.parametrize("cut", [0, 16, 32, 40, 5_000, -1])
async def test_a_log_that_was_cut_is_believed_up_to_there(cut: int, folder: Path) -> None:
    async with opened_snapshots(folder / "live") as store:
        one = saved(taken=1)
        kept = await store.save(one, account=ADA)
        killed = as_killed(folder / "live", folder / "killed")
    log = killed / "snapshots" / "snapshots.sqlite-wal"
    log.write_bytes(log.read_bytes()[:cut])
    (killed / "snapshots" / "snapshots.sqlite-shm").unlink(missing_ok=True)
    assert await snapshots_of(killed, {kept.id: one}) <= {kept.id}
