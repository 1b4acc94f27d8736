"""Snapshots that go by themselves: nothing that is needed, nothing on doubt, and what went is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from snapshothelpers import ADA, folder, memory_of, opened_snapshots, packs, record, saved

from gatebus.bounds import TIDY_SECONDS
from gatebus.faults import StoreBroken
from gatebus.host.lives.keeping import Keeping
from gatebus.host.lives.tidying import Tidying
from gatebus.host.registry import Registry
from gatebus.snapshots.retention import Living
from gatebus.snapshots.savedwords import Change

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trio.testing import MockClock

    from gatebus.snapshots.savedwords import SnapshotLine

__all__ = ["folder"]  # a fixture


async def test_collecting_takes_the_files_of_what_goes_and_says_what_it_was(folder: Path) -> None:
    memory = memory_of(16, 1, 2)
    async with opened_snapshots(folder) as store:
        asked = await store.save(saved(memory, kind="snapshot"), account=ADA)
        left = await store.save(saved(memory_of(16, 9), kind="suspended", taken=1), account=ADA)
        kept = await store.save(saved(memory, instance=2, taken=1), account=ADA, change=Change(record(2, "stored"), 0))
        gone = await store.collect(Living(frozenset(), 1e9))
        assert [each.id for each in gone] == [left.id]
        assert {each.id for each in await store.list(ADA)} == {asked.id, kept.id}
        assert await store.collect(Living(frozenset(), 1e9)) == []


async def test_collecting_with_damaged_records_deletes_nothing(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        await store.save(saved(taken=1), account=ADA)
        store.disk.database._database.execute("UPDATE snapshot SET packs=x'00'")
        with pytest.raises(StoreBroken, match="The records of snapshots are damaged"):
            await store.collect(Living(frozenset(), 1e9))
        assert len(packs(folder)) == 1


async def test_a_host_collects_now_and_then(folder: Path, mock_clock: MockClock) -> None:
    async with opened_snapshots(folder) as store, trio.open_nursery() as nursery:
        await store.save(saved(taken=1), account=ADA)
        collected, collect = trio.Event(), store.collect

        async def watched(living: Living) -> Sequence[SnapshotLine]:
            gone = await collect(living)
            collected.set()
            return gone

        store.collect = watched  # type: ignore[method-assign]
        nursery.start_soon(Tidying(Keeping(store, lambda: 1e9), Registry(1.0, 1.0), lambda: 1e9).run)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(TIDY_SECONDS)
        await collected.wait()
        assert await store.list(ADA) == []
        nursery.cancel_scope.cancel()
