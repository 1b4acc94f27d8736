"""Wire: memory 0 of a stopped program as a file, and copies of such memories from anywhere.

In:  what a process has left (its program's own bytes, untrusted and not looked at). Out: the same bytes, once more for
each program that goes on: all of them have memory of their own.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.backend import Snapshot

_CHUNK = 1 << 20


class SnapshotFile:
    """Implements backend.Snapshot: the first `size` bytes of a file that is removed when nobody refers to it."""

    __slots__ = ("path", "size")

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = path, size

    def read(self, offset: int, size: int) -> bytes:
        with self.path.open("rb") as file:
            return os.pread(file.fileno(), min(size, self.size - offset), offset)

    def data(self) -> Iterator[tuple[int, int]]:
        with self.path.open("rb") as file:
            yield from written(file.fileno(), self.size)

    def __del__(self) -> None:
        self.path.unlink(missing_ok=True)


def written(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of what of the first `size` bytes of a file was ever written; the rest is holes, which read as
    zeros.
    """
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.EINVAL:  # no such question here
                yield at, size - at
            return  # nothing but a hole is left
        end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        if start < end:
            yield start, end - start
        at = max(end, start + 1)


def make_memory_file(path: Path, size: int, content: Snapshot | None) -> None:
    """Nothing but a hole, or the content of a stopped program. Blocks. Raises OSError."""
    with path.open("xb") as file:
        os.truncate(file.fileno(), size)
        if content is not None:
            copy_snapshot(content, file.fileno())


def copy_snapshot(snapshot: Snapshot, fd: int) -> None:
    """Into a file of zeros: zeros stay holes. Blocks. Raises OSError."""
    zeros = bytes(_CHUNK)
    for start, length in snapshot.data():
        for at in range(start, start + length, _CHUNK):
            piece = snapshot.read(at, min(_CHUNK, start + length - at))
            if piece != zeros[: len(piece)]:
                _write_all(fd, piece, at)


def _write_all(fd: int, data: bytes, at: int) -> None:
    while data:
        written = os.pwrite(fd, data, at)
        at, data = at + written, data[written:]
