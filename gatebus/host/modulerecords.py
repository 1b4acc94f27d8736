"""Records of modules in a RecordBook; a wire. Every call blocks; one thread at a time.

In:  frozen records of ours; rows of an earlier run (untrusted: every one is sealed). Out: records, StoreBroken, a
Refusal (full disk).

What was answered is on the disk. Holdings are changed by compare-and-set on their revision, so that
a store that several machines share fits behind the same three calls.
"""

import json
from pathlib import Path
from typing import TypeVar

from gatebus.faults import StoreBroken
from gatebus.host.moduledata import Holding, Module, Partial, seal
from gatebus.host.modulefiles import ModuleFiles
from gatebus.host.recordbook import Book, RecordBook

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
_DAMAGED = (
    "The host's records are damaged. Nothing was changed: put a backup in their place, or `gatebus fsck --repair` "
    "makes new ones for what stored programs need."
)
_MISSING = (
    "The host's records are missing, and there are files of modules. Nothing was changed: put the records back, or "
    "`gatebus fsck --repair` makes new ones for what stored programs need."
)
DATABASE = "records.sqlite"


class ModuleRecords(RecordBook):
    """Raises StoreBroken from every method, and Refusal when the disk is full: then nothing was changed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Book(_SCHEMA, _VERSION, "The host's records", _DAMAGED))

    # What is here.

    def module(self, sha256: bytes) -> Module | None:
        with self._told():
            rows = self._database.execute("SELECT * FROM module WHERE sha256=?", (sha256,)).fetchall()
            return _module(rows[0]) if rows else None

    def modules(self) -> list[Module]:
        with self._told():
            return [_module(row) for row in self._database.execute("SELECT * FROM module")]

    def put_module(self, module: Module) -> None:
        row = (module.sha256, module.size, module.created, module.used, seal(module))
        with self._told(), self._change():
            self._database.execute("REPLACE INTO module VALUES (?, ?, ?, ?, ?)", row)

    def drop_module(self, sha256: bytes) -> None:
        """With everybody's holdings."""
        with self._told(), self._change():
            self._database.execute("DELETE FROM holding WHERE sha256=?", (sha256,))
            self._database.execute("DELETE FROM module WHERE sha256=?", (sha256,))

    # Who holds it.

    def holding(self, sha256: bytes, account: str) -> Holding | None:
        statement = "SELECT * FROM holding WHERE account=? AND sha256=?"
        with self._told():
            rows = self._database.execute(statement, (account, sha256)).fetchall()
            return _holding(rows[0]) if rows else None

    def holdings(self) -> list[Holding]:
        with self._told():
            return [_holding(row) for row in self._database.execute("SELECT * FROM holding")]

    def holdings_of(self, account: str) -> list[Holding]:
        with self._told():
            return [
                _holding(row) for row in self._database.execute("SELECT * FROM holding WHERE account=?", (account,))
            ]

    def is_pinned(self, sha256: bytes) -> bool:
        """By anybody."""
        statement = "SELECT 1 FROM holding WHERE sha256=? AND pinned=1 LIMIT 1"
        with self._told():
            return self._database.execute(statement, (sha256,)).fetchone() is not None

    def change_holding(self, seen: int | None, new: Holding) -> bool:
        """Compare and set: False if the revision is no longer the one that was seen (None: there was none)."""
        with self._told(), self._change():
            now = self.holding(new.sha256, new.account)
            if (now.revision if now else None) != seen:
                return False
            row = (*_key(new), int(new.pinned), json.dumps(new.tags), new.created, new.revision, seal(new))
            self._database.execute("REPLACE INTO holding VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return True

    # What is half here.

    def partials(self) -> list[Partial]:
        with self._told():
            return [_partial(row) for row in self._database.execute("SELECT * FROM partial")]

    def put_partial(self, partial: Partial) -> None:
        with self._told(), self._change():
            row = (*_key(partial), partial.size, partial.created, seal(partial))
            self._database.execute("REPLACE INTO partial VALUES (?, ?, ?, ?, ?)", row)

    def drop_partial(self, sha256: bytes, account: str) -> None:
        with self._told(), self._change():
            self._database.execute("DELETE FROM partial WHERE account=? AND sha256=?", (account, sha256))


def module_records_for(folder: Path, files: ModuleFiles) -> ModuleRecords:
    """Made where nothing is yet. Raises StoreBroken: there are files, and no records of them."""
    if not (folder / DATABASE).exists() and any(files.names()):
        raise StoreBroken(_MISSING)
    return ModuleRecords(folder / DATABASE)


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
