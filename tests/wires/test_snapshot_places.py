"""Where snapshots lie, as the store remembers it: what is needed stays, and nothing is believed that has gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from snapshothelpers import ADA, PAGE, folder, memory_of, opened_snapshots, packs, record, same, saved

from gatebus.host.refusals import Refusal
from gatebus.snapshots.savedwords import Change
from gatebus.snapshots.snapshotbounds import AT_ONCE

__all__ = ["folder"]  # a fixture

if TYPE_CHECKING:
    from pathlib import Path


async def test_forgetting_one_snapshot_reads_no_other(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        kept = [await store.save(saved(memory_of(8, 1, seed=seed), instance=seed), account=ADA) for seed in range(1, 9)]
        await store.drop(ADA, kept[0].id)
        asked: list[str] = []
        store.disk.database._database.set_trace_callback(asked.append)
        await store.drop(ADA, kept[1].id)
        store.disk.database._database.set_trace_callback(None)
        reads = [each for each in asked if each.startswith("SELECT * FROM")]
        assert reads
        assert all(" WHERE " in each for each in reads)
        assert len(packs(folder)) == 6


async def test_a_change_that_failed_lets_nothing_go_that_is_needed(folder: Path) -> None:
    memory = memory_of(16, 1, 2, 3)
    async with opened_snapshots(folder) as store:
        first = await store.save(saved(memory), account=ADA)
        await store.drop(ADA, (await store.save(saved(memory_of(4, 1)), account=ADA)).id)
        change = Change(record(2, "stored", snapshot=first.id), 7)
        with pytest.raises(Refusal, match="The instance was changed meanwhile"):
            await store.save(saved(memory, instance=2), account=ADA, base=first.id, change=change)
        second = await store.save(saved(memory, instance=3), account=ADA, base=first.id)
        await store.drop(ADA, first.id)
        assert same(await store.load(second.id), saved(memory, instance=3))


async def test_what_was_dropped_behind_the_store_s_back_is_not_found_and_shares_nothing(folder: Path) -> None:
    memory = memory_of(16, 1, 2)
    async with opened_snapshots(folder) as store:
        gone = await store.save(saved(memory), account=ADA)
        database = store.disk.database
        await store.disk.record(database.drop, ADA, gone.id)
        for pack in await store.disk.record(database.forget_unused, tuple):
            store.disk.folder.remove(pack.name)
        with pytest.raises(Refusal, match="There is no such snapshot"):
            await store.load(gone.id)
        again = await store.save(saved(memory, instance=2), account=ADA, base=gone.id)
        assert again.written > 2 * PAGE
        assert same(await store.load(again.id), saved(memory, instance=2))


async def test_what_is_large_is_not_read_before_somebody_has_judged_its_lengths(folder: Path) -> None:
    pages = AT_ONCE // PAGE
    async with opened_snapshots(folder) as store:
        small = await store.save(saved(memory_of(pages - 1, 1)), account=ADA)
        large = await store.save(saved(memory_of(pages, 1)), account=ADA)
        async with store.opened_to_read(small.id) as opened:
            assert opened.saved is await store.read(opened)
        async with store.opened_to_read(large.id) as opened:
            assert opened.saved is None
            assert same(await store.read(opened), saved(memory_of(pages, 1)))
