"""The snapshot store on a bad disk (T24): what is damaged is not believed, nothing else suffers, nothing is deleted."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from required import require
from snapshothelpers import (
    ADA,
    GRACE,
    folder,
    memory_of,
    noise,
    opened_snapshots,
    packs,
    record,
    same,
    saved,
    signed,
)
from storehelpers import refusal

from gatebus.failpoints import RECORD, SAVE
from gatebus.faults import GatebusError, StoreBroken
from gatebus.host.quotas import Quotas
from gatebus.host.refusals import Refusal
from gatebus.snapshots.savedwords import Change

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gatebus.snapshots.savedwords import Saved
    from gatebus.snapshots.snapshotstore import SnapshotStore

__all__ = ["folder"]  # a fixture
FULL = ("disk-full", "The host's disk is full and nothing was changed. Its owner must make room.")
DATABASE = "snapshots/snapshots.sqlite"


def text_memory() -> Saved:
    memory = memory_of(4, 3)
    memory.content[0:90_000] = (b"many words " * 9_000)[:90_000]
    return saved(memory, noise(3_000))


async def filled(folder: Path) -> dict[bytes, Saved]:
    """Two that share chunks, and one of somebody else; two records."""
    first, second, third = text_memory(), saved(memory_of(4, 2, 3), taken=2), saved(memory_of(3, 2), instance=3)
    async with opened_snapshots(folder) as store:
        one = await store.save(first, account=ADA, change=Change(record(1, "stored"), 0))
        two = await store.save(second, account=ADA, base=one.id)
        other = await store.save(third, account=GRACE, change=Change(record(3, "stored", GRACE), 0))
        return {one.id: first, two.id: second, other.id: third}


async def readable(store: SnapshotStore, there: dict[bytes, Saved]) -> set[bytes]:
    """Ids of what comes back as it was; the others are refused in words that name no path."""
    whole: set[bytes] = set()
    told: list[str] = []
    for name, wanted in there.items():
        try:
            assert same(await store.load(name), wanted), "something else came back"
            whole.add(name)
        except StoreBroken as fault:
            told.append(fault.text)
    assert not [text for text in told if "/" in text or "stored snapshot" not in text]
    return whole


async def test_a_flipped_bit_in_a_file_of_chunks_is_seen_and_hurts_only_what_it_is_in(folder: Path) -> None:
    there = await filled(folder)
    async with opened_snapshots(folder) as store:
        for file in packs(folder):
            good, hurt = file.read_bytes(), set()
            used = [name for name in there if file.name in await files_of(store, name)]
            for at in [
                *range(160),
                *range(160, len(good), max(1, len(good) // 120)),
                *range(len(good) - 300, len(good), 7),
            ]:
                damaged = bytearray(good)
                damaged[at] ^= 1 << at % 8
                file.write_bytes(damaged)
                lost = there.keys() - await readable(store, there)
                assert lost <= set(used), f"byte {at} of another file"
                hurt.add(bool(lost))
                assert file.read_bytes() == damaged, "nothing is cleaned up on doubt"
            file.write_bytes(good)
            assert hurt == {True}, "every bit of a file is under a digest"
        assert await readable(store, there) == there.keys()


async def files_of(store: SnapshotStore, name: bytes) -> set[str]:
    stored = await store.disk.record(store.disk.database.snapshot, name)
    assert stored is not None
    return {each.hex() for each in stored.packs}


async def test_a_file_that_is_cut_or_gone_is_named_and_the_others_are_whole(folder: Path) -> None:
    there = await filled(folder)
    async with opened_snapshots(folder) as store:
        for file in packs(folder):
            good = file.read_bytes()
            for size in (0, 100, 160, len(good) // 2, len(good) - 1):
                file.write_bytes(good[:size])
                assert 1 <= len(await readable(store, there)) < 3
            file.write_bytes(good + b"x")
            assert 1 <= len(await readable(store, there)) < 3
            file.unlink()
            lost = [name for name in there if file.name in await files_of(store, name)]
            with pytest.raises(StoreBroken, match="A file of this snapshot is missing"):
                await store.load(lost[0])
            file.write_bytes(good)


async def test_a_file_in_the_place_of_another_is_not_believed(folder: Path) -> None:
    there = await filled(folder)
    async with opened_snapshots(folder) as store:
        first, second, *_ = packs(folder)
        one, two = first.read_bytes(), second.read_bytes()
        first.write_bytes(two)
        second.write_bytes(one)
        assert len(await readable(store, there)) <= 1


async def test_records_with_a_flipped_bit_are_seen_or_harmless(folder: Path) -> None:
    there = await filled(folder)
    good = (folder / DATABASE).read_bytes()
    assert not (folder / f"{DATABASE}-wal").exists(), "closing wrote everything into the file"
    async with opened_snapshots(folder) as store:
        expected = await store.records.list(), await store.list(ADA), await store.list(GRACE)
    used, seen = [at for at in range(len(good)) if good[at]], list[str]()
    for at in used[:: max(1, len(used) // 100)]:
        damaged = bytearray(good)
        damaged[at] ^= 1 << at % 8
        for name in ("-wal", "-shm"):
            (folder / f"{DATABASE}{name}").unlink(missing_ok=True)
        (folder / DATABASE).write_bytes(damaged)
        try:
            async with opened_snapshots(folder) as store:
                assert (await store.records.list(), await store.list(ADA), await store.list(GRACE)) == expected
                assert await readable(store, there) == there.keys()
        except StoreBroken as fault:
            seen.append(fault.text)
    assert len(seen) > 30
    assert not [text for text in seen if str(folder) in text]
    assert len(packs(folder)) == 3


class FullAt:
    """The disk takes nothing more at this point."""

    def __init__(self) -> None:
        self.name = ""

    def reached(self, name: str) -> None:
        if name == self.name:
            raise OSError(errno.ENOSPC, "no space left on device")


async def test_a_disk_that_is_full_at_any_write_of_a_file_is_told_and_nothing_is_lost(folder: Path) -> None:
    quotas, points = Quotas(), FullAt()
    async with opened_snapshots(folder, quotas, signed(points)) as store:
        kept = await store.save(saved(), account=ADA)
        before = packs(folder), quotas.used(ADA)
        for points.name in SAVE[1 : SAVE.index("save-committing")]:
            assert await refusal(store.save(saved(memory_of(9, 3), taken=2), account=ADA, base=kept.id)) == FULL
            assert (packs(folder), quotas.used(ADA)) == before, points.name
        points.name = ""
        again = await store.save(saved(memory_of(9, 3), taken=2), account=ADA, base=kept.id)
        assert {each.id for each in await store.list(ADA)} == {kept.id, again.id}
        assert same(await store.load(kept.id), saved())


async def test_records_on_a_full_disk_are_told_and_the_store_goes_on_when_there_is_room(folder: Path) -> None:
    quotas = Quotas()
    async with opened_snapshots(folder, quotas) as store:
        kept = await store.save(saved(), account=ADA)
        database = store.disk.database._database
        database.execute("PRAGMA max_page_count=1")
        long, codes = {"tags": ["x" * 3_000]}, set()
        for taken in range(2, 12):  # until what the file has of empty pages is used up
            try:
                await store.save(saved(taken=taken, **long), account=ADA, change=Change(record(taken, "stored"), 0))
            except Refusal as refused:
                codes.add(refused.code)
        assert codes == {"disk-full"}
        there = await store.list(ADA)
        assert len(packs(folder)) == len(there), "what was refused left nothing"
        assert len(await store.records.list()) == len(there) - 1, "a record is there with its snapshot, or neither"
        assert same(await store.load(kept.id), saved())
        database.execute("PRAGMA max_page_count=1000000")
        await store.save(saved(taken=99), account=ADA)


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


async def test_a_real_disk_that_fills_up_keeps_all_that_was_answered(tmp_path: Path) -> None:
    require(os.geteuid() == 0 and shutil.which("mount"), "a small disk needs root")
    with small_disk(tmp_path / "disk") as place:
        kept: dict[bytes, Saved] = {}
        async with opened_snapshots(place) as store:
            with suppress(GatebusError):
                for turn in range(40):
                    wanted = saved(memory_of(3, 1, seed=turn), taken=turn)
                    kept[(await store.save(wanted, account=ADA)).id] = wanted
            assert 3 < len(kept) < 40
            assert await readable(store, kept) == kept.keys()
        async with opened_snapshots(place) as store:
            assert await readable(store, kept) == kept.keys()
            for name in [*kept][:3]:
                await store.drop(ADA, name)
            last = await store.save(saved(taken=99), account=ADA)
            assert same(await store.load(last.id), saved(taken=99))


@pytest.mark.parametrize("point", [*SAVE, *RECORD])
async def test_a_disk_that_fails_anywhere_leaves_all_or_nothing(folder: Path, point: str) -> None:
    class Fails:
        def reached(self, name: str) -> None:
            if name == point:
                raise StoreBroken("The disk failed.")

    async with opened_snapshots(folder, None, signed(Fails())) as store:
        change = Change(record(1, "stored"), 0)
        work = store.save(saved(), account=ADA, change=change) if point in SAVE else store.records.put(record(2), 0)
        with pytest.raises(StoreBroken, match=r"The disk failed\."):
            await work
    async with opened_snapshots(folder) as store:
        lines, records = await store.list(ADA), await store.records.list()
        assert len(lines) == sum(each.snapshot is not None for each in records)
        for line in lines:
            assert same(await store.load(line.id), saved())
