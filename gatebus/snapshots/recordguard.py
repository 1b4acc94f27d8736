"""What stands beside the records of snapshots and guards them: a count of their changes, and room for ends; a wire.

Where it stands: below SnapshotRecords. In: numbers of ours; the files of an earlier run (untrusted: the count has a
seal, and one that does not hold counts as none). Out: how many changes there were, room on a disk that is full.

SQLite takes a flipped bit in its log for the log's end: everything behind it is undone, and nobody is told. So each
change is counted in the records themselves and, once it is on the disk, in a small file beside them: records that count
less than the file have lost their end. The file is written in place and never synced, which costs no time: after a
power cut it may say less than there was, never more.

On a full disk an end could not be written down, and the program would run again after a crash. So some room is taken
beforehand, and given up for that.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from gatebus.durable import sync_folder
from gatebus.snapshots.snapshotbounds import RESERVE

if TYPE_CHECKING:
    from pathlib import Path

_PRIVATE = 0o600
_NUMBER, _SEAL = 8, 8
_PIECE = 64 * 1024


class Tally:
    """The count. Where it cannot be kept, nothing is noticed, and nothing else is wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def read(self) -> int:
        """0: not known."""
        try:
            return _number_untrusted(self._path.read_bytes())
        except OSError:
            return 0

    def write(self, number: int) -> None:
        with suppress(OSError):
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
            raw = number.to_bytes(_NUMBER, "little")
            os.pwrite(self._descriptor, raw + _seal(raw), 0)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Reserve:
    """Room on the disk that is nobody's. None of it is promised: another process may be faster."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        """As far as there is room."""
        with suppress(OSError):
            if self._path.exists() and self._path.stat().st_size >= RESERVE:
                return
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
            try:
                _fill(descriptor)
            finally:
                os.close(descriptor)
            sync_folder(self._path.parent)

    def give(self) -> None:
        with suppress(OSError):
            os.truncate(self._path, 0)


def _fill(descriptor: int) -> None:
    """With noise: a file system that leaves zeros out, or packs them, would reserve nothing."""
    at = os.fstat(descriptor).st_size
    while at < RESERVE:
        at += os.pwrite(descriptor, os.urandom(min(_PIECE, RESERVE - at)), at)
    os.fsync(descriptor)


def _number_untrusted(data: bytes) -> int:
    raw, seal = data[:_NUMBER], data[_NUMBER:]
    return int.from_bytes(raw, "little") if len(raw) == _NUMBER and seal == _seal(raw) else 0


def _seal(raw: bytes) -> bytes:
    return sha256(b"gatebus count of changes" + raw).digest()[:_SEAL]
