"""Records of snapshots and of instances in a RecordBook; a wire. Every call blocks; one thread at a time.

In:  frozen records of ours; rows of an earlier run (untrusted: every one is sealed). Out: records, StoreBroken, a
Refusal (full disk, a conflict).

What was answered is on the disk. A snapshot, its file and the change of its instance's record are
one transaction: after a crash there is all of it or nothing.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from gatebus.failpoints import UNWATCHED
from gatebus.faults import StoreBroken
from gatebus.host.recordbook import Book, RecordBook
from gatebus.host.refusals import Refusal
from gatebus.snapshots.packfolder import Pack
from gatebus.snapshots.packset import SharedGone
from gatebus.snapshots.packuses import PackUses
from gatebus.snapshots.recentsnapshots import Whole
from gatebus.snapshots.recordguard import Reserve, Tally
from gatebus.snapshots.savedwords import STATES, BadSnapshot, Change, Record, SnapshotLine, about_untrusted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from gatebus.failpoints import Failpoints
    from gatebus.snapshots.packfolder import PackFolder

_VERSION = 1
_NAME = 16  # of a file of chunks
_SEAL = 16
_SCHEMA = """
CREATE TABLE pack (name BLOB PRIMARY KEY, account TEXT, size INTEGER, head BLOB, seal BLOB) STRICT, WITHOUT ROWID;
CREATE TABLE snapshot (account TEXT, id BLOB, module TEXT, about BLOB, size INTEGER, written INTEGER, packs BLOB,
    taken INTEGER, seal BLOB, PRIMARY KEY (account, id)) STRICT, WITHOUT ROWID;
CREATE INDEX snapshot_id ON snapshot (id);
CREATE INDEX snapshot_module ON snapshot (module, account, taken);
CREATE TABLE instance (instance BLOB PRIMARY KEY, owner TEXT, account TEXT, state TEXT, snapshot BLOB, about BLOB,
    revision INTEGER, seal BLOB) STRICT, WITHOUT ROWID;
CREATE INDEX instance_snapshot ON instance (snapshot);
"""
_COUNT = "CREATE TABLE IF NOT EXISTS changes (number INTEGER) STRICT"  # earlier files have none yet
_DAMAGED = (
    "The records of snapshots are damaged. Nothing was changed: `gatebus fsck` says what is there, and "
    "`gatebus fsck --repair` makes new records from the files."
)
_MISSING = (
    "The records of snapshots are missing, and there are files of snapshots. Nothing was changed: put the records "
    "back, or `gatebus fsck --repair` makes new ones from the files."
)
_LOST_END = (
    "The end of the records of snapshots is lost: what was last stored or killed is not on record any more. "
    "Nothing was changed: `gatebus fsck --repair` goes on from what is there."
)
_NEEDED = (
    "Instance {} goes on from this snapshot, at once or after a crash of the host. Take a newer snapshot of it, or "
    "remove it; then drop this one."
)
_SHOWN = 8  # digits of an id
Row = tuple[Any, ...]
_ACCOUNT, _NAMED, _SIZE, _PACKS = 0, 1, 4, 6  # of a row of snapshots


DATABASE = "snapshots.sqlite"


class Stored(NamedTuple):
    """A snapshot's line, and the files that its chunks lie in: the first one has its manifest. `about`: of the line, of
    about_bytes, as it stands on record.
    """

    line: SnapshotLine
    packs: tuple[bytes, ...]
    about: bytes


class SnapshotRecords(RecordBook):
    """Raises StoreBroken from every method, and Refusal when the disk is full: then nothing was changed."""

    def __init__(self, path: Path, points: Failpoints = UNWATCHED) -> None:
        self._tally = Tally(path.with_name(f"{path.name}.count"))
        self._reserve = Reserve(path.with_name("reserve"))
        super().__init__(path, Book(_SCHEMA, _VERSION, "The records of snapshots", _DAMAGED, (BadSnapshot,)))
        self._points = points
        self._uses: PackUses | None = None  # until somebody asks

    def _prepare(self) -> None:
        super()._prepare()
        self._database.execute(_COUNT)
        if self._database.execute("SELECT number FROM changes").fetchone() is None:
            self._database.execute("INSERT INTO changes VALUES (0)")
        (self._number,) = self._database.execute("SELECT number FROM changes").fetchone()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """A change that is counted when it is one."""
        before = self._database.total_changes
        try:
            with self._change():
                yield
                if changed := self._database.total_changes != before:
                    self._database.execute("UPDATE changes SET number=?", (self._number + 1,))
        except BaseException:
            self._uses = None  # what the disk has is looked at anew
            raise
        if changed:
            self._number += 1
            self._tally.write(self._number)

    def check_end(self) -> None:
        """Before anything is changed. Raises StoreBroken when what was answered is not here any more."""
        if self._tally.read() > self._number:
            raise StoreBroken(_LOST_END)

    def accept_end(self) -> None:
        """What is here is what there is."""
        self._tally.write(self._number)

    def keep_room(self) -> None:
        """For ends on a disk that is full by then."""
        self._reserve.fill()

    def close(self) -> None:
        self._tally.close()
        super().close()

    def _rows(self, table: str, where: str = "", *values: object) -> list[Row]:
        with self._told():
            statement = f"SELECT * FROM {table} {where}"  # noqa: S608  # both are texts of this file
            return [_sealed(table, row) for row in self._database.execute(statement, values)]

    def _put(self, table: str, *values: object) -> None:
        marks = ", ".join("?" * (len(values) + 1))
        statement = f"REPLACE INTO {table} VALUES ({marks})"  # noqa: S608  # a name of this file
        self._database.execute(statement, (*values, _seal(table, values)))

    # Snapshots.

    def snapshot(self, snapshot: bytes, account: str | None = None) -> Stored | None:
        """Of this account, or of anybody: the id says everything that is in it."""
        found = self._row(snapshot, account)
        return None if found is None else _stored(found)

    def whole(self, snapshot: bytes, account: str | None = None) -> Whole | None:
        """Its files that are on record."""
        found = self._row(snapshot, account)
        return None if found is None else self._whole(found)

    def alike(self, base: bytes | None, account: str, module: str) -> Whole | None:
        """The base, or the latest snapshot of the same program: most of its memory may be the same."""
        found = self._row(base, account) if base is not None else None
        where = "WHERE module=? AND account=? ORDER BY taken DESC, id DESC LIMIT 1"
        found = found or next(iter(self._rows("snapshot", where, module, account)), None)
        return None if found is None else self._whole(found)

    def _whole(self, row: Row) -> Whole:
        found = map(self.pack, _packs_of(row))
        return Whole(row[_NAMED], row[_ACCOUNT], row[_SIZE], [each for each in found if each is not None])

    def _row(self, snapshot: bytes, account: str | None) -> Row | None:
        rows = self._rows("snapshot", "WHERE id=?", snapshot)
        return next((row for row in rows if account in (None, row[_ACCOUNT])), None)

    def snapshots(self, account: str | None = None) -> list[Stored]:
        if account is None:
            return [_stored(row) for row in self._rows("snapshot")]
        return [_stored(row) for row in self._rows("snapshot", "WHERE account=?", account)]

    def modules(self) -> frozenset[str]:
        """Programs that some snapshot needs."""
        with self._told():
            rows = self._database.execute("SELECT DISTINCT module FROM snapshot").fetchall()
            return frozenset(str(row[0]) for row in rows)

    def needed(self, module: str) -> bool:
        with self._told():
            return bool(self._database.execute("SELECT 1 FROM snapshot WHERE module=? LIMIT 1", (module,)).fetchone())

    def keep(self, stored: Stored, pack: Pack, change: Change | None) -> Stored:
        """All of it, or nothing. One that is there already stays and is returned. Raises SharedGone, Refusal."""
        line = stored.line
        self._points.reached("save-committing")
        with self._told(), self._counted():
            there = self.snapshot(line.id, line.account)
            if there is None:
                self._insert(stored, pack)
            if change is not None:
                self._set(change)
        if there is None and self._uses is not None:
            self._uses.kept(stored.packs)
        self._points.reached("save-committed")
        return there or stored

    def _insert(self, stored: Stored, pack: Pack) -> None:
        line = stored.line
        for name in stored.packs:
            if name != pack.name and not self._rows("pack", "WHERE name=?", name):
                raise SharedGone
        self._put("pack", *pack)
        packs = b"".join(stored.packs)
        numbers = line.size, line.written
        self._put("snapshot", line.account, line.id, line.module, stored.about, *numbers, packs, line.taken)

    def drop(self, account: str, snapshot: bytes) -> bool:
        """Whether it was there. Raises Refusal when an instance goes on from it."""
        self._points.reached("drop-committing")
        with self._told(), self._counted():
            found = self._row(snapshot, account)
            if found is None:
                return False
            for each in self.instances_from(snapshot):
                if each.account == account:
                    raise Refusal("conflict", _NEEDED.format(each.instance.hex()[:_SHOWN]))
            self._database.execute("DELETE FROM snapshot WHERE account=? AND id=?", (account, snapshot))
        if self._uses is not None:
            self._uses.dropped(_packs_of(found))
        self._points.reached("drop-committed")
        return True

    # Files of chunks.

    def packs(self) -> list[Pack]:
        return [_pack(row) for row in self._rows("pack")]

    def pack(self, name: bytes) -> Pack | None:
        return next((_pack(row) for row in self._rows("pack", "WHERE name=?", name)), None)

    def restore_pack(self, pack: Pack) -> None:
        """Of a file that was found again."""
        with self._told(), self._counted():
            self._put("pack", *pack)
        if self._uses is not None:
            self._uses.recorded(pack.name)

    def forget_unused(self, held: Callable[[], Collection[bytes]]) -> list[Pack]:
        """Files that no snapshot needs, and nobody reads or is about to share; theirs alone to remove now."""
        uses = self._uses_now()
        found = [pack for pack in map(self.pack, uses.free(held())) if pack is not None]
        if not found:
            return []
        names = [pack.name for pack in found]
        with self._told(), self._counted():
            self._database.executemany("DELETE FROM pack WHERE name=?", [(name,) for name in names])
        uses.removed(names)
        return found

    def _uses_now(self) -> PackUses:
        if self._uses is None:
            snapshots = map(_packs_of, self._rows("snapshot"))
            self._uses = PackUses((pack.name for pack in self.packs()), snapshots)
        return self._uses

    # Instances.

    def instance(self, instance: bytes) -> Record | None:
        return next((_record(row) for row in self._rows("instance", "WHERE instance=?", instance)), None)

    def instances(self, owner: str | None = None) -> list[Record]:
        if owner is None:
            return [_record(row) for row in self._rows("instance")]
        return [_record(row) for row in self._rows("instance", "WHERE owner=?", owner)]

    def instances_from(self, snapshot: bytes) -> list[Record]:
        return [_record(row) for row in self._rows("instance", "WHERE snapshot=?", snapshot)]

    def put(self, change: Change) -> Record:
        """Compare and set. Raises Refusal (conflict; not-found: its snapshot is not there)."""
        self._points.reached("record-committing")
        with self._told(), self._counted():
            record = self._set(change)
        self._points.reached("record-committed")
        return record

    def put_all(self, changes: Sequence[Change]) -> list[Record | None]:
        """On the disk all at once. None: somebody else has changed that one, and it stays as it is."""
        self._points.reached("record-committing")
        with self._told(), self._counted():
            done = [self._set_if_seen(each) for each in changes]
        self._points.reached("record-committed")
        return done

    def _set_if_seen(self, change: Change) -> Record | None:
        try:
            return self._set(change)
        except Refusal:
            return None

    def _set(self, change: Change) -> Record:
        new = change.record
        assert new.state in STATES
        self._compare(new.instance, change.seen)
        if new.snapshot is not None and self._row(new.snapshot, new.account) is None:
            raise Refusal("not-found", "There is no such snapshot, or it is not yours.")
        row = (new.instance, new.owner, new.account, new.state, new.snapshot, new.about, change.seen + 1)
        self._put("instance", *row)
        return Record(*row)

    def delete(self, instance: bytes, seen: int) -> None:
        """On a full disk, too, as far as there is room in the log, or in reserve. Raises Refusal (conflict)."""
        for make_room in (self._begin_log_anew, self._give_up_reserve):
            try:
                self._delete(instance, seen)
            except Refusal as refused:
                if refused.code != "disk-full":
                    raise
                make_room()
            else:
                return
        self._delete(instance, seen)

    def _begin_log_anew(self) -> None:
        """What is in it goes into the database, and it is written from its beginning again: that takes no room."""
        with suppress(sqlite3.Error):
            self._database.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def _give_up_reserve(self) -> None:
        self._reserve.give()
        self._begin_log_anew()

    def _delete(self, instance: bytes, seen: int) -> None:
        self._points.reached("record-committing")
        with self._told(), self._counted():
            self._compare(instance, seen)
            self._database.execute("DELETE FROM instance WHERE instance=?", (instance,))
        self._points.reached("record-committed")

    def _compare(self, instance: bytes, seen: int) -> None:
        now = self.instance(instance)
        if (now.revision if now is not None else 0) != seen:
            raise Refusal("conflict", "The instance was changed meanwhile. Look at it again.")


def records_for(folder: Path, packs: PackFolder, points: Failpoints = UNWATCHED) -> SnapshotRecords:
    """Made where nothing is yet. Raises StoreBroken: there are files, and no records of them."""
    if not (folder / DATABASE).exists() and any(packs.entries()):
        raise StoreBroken(_MISSING)
    return SnapshotRecords(folder / DATABASE, points)


def _seal(table: str, values: Iterable[object]) -> bytes:
    """Against accidents: a flipped bit is seen before it is believed."""
    return sha256(repr((table, *values)).encode()).digest()[:_SEAL]


def _sealed(table: str, row: Row) -> Row:
    *values, seal = row
    if _seal(table, values) != seal:
        raise StoreBroken(_DAMAGED)
    return tuple(values)


def _stored(row: Row) -> Stored:
    account, name, module, about, size, written, *_ = row
    line = SnapshotLine(name, account, module, about_untrusted(about), size, written)
    return Stored(line, _packs_of(row), about)


def _packs_of(row: Row) -> tuple[bytes, ...]:
    packs = row[_PACKS]
    return tuple(packs[at : at + _NAME] for at in range(0, len(packs), _NAME))


def _pack(row: Row) -> Pack:
    return Pack(*row)


def _record(row: Row) -> Record:
    return Record(*row)
