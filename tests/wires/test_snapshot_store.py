"""The snapshot store: what was answered is there, once, whole, and counted; and nothing else is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio
from snapshothelpers import (
    ADA,
    GRACE,
    MODULE,
    PAGE,
    PlainMemory,
    folder,
    memory_of,
    noise,
    opened_snapshots,
    packs,
    record,
    same,
    saved,
)
from storehelpers import refusal

from gatebus.faults import StoreBroken
from gatebus.host.quotas import Amounts, QuotaBounds, Quotas
from gatebus.snapshots.savedwords import BadSnapshot, Change
from gatebus.snapshots.snapshotbounds import PACKS_EACH, SNAPSHOT_COST

__all__ = ["folder"]  # a fixture

if TYPE_CHECKING:
    from pathlib import Path

ABSENT = ("not-found", "There is no such snapshot, or it is not yours.")
CHANGED = ("conflict", "The instance was changed meanwhile. Look at it again.")


async def test_a_snapshot_comes_back_as_it_was(folder: Path) -> None:
    wanted = saved(
        memory_of(40, 0, 7, 39), noise(100_000), (("service:origin", noise(3_000)), ("unsent", b"")), tags=["a"]
    )
    async with opened_snapshots(folder) as store:
        kept = await store.save(wanted, account=ADA)
        assert same(await store.load(kept.id), wanted)
    async with opened_snapshots(folder) as store:
        assert same(await store.load(kept.id), wanted)
        assert await store.about(kept.id) == wanted.about


async def test_the_memory_that_comes_back_has_holes_where_zeros_were(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        kept = await store.save(saved(memory_of(100, 3, 50)), account=ADA)
        memory = (await store.load(kept.id)).memory
        assert list(memory.data()) == [(3 * PAGE, PAGE), (50 * PAGE, PAGE)]
        assert kept.size == 2 * PAGE + len(b"frames") + len(b"window")


async def test_zeros_and_holes_cost_nothing_and_holes_are_not_read(folder: Path) -> None:
    memory = PlainMemory(bytes(1000 * PAGE), ranges=((5 * PAGE, PAGE),))
    async with opened_snapshots(folder) as store:
        kept = await store.save(saved(memory), account=ADA)
        assert memory.reads == [(5 * PAGE, PAGE)]
        assert kept.written < 2_000


async def test_what_can_be_made_smaller_is(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        text = await store.save(saved(PlainMemory(b"many words " * 50_000)), account=ADA)
        assert text.size > 500_000
        assert text.written < 20_000


async def test_the_next_snapshot_of_an_instance_writes_only_what_changed(folder: Path) -> None:
    memory = memory_of(512, *range(0, 512, 8))
    async with opened_snapshots(folder) as store:
        first = await store.save(saved(memory), account=ADA)
        memory.content[100 * PAGE : 101 * PAGE] = noise(PAGE, 99)
        memory.reads.clear()
        again = saved(memory, kind="checkpoint")
        second = await store.save(again, account=ADA, base=first.id, changed=((100 * PAGE + 5, 3),))
        assert memory.reads == [(100 * PAGE, PAGE)], "only that was read"
        assert second.written < 1.5 * PAGE
        assert second.size == first.size + PAGE
        assert same(await store.load(second.id), again)


async def test_where_it_is_not_known_what_changed_everything_is_compared(folder: Path) -> None:
    memory = memory_of(64, 1, 2, 3)
    async with opened_snapshots(folder) as store:
        first = await store.save(saved(memory), account=ADA)
        memory.content[2 * PAGE] ^= 1
        again = saved(memory, kind="checkpoint")
        second = await store.save(again, account=ADA, base=first.id)
        assert second.written < 1.5 * PAGE
        assert same(await store.load(second.id), again)


async def test_instances_of_one_program_share_what_is_the_same(folder: Path) -> None:
    memory = memory_of(64, *range(32))
    async with opened_snapshots(folder) as store:
        await store.save(saved(memory), account=ADA)
        other = await store.save(saved(memory, instance=2), account=ADA)
        assert other.written < 1_000
        assert (await store.save(saved(memory, instance=3), account=GRACE)).written > 32 * PAGE, "not across accounts"


async def test_a_memory_that_has_grown_since_its_base_is_whole(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        first = await store.save(saved(memory_of(300, 299)), account=ADA)
        grown = saved(memory_of(600, 299, 450), kind="checkpoint")
        second = await store.save(grown, account=ADA, base=first.id, changed=())
        assert same(await store.load(second.id), grown)


async def test_ranges_of_what_changed_come_in_any_order(folder: Path) -> None:
    memory = memory_of(16, 1, 2, 3, 9)
    async with opened_snapshots(folder) as store:
        first = await store.save(saved(memory), account=ADA)
        memory.content[9 * PAGE] ^= 1
        memory.content[1 * PAGE] ^= 1
        again = saved(memory, kind="checkpoint")
        second = await store.save(again, account=ADA, base=first.id, changed=((9 * PAGE, 1), (PAGE, 1)))
        assert same(await store.load(second.id), again)


async def test_a_base_that_is_gone_or_damaged_costs_only_space(folder: Path) -> None:
    memory = memory_of(16, 1, 2, 3)
    async with opened_snapshots(folder) as store:
        first = await store.save(saved(memory), account=ADA)
        packs(folder)[0].write_bytes(b"no file of chunks")
        second = await store.save(saved(memory, kind="checkpoint"), account=ADA, base=first.id, changed=())
        assert same(await store.load(second.id), saved(memory, kind="checkpoint"))
        with pytest.raises(StoreBroken) as caught:
            await store.load(first.id)
        assert "damaged" in caught.value.text
        third = await store.save(saved(memory, taken=3), account=ADA, base=b"\1" * 32, changed=())
        assert same(await store.load(third.id), saved(memory, taken=3))


async def test_many_checkpoints_lie_in_few_files(folder: Path) -> None:
    memory, base = memory_of(256, *range(40)), None
    async with opened_snapshots(folder) as store:
        for turn in range(3 * PACKS_EACH):
            place = turn % 40 * PAGE
            memory.content[place : place + PAGE] = noise(PAGE, turn + 5_000)
            latest = saved(memory, kind="checkpoint", taken=turn)
            changed = None if base is None else ((place, PAGE),)
            kept = await store.save(latest, account=ADA, base=base, changed=changed)
            if base is not None:
                await store.drop(ADA, base)
            base = kept.id
        assert same(await store.load(kept.id), latest)
        assert len(packs(folder)) <= PACKS_EACH


async def test_the_same_snapshot_saved_twice_is_there_once(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        first = await store.save(saved(), account=ADA)
        again = await store.save(saved(), account=ADA)
        assert (again.id, again.written) == (first.id, 0)
        assert len(packs(folder)) == 1


async def test_lists_are_of_one_account_the_newest_first(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        old = await store.save(saved(taken=1), account=ADA)
        new = await store.save(saved(taken=2, kind="snapshot"), account=ADA)
        await store.save(saved(taken=3), account=GRACE)
        lines = await store.list(ADA)
        assert [(each.id, each.kind, each.taken, each.module) for each in lines] == [
            (new.id, "snapshot", 2, MODULE),
            (old.id, "suspended", 1, MODULE),
        ]


async def test_what_is_dropped_is_gone_and_what_shares_with_it_stays(folder: Path) -> None:
    memory = memory_of(32, *range(20))
    async with opened_snapshots(folder) as store:
        first = await store.save(saved(memory), account=ADA)
        memory.content[0] ^= 1
        again = saved(memory, kind="checkpoint")
        second = await store.save(again, account=ADA, base=first.id, changed=((0, 1),))
        await store.drop(ADA, first.id)
        assert await refusal(store.load(first.id)) == ABSENT
        assert same(await store.load(second.id), again)
        await store.drop(ADA, second.id)
        assert packs(folder) == []


async def test_nobody_drops_another_ones_snapshot(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        kept = await store.save(saved(), account=ADA)
        assert await refusal(store.drop(GRACE, kept.id)) == ABSENT
        assert await refusal(store.line(kept.id, GRACE)) == ABSENT
        assert (await store.line(kept.id, ADA)).account == ADA


async def test_a_program_is_needed_while_a_snapshot_is_of_it(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        kept = await store.save(saved(), account=ADA)
        assert await store.needed(MODULE)
        assert await store.modules() == {MODULE}
        await store.drop(ADA, kept.id)
        assert not await store.needed(MODULE)


# Records of instances.


async def test_a_record_is_changed_only_by_who_saw_it(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        first = await store.records.put(record(about=b"one"), 0)
        assert first.revision == 1
        second = await store.records.put(record(about=b"two"), 1)
        assert second.revision == 2
        assert await refusal(store.records.put(record(about=b"late"), 1)) == CHANGED
        assert await refusal(store.records.put(record(), 0)) == CHANGED
        assert await store.records.get(second.instance) == second
        assert await refusal(store.records.delete(second.instance, 1)) == CHANGED
        await store.records.delete(second.instance, 2)
        assert await store.records.get(second.instance) is None


async def test_records_are_there_after_a_restart_by_owner(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        mine = await store.records.put(record(1), 0)
        theirs = await store.records.put(record(2, account=GRACE), 0)
    async with opened_snapshots(folder) as store:
        assert await store.records.list(ADA) == [mine]
        assert await store.records.list() == [mine, theirs]


async def test_a_snapshot_and_the_record_that_points_to_it_are_one_step(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        running = await store.records.put(record(state="running"), 0)
        kept = await store.save(saved(), account=ADA, change=Change(record(state="stored"), running.revision))
        stored = await store.records.get(running.instance)
        assert stored is not None
        assert (stored.state, stored.snapshot, stored.revision) == ("stored", kept.id, 2)
        late = store.save(saved(taken=9), account=ADA, change=Change(record(state="stored"), 1))
        assert await refusal(late) == CHANGED
        assert [each.id for each in await store.list(ADA)] == [kept.id], "what was refused left nothing"
        assert len(packs(folder)) == 1


async def test_a_snapshot_that_an_instance_goes_on_from_is_not_dropped(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        kept = await store.save(saved(), account=ADA, change=Change(record(state="stored"), 0))
        assert await refusal(store.drop(ADA, kept.id)) == (
            "conflict",
            "Instance 01010101 goes on from this snapshot, at once or after a crash of the host. Take a newer snapshot "
            "of it, or remove it; then drop this one.",
        )
        await store.records.delete(record().instance, 1)
        await store.drop(ADA, kept.id)


async def test_a_record_points_only_to_what_is_there(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        assert await refusal(store.records.put(record(snapshot=b"\1" * 32), 0)) == ABSENT


# Quotas.


async def test_what_is_stored_counts_to_its_account_also_after_a_restart(folder: Path) -> None:
    quotas = Quotas()
    async with opened_snapshots(folder, quotas) as store:
        first = await store.save(saved(memory_of(16, 1, 2)), account=ADA)
        second = await store.save(saved(memory_of(16, 1, 2), taken=2), account=ADA)
        assert quotas.used(ADA).stored == first.written + max(second.written, SNAPSHOT_COST)
    again = Quotas()
    async with opened_snapshots(folder, again) as store:
        assert again.used(ADA).stored == quotas.used(ADA).stored
        await store.drop(ADA, first.id)
        await store.drop(ADA, second.id)
        assert again.accounts == 0


async def test_a_snapshot_that_is_too_large_is_refused_and_leaves_nothing(folder: Path) -> None:
    quotas = Quotas(QuotaBounds(principal=Amounts(stored=300_000)))
    async with opened_snapshots(folder, quotas) as store:
        memory = memory_of(400, *range(400))
        code, text = await refusal(store.save(saved(memory), account=ADA))
        assert (code, text) == (
            "quota-storage",
            "The snapshot needs more than the 293 KiB that may still be stored. Unpin modules, drop snapshots, or "
            "remove instances.",
        )
        assert len(memory.reads) < 10, "it stopped soon"
        assert packs(folder) == []
        assert quotas.accounts == 0
        await store.save(saved(memory_of(400, 1)), account=ADA)


async def test_what_cannot_be_described_is_not_saved(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        with pytest.raises(BadSnapshot, match="does not say which instance"):
            await store.save(saved(kind="other"), account=ADA)
        assert packs(folder) == []


# Cancellation.


async def test_a_save_cancelled_anywhere_is_whole_or_not_there(folder: Path) -> None:
    quotas = Quotas()
    async with opened_snapshots(folder, quotas) as store:
        outcomes = set()
        for step in range(1, 12):
            with trio.CancelScope() as scope:
                trio.lowlevel.add_instrument(at := CancelAt(scope, step))
                try:
                    await store.save(saved(taken=step), account=ADA)
                finally:
                    trio.lowlevel.remove_instrument(at)
            lines = await store.list(ADA)
            outcomes.add(bool(lines))
            assert len(packs(folder)) == len(lines)
            for line in lines:
                await store.load(line.id)
                await store.drop(ADA, line.id)
            assert quotas.accounts == 0
        assert outcomes == {True, False}
        assert not [
            name
            for name in os.listdir("/proc/self/fd")
            if linked(name).startswith(str(folder)) and "packs" in linked(name)
        ]


def linked(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except FileNotFoundError:
        return ""


class CancelAt(trio.abc.Instrument):
    """Cancels a scope right before the n-th step of the task that is inside it."""

    def __init__(self, scope: trio.CancelScope, step: int) -> None:
        self._scope, self._steps, self._task = scope, step, trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._steps -= 1
            if not self._steps:
                self._scope.cancel()


async def test_two_hosts_do_not_share_a_directory(folder: Path) -> None:
    async with opened_snapshots(folder):
        with pytest.raises(StoreBroken, match="Another gatebus host uses this data directory"):
            async with opened_snapshots(folder):
                pass
