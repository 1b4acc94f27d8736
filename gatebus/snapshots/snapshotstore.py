"""Snapshots that a host keeps, and the records of instances that outlive their processes; a wire.

    async with open_snapshot_store(folder, quotas, settings) as store:
        kept = await store.save(saved, account=..., base=id, changed=ranges, change=Change(record, seen))
        saved = await store.load(kept.id)
        await store.records.put(record, seen)

In:  what a stopped program has left, ids and accounts that an operation has checked. Out: Kept, Saved, lines, records;
Refusal, StoreBroken. What was answered is on the disk.

Order of saving: the file, then one transaction for file, snapshot and the instance's record. Order of forgetting: the
records, then the files. A file without a record is nobody's, and stays for `gatebus fsck`. One host per folder, by a
lock. Threads do the work: one for the database, any for files; a cancelled call waits for its thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import trio

from gatebus.durable import sync_folder
from gatebus.failpoints import UNWATCHED, Failpoints
from gatebus.faults import FileDamaged, GatebusError, StoreBroken
from gatebus.host.refusals import Refusal
from gatebus.host.storedisk import alone, told
from gatebus.snapshots.exportwords import no_check
from gatebus.snapshots.instancerecords import InstanceRecords
from gatebus.snapshots.loadingwork import Source, open_snapshot, open_to_read, read_changes, read_look, read_snapshot
from gatebus.snapshots.manifestwords import decode_untrusted
from gatebus.snapshots.packfolder import PackFolder
from gatebus.snapshots.packset import SharedGone
from gatebus.snapshots.packwords import UNSIGNED, statement
from gatebus.snapshots.recentsnapshots import RecentSnapshots, Whole
from gatebus.snapshots.retention import Living, expired
from gatebus.snapshots.savedwords import IMPORTED, Change, Kept, Saved, SnapshotLine, about_bytes, pointed
from gatebus.snapshots.savingwork import Before, Order, Written, write_snapshot
from gatebus.snapshots.snapshotbounds import ANSWERED_SECONDS
from gatebus.snapshots.snapshotdisk import SnapshotDisk
from gatebus.snapshots.snapshotrecords import Stored, records_for
from gatebus.snapshots.spool import Spool
from gatebus.snapshots.storedbytes import StoredBytes
from gatebus.snapshots.transfer import ANY, Export, ImportPolicy, exporting, take_in_untrusted
from gatebus.snapshots.transferwork import Place
from sandbox.inthread import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from gatebus.host.quotas import Quotas
    from gatebus.snapshots.chunking import Ranges
    from gatebus.snapshots.comparing import Changes
    from gatebus.snapshots.exportwords import Imported
    from gatebus.snapshots.loadingwork import Looked, Opened
    from gatebus.snapshots.manifestwords import Manifest
    from gatebus.snapshots.packfolder import Pack

Retell = Callable[[bytes], bytes]
Spend = Callable[["Pack"], None]
Own = Callable[["Imported"], Awaitable[bytes]]
_ABSENT = "There is no such snapshot, or it is not yours."


def _unsigned(_statement: bytes) -> bytes:
    return UNSIGNED[1]


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """`key`, `sign`: of the host (identityfile, proofs); without them what is saved is not signed. `accept`, `signers`:
    what may be imported (transfer.ImportPolicy).
    """

    key: bytes = UNSIGNED[0]
    sign: Callable[[bytes], bytes] = _unsigned
    accept: str = ANY
    points: Failpoints = field(default=UNWATCHED)
    signers: tuple[str, ...] = ()


@asynccontextmanager
async def open_snapshot_store(
    folder: Path, quotas: Quotas, settings: StoreSettings | None = None
) -> AsyncIterator[SnapshotStore]:
    """Raises StoreBroken: another host uses the folder, it cannot be read, its records are damaged."""
    settings = settings or StoreSettings()
    with alone(folder):
        one = trio.CapacityLimiter(1)
        with told():
            await in_thread(sync_folder, folder.parent)
            packs = await in_thread(PackFolder, folder / "packs", settings.points)
        database = await in_thread(records_for, folder, packs, settings.points, limiter=one)
        store = SnapshotStore(SnapshotDisk(one, packs, database), quotas, settings)
        try:
            await store.disk.record(database.check_end)
            await store.disk.record(database.keep_room)
            await store.count()
            yield store
        finally:
            with trio.move_on_after(ANSWERED_SECONDS, shield=True):
                await store.disk.record(database.close)


class Contents(NamedTuple):
    """What the records have of a manifest. `words`: `about`, of about_bytes."""

    module: str
    about: Mapping[str, object]
    words: bytes


class SnapshotStore:
    """Made by open_snapshot_store. Any task may call it."""

    def __init__(self, disk: SnapshotDisk, quotas: Quotas, settings: StoreSettings) -> None:
        self.disk = disk
        self.records = InstanceRecords(disk)
        self._bytes, self._settings, self._recent = StoredBytes(quotas), settings, RecentSnapshots()
        self._held: Counter[bytes] = Counter()  # files that somebody reads or is about to share

    async def count(self) -> None:
        """What is there from earlier runs draws on its owners' quotas."""
        self._bytes.adopt(await self.disk.record(self.disk.database.packs))

    # Saving.

    async def save(
        self,
        saved: Saved,
        *,
        account: str,
        base: bytes | None = None,
        changed: Ranges | None = None,
        change: Change | None = None,
        room: int | None = None,
    ) -> Kept:
        """Durable when it returns, and with it the record of `change` (its `snapshot` is set to this one). `base`: the
        snapshot that the program went on from; `changed`: what of memory 0 may differ from it (None: not known).
        `room`: bytes that it may take; None: what its quota leaves. Raises Refusal: quota-storage, disk-full, conflict;
        then nothing was changed.
        """
        order = Order(saved, account, self._bytes.room(account) if room is None else room, self._signed)
        spend = self._bytes.spend if room is None else self._bytes.overspend
        try:
            before = await self._before(account, saved, base)
            return await self._save(replace(order, before=before, changed=changed), change, spend)
        except SharedGone:  # what it would have shared was dropped meanwhile
            return await self._save(order, change, spend)

    async def _before(self, account: str, saved: Saved, base: bytes | None) -> Before | None:
        found = self._recent.get(base, account) if base is not None else None
        if found is None:
            found = await self.disk.record(self.disk.database.alike, base, account, saved.module)
        return None if found is None else Before(found.id, found.packs, direct=found.id == base)

    async def _save(self, order: Order, change: Change | None, spend: Spend) -> Kept:
        shared = order.before.packs if order.before is not None else ()
        with self._holding(shared):
            written = await self.disk.file(write_snapshot, self.disk.folder, order)
            contents = Contents(order.saved.module, order.saved.about, written.about)
            kept = await self._keep(written, contents, change, spend)
        if kept.written:
            packs = [written.pack, *(pack for pack in shared if pack.name in written.packs)]
            self._recent.note(Whole(kept.id, order.account, kept.size, packs))
        return kept

    async def _keep(self, written: Written, contents: Contents, change: Change | None, spend: Spend) -> Kept:
        """The transaction. What is refused takes its file with it."""
        pack = written.pack
        line = SnapshotLine(written.id, pack.account, contents.module, contents.about, written.size, pack.size)
        stored, changed = Stored(line, written.packs, contents.words), pointed(change, written.id)
        try:
            spend(pack)
            try:
                there = await self.disk.record(self.disk.database.keep, stored, pack, changed)
            except BaseException:
                self._bytes.give_back(pack)
                raise
        except (Refusal, SharedGone, trio.Cancelled):  # of anything else it is not known what the disk has
            await self._remove(pack.name)
            raise
        if there is not stored:  # exactly this was saved before
            self._bytes.give_back(pack)
            await self._remove(pack.name)
            return Kept(written.id, written.size, 0)
        return Kept(written.id, written.size, pack.size)

    async def _remove(self, name: bytes) -> None:
        """A disk that does not answer, or not well, is not waited for: what stays is nobody's."""
        with suppress(OSError), trio.move_on_after(ANSWERED_SECONDS, shield=True):
            await in_thread(self.disk.folder.remove, name, abandon_on_cancel=True)

    def _signed(self, snapshot: bytes) -> tuple[bytes, bytes]:
        return self._settings.key, self._settings.sign(statement(snapshot))

    def spool(self) -> Spool:
        """For a file on its way, on the same disk. Raises OSError."""
        return Spool(self.disk.folder.path)

    # Reading.

    async def load(self, snapshot: bytes) -> Saved:
        """Every byte verified. Whoever asks: the caller knows whose it is. Raises Refusal, StoreBroken."""
        async with self.opened_to_read(snapshot) as opened:
            return await self.read(opened)

    def opened(self, snapshot: bytes) -> AbstractAsyncContextManager[Opened]:
        """To be looked at: nothing of it is read yet. Raises Refusal, StoreBroken."""
        return self._opened(snapshot, open_snapshot)

    def opened_to_read(self, snapshot: bytes) -> AbstractAsyncContextManager[Opened]:
        """Before what is large is read, how large it is can be seen. Raises Refusal, StoreBroken."""
        return self._opened(snapshot, partial(open_to_read, self._settings.points))

    @asynccontextmanager
    async def _opened(self, snapshot: bytes, how: Callable[[Source, bytes], Opened]) -> AsyncIterator[Opened]:
        async with self._reading(snapshot) as source:
            opened = await self.disk.file(how, source, snapshot)
            try:
                yield opened
            finally:
                opened.packs.close()

    async def read(self, opened: Opened) -> Saved:
        """All of it. Raises StoreBroken."""
        if opened.saved is not None:
            return opened.saved
        return await self.disk.file(read_snapshot, opened, self._settings.points)

    @asynccontextmanager
    async def _reading(self, snapshot: bytes, account: str | None = None) -> AsyncIterator[Source]:
        """Nobody takes its files away meanwhile. Raises Refusal, StoreBroken."""
        found = self._recent.get(snapshot, account)
        if found is None:
            found = await self.disk.record(self.disk.database.whole, snapshot, account)
            if found is None:
                raise Refusal("not-found", _ABSENT)
            self._recent.note(found)
        with self._holding(found.packs):
            try:
                yield Source(self.disk.folder, found.packs, found.size)
            except SharedGone:
                await self._stored(snapshot, account)  # it was dropped meanwhile, or else
                raise FileDamaged("A file of this snapshot is missing. `gatebus fsck` names it.") from None

    @asynccontextmanager
    async def exporting(
        self, snapshot: bytes, program: bytes, account: str | None = None, anew: Retell | None = None
    ) -> AsyncIterator[Export]:
        """As one file (FORMAT.md), with its program; `anew`: under another manifest, which this host signs. Raises
        Refusal, StoreBroken.
        """
        line = await self.line(snapshot, account)
        if sha256(program).hexdigest() != line.module:
            raise StoreBroken("The program of this snapshot is not the one that was stored.")
        leaves = None if anew is None else partial(self._signed_anew, anew)
        async with (
            self._reading(snapshot, account) as source,
            exporting(self.disk, source, program, leaves) as leaving,
        ):
            yield leaving

    def _signed_anew(self, anew: Retell, manifest: bytes) -> tuple[bytes, tuple[bytes, bytes]]:
        made = anew(manifest)
        return made, self._signed(sha256(made).digest())

    async def import_untrusted(
        self,
        read: Callable[[int], Awaitable[bytes]],
        account: str,
        own: Own | None = None,
        check: Callable[[Manifest], None] = no_check,
    ) -> Imported:
        """A file that anybody may have made; `read`: so many bytes at most, b"" at the end. Its program is in the
        answer: `own`, or the caller, puts it into the module store. Whose it is there says nothing here. `own` gives
        the manifest under which it is kept and signed by this host; else it stays as it came. `check`: of what it says
        that it consists of, before any of it has come. Raises Refusal, and what `check` raises.
        """
        place = Place(self.disk.folder, account, self._bytes.room(account), self._settings.points, check)
        policy = ImportPolicy(self._settings.accept, self._settings.key, self._settings.signers)
        owning = None if own is None else partial(self._owned, own)
        written, imported = await take_in_untrusted(self.disk, place, policy, read, owning)
        manifest = decode_untrusted(imported.manifest)
        about, words = manifest.described(), written.about
        if own is None:
            about = {**about, IMPORTED: True}
            words = about_bytes(about)
        await self._keep(written, Contents(manifest.module, about, words), None, self._bytes.spend)
        return imported

    async def _owned(self, own: Own, imported: Imported) -> tuple[bytes, tuple[bytes, bytes]]:
        made = await own(imported)
        return made, self._signed(sha256(made).digest())

    async def look(self, opened: Opened) -> Looked:
        """What a person is shown of it: the memory is not read. Raises StoreBroken."""
        return await self.disk.file(read_look, opened)

    async def changes(self, before: Opened, after: Opened, told: int) -> Changes:
        """In memory 0. Raises StoreBroken."""
        return await self.disk.file(read_changes, before, after, told)

    async def line(self, snapshot: bytes, account: str | None = None) -> SnapshotLine:
        """Of anybody's, or of this account's only. Raises Refusal."""
        return (await self._stored(snapshot, account)).line

    async def about(self, snapshot: bytes) -> Mapping[str, object]:
        """Raises Refusal."""
        return (await self._stored(snapshot)).line.about

    async def list(self, account: str) -> list[SnapshotLine]:
        """The newest first."""
        found = await self.disk.record(self.disk.database.snapshots, account)
        return sorted((each.line for each in found), key=lambda line: (-line.taken, line.id))

    async def needed(self, module: str) -> bool:
        """Some snapshot is of this program: its bytes must stay."""
        return await self.disk.record(self.disk.database.needed, module)

    async def modules(self) -> frozenset[str]:
        """All programs that are needed."""
        return await self.disk.record(self.disk.database.modules)

    async def _stored(self, snapshot: bytes, account: str | None = None) -> Stored:
        stored = await self.disk.record(self.disk.database.snapshot, snapshot, account)
        if stored is None:
            raise Refusal("not-found", _ABSENT)
        return stored

    # Forgetting.

    async def collect(self, living: Living) -> Sequence[SnapshotLine]:
        """Forgets what goes by itself (retention.expired), and says what went. Raises StoreBroken: then nothing goes;
        Refusal (disk-full): the rest goes another time.
        """
        lines = [each.line for each in await self.disk.record(self.disk.database.snapshots)]
        chosen = expired(lines, await self.records.list(), living)
        self._settings.points.reached("collect-chosen")
        gone = [line for line in chosen if await self._goes(line)]
        self._settings.points.reached("collect-committed")
        await self.sweep()
        await self.disk.record(self.disk.database.keep_room)
        self._settings.points.reached("collect-removed")
        return gone

    async def _goes(self, line: SnapshotLine) -> bool:
        self._recent.forget(line.id)
        try:
            return await self.disk.record(self.disk.database.drop, line.account, line.id)
        except Refusal as refused:
            if refused.code != "conflict":  # that is: a record points to it since
                raise
            return False

    async def drop(self, account: str, snapshot: bytes) -> None:
        """Raises Refusal: not-found; conflict when an instance goes on from it; disk-full: it is still there."""
        self._recent.forget(snapshot)
        if not await self.disk.record(self.disk.database.drop, account, snapshot):
            raise Refusal("not-found", _ABSENT)
        with suppress(GatebusError):  # it is dropped; files that nobody needs go with the next collection, too
            await self.sweep()
        self._settings.points.reached("drop-removed")

    async def sweep(self) -> None:
        """Takes away files that no snapshot needs any more."""
        for pack in await self.disk.record(self.disk.database.forget_unused, self._in_use):
            self._bytes.give_back(pack)
            await self._remove(pack.name)

    def _in_use(self) -> tuple[bytes, ...]:
        return (*self._held,)  # from the database's thread: one step of the interpreter

    @contextmanager
    def _holding(self, packs: Iterable[Pack]) -> Iterator[None]:
        """Nobody takes these files away meanwhile."""
        names = [each.name for each in packs]
        self._held.update(names)
        try:
            yield
        finally:
            self._held.subtract(names)
            self._held += Counter()  # keeps what is held
