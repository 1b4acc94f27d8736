"""A book of records in SQLite, as the host keeps them; a wire. Every call blocks; one thread at a time.

In:  a path, the tables that shall be there; the file of an earlier run (untrusted: it is checked whole when it is
opened, and whoever reads a row looks at its seal). Out: a database; StoreBroken, a Refusal (full disk).

WAL with full sync: what was answered is on the disk. Only its owner reads the file, whatever the folder allows.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from gatebus.durable import sync_folder
from gatebus.faults import StoreBroken
from gatebus.host.refusals import disk_full

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PRIVATE = 0o600
# What SQLite keeps beside a file. New ones get the rights of the file itself.
_BESIDE = ("-wal", "-shm")
_DAMAGE = (sqlite3.Error, OSError, ValueError, TypeError, OverflowError)
# What SQLite says of a full disk: of its own files, and of the index of its log, which is made larger by writing to it.
_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")

B = TypeVar("B", bound="RecordBook")


class Book(NamedTuple):
    """`name` and `damaged` are words of public texts; `faults`: what reading a row raises when it is damaged."""

    schema: str
    version: int
    name: str
    damaged: str
    faults: tuple[type[Exception], ...] = ()


class RecordBook:
    """Raises StoreBroken from every method, and Refusal when the disk is full: then nothing was changed."""

    def __init__(self, path: Path, book: Book) -> None:
        self._book = book
        self._faults: tuple[type[Exception], ...] = (*_DAMAGE, *book.faults)
        _make_private(path)
        with self._told():
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            with self._told():
                self._prepare()
                sync_folder(path.parent)
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version == 0 and not self._database.execute("SELECT 1 FROM sqlite_schema").fetchone():
            with self._change():
                for statement in filter(str.strip, self._book.schema.split(";")):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version={self._book.version}")
        elif version != self._book.version:
            raise StoreBroken(f"{self._book.name} are of another version of gatebus, or damaged. Use that version.")
        if self._database.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise StoreBroken(self._book.damaged)
        if not _tables(self._database) >= self._wanted():
            raise StoreBroken(self._book.damaged)

    def _wanted(self) -> set[tuple[str, ...]]:
        with closing(sqlite3.connect(":memory:")) as empty:
            empty.executescript(self._book.schema)
            return _tables(empty)

    def close(self) -> None:
        with self._told():
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

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What SQLite says, as our own error: without the path."""
        try:
            yield
        except sqlite3.OperationalError as problem:
            # a full disk, a lock, missing rights; the name of the error is public, its text may hold a path
            name = getattr(problem, "sqlite_errorname", "unknown")
            if name in _FULL:
                raise disk_full() from problem
            raise StoreBroken(f"{self._book.name} cannot be used ({name}). Look at the disk.") from problem
        except self._faults as problem:
            raise StoreBroken(self._book.damaged) from problem


@contextmanager
def looked_through(path: Path, open_in: Callable[[Path], B], *more: str, repair: bool) -> Iterator[B]:
    """What `open_in` makes of the book's folder: a repair changes the book itself, and a check opens a copy, because
    whoever opens one writes. `more`: ends of files that belong to it.
    """
    with (
        nullcontext(path.parent) if repair else _copied(path, *more) as folder,
        closing(open_in(folder)) as records,
    ):
        yield records


@contextmanager
def _copied(path: Path, *more: str) -> Iterator[Path]:
    """The folder of a copy, its own."""
    with TemporaryDirectory(prefix="gatebus-") as name:
        folder = Path(name)
        for end in ("", "-wal", *more):
            with contextlib.suppress(FileNotFoundError):
                copyfile(path.with_name(path.name + end), folder / (path.name + end))
        yield folder


def set_aside(path: Path) -> str:
    """A damaged book out of the way, beside a new one. Its name there; empty: there was none."""
    number = 1
    while (kept := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    there = path.exists()
    for end in ("", *_BESIDE):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(kept.with_name(kept.name + end))
    sync_folder(path.parent)
    return kept.name if there else ""


def _tables(database: sqlite3.Connection) -> set[tuple[str, ...]]:
    """As they were declared: what a flipped bit has renamed is not there."""
    return set(database.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema"))


def _make_private(path: Path) -> None:
    """What hinders it hinders SQLite, too, and is told then. A file that is there is not opened: to close it again
    would give back its locks.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE))
    for each in (path, *(path.with_name(path.name + end) for end in _BESIDE)):
        with contextlib.suppress(OSError):
            each.chmod(_PRIVATE)
