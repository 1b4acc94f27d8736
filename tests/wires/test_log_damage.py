"""Logs of both databases as a host that was killed leaves them, and every bit class of them flipped (T24): of snapshots
what is read afterwards is what was answered, or it is said that its end is lost; and then what is there is on record
again. Of modules an end may be missing as after a power cut.
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
from gatebus.snapshots.checking import check_host
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


LOST = (
    "The end of the records of snapshots is lost: what was last stored or killed is not on record any more. "
    "Nothing was changed: `gatebus fsck --repair` goes on from what is there."
)


async def test_a_log_of_snapshots_with_a_flipped_bit_is_noticed_and_every_snapshot_comes_again(folder: Path) -> None:
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
        with pytest.raises(StoreBroken) as told:
            await snapshots_of(place, wanted)
        outcomes.add(told.value.text)
        assert not check_host(place, repair=True).ok
        assert await snapshots_of(place, wanted) == set(order)
        packs = {each.name for each in (place / "snapshots" / "packs").iterdir()}
        assert packs == {each.name for each in (killed / "snapshots" / "packs").iterdir()}, "nothing is put aside"
        shutil.rmtree(place)
    assert LOST in outcomes


async def test_a_count_that_is_damaged_or_behind_is_no_reason_not_to_start(folder: Path) -> None:
    """After a power cut it may say less than there was."""
    async with opened_snapshots(folder) as store:
        one = saved(taken=1)
        kept = await store.save(one, account=ADA)
        count = folder / "snapshots" / "snapshots.sqlite.count"
        early = count.read_bytes()
        await store.records.put(record(1, "stored", snapshot=kept.id), 0)
    good = count.read_bytes()
    for each in (early, b"", good[:9], *(bytes([*good[:at], good[at] ^ 1, *good[at + 1 :]]) for at in range(16))):
        count.write_bytes(each)
        assert await snapshots_of(folder, {kept.id: one}) == {kept.id}


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
async def test_a_log_that_was_cut_is_noticed(cut: int, folder: Path) -> None:
    async with opened_snapshots(folder / "live") as store:
        one = saved(taken=1)
        kept = await store.save(one, account=ADA)
        killed = as_killed(folder / "live", folder / "killed")
    log = killed / "snapshots" / "snapshots.sqlite-wal"
    log.write_bytes(log.read_bytes()[:cut])
    (killed / "snapshots" / "snapshots.sqlite-shm").unlink(missing_ok=True)
    with pytest.raises(StoreBroken):
        await snapshots_of(killed, {kept.id: one})
    check_host(killed, repair=True)
    assert await snapshots_of(killed, {kept.id: one}) == {kept.id}
