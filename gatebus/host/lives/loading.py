"""What is in the store, into memory; a wire.

Where it stands: between the snapshot store and whoever goes on from a snapshot, copies it or carries it away. In: an id
that an operation has checked; what a snapshot has (untrusted: it may have come as a file). Out: a Leftover, or a
Refusal, StateRefused before anything of it is read.

Order: what it consists of, by lengths alone; whether a program of its limits can have so much; its account pays for it;
then it is read, in a thread, unless it is so small (AT_ONCE) that it was read together with what it consists of. It is
paid for as long as anybody has it, or an instance pays in its place.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import trio

from gatebus.accountbounds import LOADED_AT_ONCE
from gatebus.faults import FileDamaged, GatebusError
from gatebus.host.lives.heldsizes import Held, check_lengths_untrusted
from gatebus.host.lives.remains import SavedAs, leftover_untrusted, limits_untrusted
from gatebus.host.refusals import Refusal
from sandbox.background import background_tasks
from sandbox.lanes import Lanes
from sandbox.piecework import PieceWork
from sandbox.suspended import Suspended

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gatebus.host.instances import Instance
    from gatebus.host.lives.keeping import Keeping
    from gatebus.host.lives.remains import Leftover
    from gatebus.host.quotas import Quotas
    from gatebus.snapshots.comparing import Changes
    from gatebus.snapshots.loadingwork import Opened
    from gatebus.snapshots.savedwords import SnapshotLine


class _NotHere:
    """A memory that nobody has read."""

    size = 0

    def read(self, offset: int, size: int) -> bytes:
        raise AssertionError("it has no bytes")

    def data(self) -> Iterator[tuple[int, int]]:
        return iter(())


NOT_HERE = _NotHere()


class Shown(NamedTuple):
    """`suspended`: without its memory. `touched`: bytes of that. `lengths`: of memory, state and parts."""

    suspended: Suspended
    touched: int
    lengths: tuple[tuple[str, int], ...]
    held: Held


class Loading:
    """One for a host."""

    def __init__(self, keeping: Keeping, quotas: Quotas) -> None:
        self._keeping, self._quotas = keeping, quotas
        self._large = Lanes()  # by account: one large one at a time
        self._piecework = PieceWork()
        self._ahead: dict[Instance, Leftover] = {}

    async def load(self, instance: Instance, covered: int = 0) -> Leftover:
        """What a stored one goes on from. `covered`: what its own ticket stands for. Raises GatebusError."""
        live = instance.live
        if (ahead := self._ahead.pop(instance, None)) is not None:
            return ahead
        if live is None or live.snapshot is None:
            raise Refusal("conflict", "Nothing of the instance is stored.")
        try:
            left = await self.fetch(live.snapshot, instance.order.principal.account, covered)
        except FileDamaged:
            live.failure = Refusal("bad-state", damaged_text(await self._older(instance)))
            raise live.failure from None
        self._keeping.points.reached("life-loaded")
        return left

    @asynccontextmanager
    async def ahead(self, instance: Instance) -> AsyncIterator[trio.Event]:
        """It is read while the disk takes down that it goes on: each takes a millisecond, in a thread of its own. The
        event: it is read, or what hinders that is told by `load`. What nobody has loaded until the end is thrown away.
        """
        read = trio.Event()
        try:
            async with background_tasks() as nursery:
                nursery.start_soon(self._read_ahead, instance, read)
                yield read
        finally:
            self._ahead.pop(instance, None)

    async def _read_ahead(self, instance: Instance, read: trio.Event) -> None:
        if self.at_hand(instance) is None:
            with suppress(GatebusError):
                self._ahead[instance] = await self.load(instance)
        read.set()

    def at_hand(self, instance: Instance) -> Leftover | None:
        """What it goes on from, if that was read already."""
        left = instance.live.left if instance.live is not None else None
        return left or self._ahead.get(instance)

    async def _older(self, instance: Instance) -> int:
        """How many other snapshots of it there are."""
        live = instance.live
        try:
            lines = await self._keeping.store.list(instance.order.principal.account)
        except GatebusError:
            return 0
        return sum(live is not None and each.instance == instance.id and each.id != live.snapshot for each in lines)

    async def fetch(self, snapshot: bytes, account: str, covered: int = 0) -> Leftover:
        """On this account. Raises GatebusError."""
        store = self._keeping.store
        async with store.opened_to_read(snapshot) as opened:
            size = sizes_untrusted(opened)
            held = Held(self._quotas, account, size, covered)
            async with self._one_of(account, size):
                saved = await store.read(opened)
        suspended = Suspended(saved.module, saved.state, saved.memory)
        left = await self._piecework.done(leftover_untrusted(suspended, saved.parts, saved.about, SavedAs(snapshot)))
        return left.held_by(held)

    @asynccontextmanager
    async def shown(self, line: SnapshotLine) -> AsyncIterator[Shown]:
        """What can be told of it without its memory. Raises GatebusError."""
        store = self._keeping.store
        async with store.opened(line.id) as opened:
            (_, memory), (_, state), *_others = opened.manifest.lengths
            size = sizes_untrusted(opened) - min(memory, opened.size) + state  # the worker has another one
            held = Held(self._quotas, line.account, size)
            async with self._one_of(line.account, size):
                looked = await store.look(opened)
        suspended = Suspended(line.module, looked.state, NOT_HERE)
        yield Shown(suspended, looked.touched, opened.manifest.lengths, held)

    async def changes(self, first: SnapshotLine, second: SnapshotLine, told: int) -> Changes:
        """In memory 0; one at a time of an account. Raises GatebusError."""
        store = self._keeping.store
        async with store.opened(first.id) as before, store.opened(second.id) as after:
            for each in (before, after):
                sizes_untrusted(each)
            async with self._one_of(first.account, LOADED_AT_ONCE):
                return await store.changes(before, after, told)

    @asynccontextmanager
    async def _one_of(self, account: str, size: int) -> AsyncIterator[None]:
        if size < LOADED_AT_ONCE:
            yield
            return
        async with self._large.one(account):
            yield


def sizes_untrusted(opened: Opened) -> int:
    """Bytes of this host's memory that it takes when it is read. Raises StateRefused: no program can have them."""
    lengths = opened.manifest.lengths
    check_lengths_untrusted(lengths, limits_untrusted(opened.manifest.described().get("limits")))
    memory, *rest = (length for _, length in lengths)
    return min(memory, opened.size) + sum(rest)


def damaged_text(older: int) -> str:
    """Of a stored instance, for whoever is not at its host. `older`: snapshots of it."""
    there = "Nothing else of it is stored."
    if older:
        there = f"{older} other snapshots" if older > 1 else "Another snapshot"
        there += " of it may be whole: `snapshots`, then `restore`."
    return (
        f"What is stored of this instance is damaged on the host's disk. {there} The host's owner runs `gatebus fsck`."
    )
