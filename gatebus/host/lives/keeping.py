"""What of the instances is in the snapshot store: stored programs, snapshots, records of who runs; a wire.

Where it stands: behind the life loop and the operations, in front of gatebus.snapshots. In: what a stopped program has
left. Out: it is durable when a call returns; or what was stored before, of which the parts are parsed once more.

A record says of each launched instance that is not transient whether it runs or is stored, and from which snapshot it
goes on. It is written together with the snapshot, in one transaction, so that there is never a moment at which a crash
would find two, or none. That a launched one runs is written a little later (RECORD_SECONDS): a crash before that
forgets an instance that had hardly begun, and nobody waits for a disk when a program starts. That a stored one goes
on is written before its process begins.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import trio

from gatebus.accountbounds import RECORD_SECONDS, REWRITE_SECONDS
from gatebus.failpoints import UNWATCHED, Failpoints
from gatebus.faults import GatebusError
from gatebus.host.lives.forgetting import forget
from gatebus.host.lives.heldsizes import check_lengths_untrusted, lengths_of
from gatebus.host.lives.lifetable import Life, Step
from gatebus.host.lives.recordsof import about_of, goes_back, record_of, room_at_stop
from gatebus.host.refusals import Refusal, as_refusal
from gatebus.snapshots.savedwords import CHECKPOINT, RUNNING, SNAPSHOT, STORED, SUSPENDED, UNNAMED, Change, Saved
from sandbox.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from gatebus.host.instances import Instance
    from gatebus.host.lives.live import Live
    from gatebus.host.lives.remains import Leftover
    from gatebus.host.principals import Principal
    from gatebus.snapshots.savedwords import Kept, SnapshotLine
    from gatebus.snapshots.snapshotstore import SnapshotStore


class Keeping:
    """`store`: None at a host that keeps nothing. `clock`: seconds since 1970."""

    def __init__(self, store: SnapshotStore | None, clock: Callable[[], float], points: Failpoints = UNWATCHED) -> None:
        self._store, self._clock, self.points = store, clock, points
        self.on_trouble: Callable[[GatebusError], None] = lambda trouble: None
        self._due: dict[bytes, Instance] = {}  # records that are behind
        self._gone: list[tuple[Instance, bytes]] = []  # snapshots that nothing goes on from any more
        self._something = trio.Event()
        self._writing = trio.Lock()
        self._busy = Lanes()  # records that are being written

    @property
    def keeps(self) -> bool:
        return self._store is not None

    @property
    def store(self) -> SnapshotStore:
        """Raises Refusal."""
        if self._store is None:
            raise Refusal("conflict", "This host keeps no snapshots: it was started without a place for them.")
        return self._store

    # A program that has stopped.

    async def settle(self, instance: Instance, left: Leftover) -> bool:
        """Whoever wished for a copy has it. True: it was to be stored, and is."""
        live = _live(instance)
        self.points.reached("life-stopped")
        for wish in live.take_wishes(store=False):
            wish.grant(left)
            self.points.reached("life-copied")
        if not live.wishes:
            return False
        try:
            await self.rescue(instance, left)
        except GatebusError as fault:
            live.refuse_all(as_refusal(fault))
            return False
        live.step(Step.STORE)
        self.points.reached("life-stored")
        return True

    async def rescue(self, instance: Instance, left: Leftover) -> None:
        """Stored, and so recorded. Raises GatebusError."""
        live = _live(instance)
        former = live.snapshot if live.snapshot not in live.kept else None
        lent = left.saved.id is not None and not is_recorded(instance)  # nothing keeps its owner from dropping it
        async with self.alone(instance):
            await self._save_and_record(instance, left)
        if not lent:
            live.left = None
        if former is not None and former != live.snapshot:
            self._gone.append((instance, former))  # nobody waits for that
            self._something.set()

    async def _save_and_record(self, instance: Instance, left: Leftover) -> None:
        live = _live(instance)
        live.at_rest = False  # or it is stored, which is more
        self._due.pop(instance.id, None)
        if left.saved.id is not None:  # it is in the store already: as a snapshot, or as what it went on from
            live.snapshot, live.stored = left.saved.id, left.number
            await self._put(instance, STORED, left)
            return
        change = Change(record_of(instance, STORED, left), live.revision) if is_recorded(instance) else None
        kept = await self._save(instance, left, self._about(instance, left, SUSPENDED), change)
        live.snapshot, live.stored, live.runs = kept.id, left.number, False
        live.revision += change is not None

    async def checkpoint(self, instance: Instance, left: Leftover) -> None:
        """From here a host that crashes goes on. Raises GatebusError."""
        live = _live(instance)
        former = live.snapshot
        async with self.alone(instance):
            if live.life is Life.ENDED or left.number <= live.stored:
                return
            kept = await self._go_back_to(instance, left, self._about(instance, left, CHECKPOINT))
        if former is not None and former not in live.kept:
            await self.forget(instance, former)
        live.kept.append(kept.id)
        while len(live.kept) > live.policy.keep_last:
            await self.forget(instance, live.kept.pop(0))

    async def snapshot(self, instance: Instance, left: Leftover, tags: tuple[str, ...]) -> Kept:
        """As a person asked for it. From here a host that crashes goes on, unless what is stored of it is newer. Raises
        GatebusError.
        """
        live = _live(instance)
        about = self._about(instance, left, SNAPSHOT) | ({"tags": list(tags)} if tags else {UNNAMED: True})
        async with self.alone(instance):
            if live.life is Life.ENDED or left.number <= live.stored or not is_recorded(instance):
                return await self._save(instance, left, about, None)
            former = live.snapshot
            kept = await self._go_back_to(instance, left, about)
        if former is not None and former not in live.kept:
            self._gone.append((instance, former))
            self._something.set()
        return kept

    async def _go_back_to(self, instance: Instance, left: Leftover, about: dict[str, object]) -> Kept:
        """Saved while it runs on, and what its record points to."""
        live = _live(instance)
        rests = live.at_rest
        change = Change(record_of(instance, RUNNING, left), live.revision) if is_recorded(instance) else None
        kept = await self._save(instance, left, about, change)
        live.snapshot, live.stored = kept.id, left.number
        if change is not None:
            live.revision, live.runs = live.revision + 1, not rests
        if live.life is Life.ENDED:  # meanwhile: its record is newer than that
            self.over(instance)
        return kept

    async def save(
        self, instance: Instance, left: Leftover, kind: str, *, extra: Mapping[str, object] = MappingProxyType({})
    ) -> Kept:
        """As a snapshot of its own, described by something more. Raises GatebusError."""
        about = self._about(instance, left, kind) | dict(extra)
        return await self._save(instance, left, about, None)

    async def _save(self, instance: Instance, left: Leftover, about: dict[str, object], change: Change | None) -> Kept:
        live, suspended = _live(instance), left.suspended
        base, changed = left.base.id, suspended.changed
        if base is None:
            base, changed = live.snapshot, None
        saved = Saved(suspended.sha256, about, suspended.state, left.parts, suspended.memory)
        check_lengths_untrusted(lengths_of(saved), instance.order.limits)  # what could not be read is not written
        account, room = instance.order.principal.account, room_at_stop(instance)
        kept = await self.store.save(saved, account=account, base=base, changed=changed, change=change, room=room)
        left.saved.id = kept.id
        return kept

    def _about(self, instance: Instance, left: Leftover, kind: str) -> dict[str, object]:
        return about_of(instance, left, kind, round(self._clock() * 1000))

    async def forget(self, instance: Instance, snapshot: bytes) -> None:
        """One that it goes on from no more. What cannot be forgotten stays."""
        try:
            await forget(self.store, instance, snapshot)
        except GatebusError as trouble:
            self.on_trouble(trouble)

    # A program whose function has returned, and that may be called again.

    async def keep_halted(self, instance: Instance, left: Leftover, result: int) -> None:
        """Stored, and so recorded; what cannot be is no reason for another end."""
        live = _live(instance)
        live.halted = result
        try:
            await self.rescue(instance, left)
        except GatebusError as trouble:
            live.halted = None
            self.on_trouble(trouble)

    def forgotten(self, instance: Instance) -> None:
        """Nobody can ask for it any more (Registry.on_forget)."""
        if instance.live is not None and instance.live.halted is not None:
            instance.live.halted = None
            self.over(instance)

    # What a principal has.

    async def own_line(self, principal: Principal, snapshot: bytes) -> SnapshotLine:
        """Raises Refusal."""
        found = await self.store.line(snapshot, principal.account)
        if found.about.get("owner") != principal.id:
            raise Refusal("not-found", "There is no such snapshot, or it is not yours.")
        return found

    async def lines(self, principal: Principal) -> list[SnapshotLine]:
        """The newest first."""
        return [each for each in await self.store.list(principal.account) if each.about.get("owner") == principal.id]

    async def drop(self, principal: Principal, snapshot: bytes) -> None:
        """Raises Refusal. That one which went on from it has ended may not have been written down yet."""
        try:
            await self.store.drop(principal.account, snapshot)
        except Refusal:
            async with self._writing:
                for instance in [each for each in self._due.values() if _live(each).life is Life.ENDED]:
                    async with self.alone(instance):
                        await self._unrecord(instance)
            await self.store.drop(principal.account, snapshot)

    # Records.

    def began(self, instance: Instance) -> None:
        """It runs."""
        self.points.reached("life-began")
        if _live(instance).halted is not None:
            return  # after a crash it has halted as before: its function has not run to its end
        if self._store is not None and is_recorded(instance):
            self.behind(instance)

    def behind(self, instance: Instance) -> None:
        """Its record is, and nobody waits for it."""
        self._due[instance.id] = instance
        self._something.set()

    async def runs_on(self, instance: Instance) -> None:
        """And its record says so. Raises GatebusError."""
        async with self.alone(instance):
            if _live(instance).life is Life.RUNNING and not _live(instance).runs:
                await self._put(instance, RUNNING)

    async def ended(self, instance: Instance, *among: Life) -> bool:
        """Before anybody is told: so it does not run again after a crash. False: it is none `among` these any more."""
        live = _live(instance)
        async with self.alone(instance):
            if live.halted is not None or (among and live.life not in among):
                return False
            live.step(Step.END)  # nobody writes that it runs from here on
            try:
                await self._unrecord(instance)
            except GatebusError as trouble:
                live.undeleted = True
                self.on_trouble(trouble)
        return True

    def over(self, instance: Instance) -> None:
        """It has ended, for good. What it went on from is nobody's any more."""
        live = _live(instance)
        if live.halted is not None:
            return  # until it is forgotten
        if self._store is not None and (live.revision or live.snapshot is not None):
            self.behind(instance)
        else:
            self._due.pop(instance.id, None)

    def is_writing(self, instance: Instance) -> bool:
        """Its record is behind, or being written."""
        return instance.id in self._due or instance.id in self._busy

    async def copied(self, instance: Instance) -> None:
        """Nobody drops what it goes on from, and a crash does not forget it. Raises GatebusError."""
        if self._store is not None:
            async with self.alone(instance):
                await self._put(instance, STORED)

    async def unrecord(self, instance: Instance) -> None:
        """Another one of its id was there first, or it is deleted. Raises GatebusError."""
        async with self.alone(instance):
            await self._unrecord(instance)

    async def goes_on(self, instance: Instance) -> bool:
        """It is going to run: that is durable before its process begins, so that nothing which it does, and nobody is
        told, is forgotten. Whether its record said something else. Raises GatebusError.
        """
        live = _live(instance)
        if self._store is None or live.halted is not None or live.snapshot is None or not is_recorded(instance):
            return False  # without a snapshot it is a copy of one that runs: see copyrecords
        async with self.alone(instance):
            if live.runs or live.life is not Life.STORED:
                return False
            await self._put(instance, RUNNING)
        if instance.ended_at is not None:  # meanwhile
            self.over(instance)
        return True

    async def stays(self, instance: Instance) -> None:
        """It could not run. Raises GatebusError."""
        async with self.alone(instance):
            if _live(instance).runs and _live(instance).life is Life.STORED:
                await self._put(instance, STORED)

    async def write_records(self) -> None:
        """Until cancelled."""
        while True:
            await self._something.wait()
            self._something = trio.Event()
            await trio.sleep(RECORD_SECONDS)
            await self.write_due()
            if self._due:  # what could not be written
                with trio.move_on_after(REWRITE_SECONDS):
                    await self._something.wait()
                self._something.set()

    async def write_due(self) -> None:
        """What is behind, now."""
        async with self._writing:
            await self._write_due()

    async def _write_due(self) -> None:
        due, gone, self._gone = tuple(self._due), self._gone, []
        for instance, snapshot in gone:
            await self.forget(instance, snapshot)
        for name in due:
            if name not in self._due:
                continue
            instance = self._due.pop(name)  # until here nobody folds it: see is_writing
            try:
                async with self.alone(instance):
                    await self._catch_up(instance)
            except GatebusError as trouble:
                self._comes_again(instance, trouble)

    def _comes_again(self, instance: Instance, trouble: GatebusError) -> None:
        """What is on record and wrong. Of one that runs and is not, nothing is lost: that was not answered."""
        live = _live(instance)
        if not live.undeleted:
            self.on_trouble(trouble)
        if live.revision and trouble.code != "conflict":
            live.undeleted = live.life is Life.ENDED
            self._due[instance.id] = instance

    async def _catch_up(self, instance: Instance) -> None:
        live = _live(instance)
        if live.life is Life.ENDED:
            await self._unrecord(instance)
            if live.revision == 0 and live.snapshot is not None and live.snapshot not in live.kept:
                await self.forget(instance, live.snapshot)
        elif live.life not in (Life.STORED, Life.FOLDED) and (live.runs is live.at_rest or not live.revision):
            await self._put(instance, RUNNING)

    async def _unrecord(self, instance: Instance) -> None:
        live = _live(instance)
        if live.revision and not goes_back(instance):
            await self.store.records.delete(instance.id, live.revision)
            live.revision = 0
        live.undeleted = False

    async def _put(self, instance: Instance, state: str, left: Leftover | None = None) -> None:
        live = _live(instance)
        if is_recorded(instance):
            rests = live.at_rest
            put = await self.store.records.put(record_of(instance, state, left), live.revision)
            live.revision, live.runs = put.revision, state == RUNNING and not rests

    def alone(self, instance: Instance) -> AbstractAsyncContextManager[None]:
        """Two who write one record take turns."""
        return self._busy.one(instance.id)


def is_recorded(instance: Instance) -> bool:
    return instance.order.kept and not instance.order.manner.transient


def _live(instance: Instance) -> Live:
    assert instance.live is not None
    return instance.live
