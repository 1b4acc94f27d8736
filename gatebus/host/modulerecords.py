"""Records of modules in SQLite; a wire. Every call blocks; one thread at a time.

In:  frozen records of ours; the file of an earlier run (untrusted: every row is sealed, the file is checked whole when
it is opened). Out: records, StoreBroken, a Refusal (full disk).

WAL with full sync: what was answered is on the disk. Holdings are changed by compare-and-set on their revision, so that
a store that several machines share fits behind the same three calls.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from gatebus.faults import StoreBroken
from gatebus.host.moduledata import Holding, Module, Partial, seal
from gatebus.host.refusals import disk_full

# What SQLite says of a full disk: of its own files, and of the index of its log, which is made larger by writing to it.
_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
T = TypeVar("T", Module, Holding, Partial)
_VERSION = 1
_SCHEMA = """
CREATE TABLE module (sha256 BLOB PRIMARY KEY, size INTEGER, created INTEGER, used INTEGER, seal BLOB)
    STRICT, WITHOUT ROWID;
CREATE TABLE holding (sha256 BLOB, account TEXT, pinned INTEGER, tags TEXT, created INTEGER, revision INTEGER,
    seal BLOB, PRIMARY KEY (account, sha256)) STRICT, WITHOUT ROWID;
CREATE TABLE partial (sha256 BLOB, account TEXT, size INTEGER, created INTEGER, seal BLOB,
    PRIMARY KEY (account, sha256)) STRICT, WITHOUT ROWID;
"""
_DAMAGED = "The host's records are damaged. Nothing was changed: put a backup in their place, or take a new directory."


class ModuleRecords:
    """Raises StoreBroken from every method, and Refusal when the disk is full: then nothing was changed."""

    def __init__(self, path: Path) -> None:
        with _told():
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            with _told():
                self._prepare()
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version == 0 and not self._database.execute("SELECT 1 FROM sqlite_schema").fetchone():
            with self._change():
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version={_VERSION}")
        elif version != _VERSION:
            raise StoreBroken("The host's records are of another version of gatebus, or damaged. Use that version.")
        if self._database.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise StoreBroken(_DAMAGED)

    def close(self) -> None:
        with _told():
            self._database.close()

    @contextmanager
    def _change(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # a full disk may have ended it already
                self._database.execute("ROLLBACK")
            raise

    # What is here.

    def module(self, sha256: bytes) -> Module | None:
        with _told():
            rows = self._database.execute("SELECT * FROM module WHERE sha256=?", (sha256,)).fetchall()
            return _module(rows[0]) if rows else None

    def modules(self) -> list[Module]:
        with _told():
            return [_module(row) for row in self._database.execute("SELECT * FROM module")]

    def put_module(self, module: Module) -> None:
        row = (module.sha256, module.size, module.created, module.used, seal(module))
        with _told(), self._change():
            self._database.execute("REPLACE INTO module VALUES (?, ?, ?, ?, ?)", row)

    def drop_module(self, sha256: bytes) -> None:
        """With everybody's holdings."""
        with _told(), self._change():
            self._database.execute("DELETE FROM holding WHERE sha256=?", (sha256,))
            self._database.execute("DELETE FROM module WHERE sha256=?", (sha256,))

    # Who holds it.

    def holding(self, sha256: bytes, account: str) -> Holding | None:
        statement = "SELECT * FROM holding WHERE account=? AND sha256=?"
        with _told():
            rows = self._database.execute(statement, (account, sha256)).fetchall()
            return _holding(rows[0]) if rows else None

    def holdings(self) -> list[Holding]:
        with _told():
            return [_holding(row) for row in self._database.execute("SELECT * FROM holding")]

    def holdings_of(self, account: str) -> list[Holding]:
        with _told():
            return [
                _holding(row) for row in self._database.execute("SELECT * FROM holding WHERE account=?", (account,))
            ]

    def is_pinned(self, sha256: bytes) -> bool:
        """By anybody."""
        statement = "SELECT 1 FROM holding WHERE sha256=? AND pinned=1 LIMIT 1"
        with _told():
            return self._database.execute(statement, (sha256,)).fetchone() is not None

    def change_holding(self, seen: int | None, new: Holding) -> bool:
        """Compare and set: False if the revision is no longer the one that was seen (None: there was none)."""
        with _told(), self._change():
            now = self.holding(new.sha256, new.account)
            if (now.revision if now else None) != seen:
                return False
            row = (*_key(new), int(new.pinned), json.dumps(new.tags), new.created, new.revision, seal(new))
            self._database.execute("REPLACE INTO holding VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return True

    # What is half here.

    def partials(self) -> list[Partial]:
        with _told():
            return [_partial(row) for row in self._database.execute("SELECT * FROM partial")]

    def put_partial(self, partial: Partial) -> None:
        with _told(), self._change():
            row = (*_key(partial), partial.size, partial.created, seal(partial))
            self._database.execute("REPLACE INTO partial VALUES (?, ?, ?, ?, ?)", row)

    def drop_partial(self, sha256: bytes, account: str) -> None:
        with _told(), self._change():
            self._database.execute("DELETE FROM partial WHERE account=? AND sha256=?", (account, sha256))


@contextmanager
def _told() -> Iterator[None]:
    """What SQLite says, as our own error: without the path."""
    try:
        yield
    except sqlite3.OperationalError as problem:
        # a full disk, a lock, missing rights; the name of the error is public, its text may hold a path
        name = getattr(problem, "sqlite_errorname", "unknown")
        if name in _FULL:
            raise disk_full() from problem
        raise StoreBroken(f"The host's records cannot be used ({name}). Look at its disk.") from problem
    except (sqlite3.Error, OSError, ValueError, TypeError, OverflowError) as problem:
        raise StoreBroken(_DAMAGED) from problem


def _key(record: Holding | Partial) -> tuple[bytes, str]:
    return record.sha256, record.account


def _module(row: tuple[bytes, int, int, int, bytes]) -> Module:
    return _sealed(Module(*row[:4]), row[4])


def _holding(row: tuple[bytes, str, int, str, int, int, bytes]) -> Holding:
    sha256, account, pinned, tags, created, revision, sealed = row
    if pinned not in (0, 1):
        raise StoreBroken(_DAMAGED)
    return _sealed(Holding(sha256, account, bool(pinned), tuple(json.loads(tags)), created, revision), sealed)


def _partial(row: tuple[bytes, str, int, int, bytes]) -> Partial:
    return _sealed(Partial(*row[:4]), row[4])


def _sealed(record: T, sealed: bytes) -> T:
    if seal(record) != sealed:
        raise StoreBroken(_DAMAGED)
    return record
