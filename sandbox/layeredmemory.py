"""Wire: memory 0 of a stopped program that had gone on from a shared memory: that memory, and what it changed of it.

In:  the file in which a process left the pages that were its own by then, and which they are (the file is the
program's, its list untrusted). Out: a snapshot like any other; and, for programs that go on from it without a copy, at
most two files: a memory, and the pieces that stand for parts of it.

However often a program is stopped and goes on, there are at most two files: what an earlier stop has left is merged
into the newest one (copied by the kernel, bounded by what was ever changed), and when that is more than half of the
memory, so is the rest.
"""

from __future__ import annotations

import fcntl
import os
import threading
from typing import TYPE_CHECKING, NamedTuple

from sandbox.memfd import F_ADD_SEALS, SEAL_GROW, SEAL_SHRINK, SEAL_WRITE, MemfdSnapshot, copy_range
from sandbox.pageranges import few, join, total, without

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.pageranges import Ranges

# Each is one mapping of the process that goes on, and a microsecond there.
PIECES_MAX = 64


class Files(NamedTuple):
    """What a process maps: `changes` (-1: none) stands for `pieces` of the first `size` bytes of `base`."""

    base: int
    size: int
    changes: int = -1
    pieces: Ranges = ()

    @property
    def descriptors(self) -> tuple[int, ...]:
        return (self.base,) if self.changes < 0 else (self.base, self.changes)


def shareable(memory: MemfdSnapshot | LayeredMemory) -> Files | None:
    """Blocks while it merges. From now on nobody can write to these files. None: somebody else still can."""
    files = memory.merged() if isinstance(memory, LayeredMemory) else Files(memory.fd, memory.size)
    try:
        for fd in files.descriptors:
            fcntl.fcntl(fd, F_ADD_SEALS, SEAL_SHRINK | SEAL_GROW | SEAL_WRITE)
    except OSError:
        return None
    return files


class LayeredMemory:
    """Implements backend.Snapshot. `changed`: what its program changed; the rest is the base's, as far as that goes."""

    __slots__ = ("_base", "_lock", "_pieces", "changed", "fd", "size")

    def __init__(self, base: MemfdSnapshot | LayeredMemory, fd: int, changed: Ranges, size: int) -> None:
        self._base: MemfdSnapshot | LayeredMemory | None = base
        self._lock = threading.Lock()
        self._pieces = self.changed = changed
        self.fd, self.size = fd, size

    @property
    def to_merge(self) -> int:
        """Bytes that `merged` copies at most."""
        return 0 if self._base is None else self.size

    def read(self, offset: int, size: int) -> bytes:
        end = min(offset + size, self.size)
        parts, at = [], offset
        base, pieces = self._base, self._pieces
        for start, length in without(((offset, max(0, end - offset)),), pieces):
            parts.append(os.pread(self.fd, start - at, at))
            parts.append(_read_base(base, start, length))
            at = start + length
        parts.append(os.pread(self.fd, max(0, end - at), at))
        return b"".join(parts)

    def data(self) -> Iterator[tuple[int, int]]:
        found = list(self._pieces)
        if self._base is not None:
            found += [(at, min(length, self.size - at)) for at, length in self._base.data() if at < self.size]
        yield from join(found)

    def merged(self) -> Files:
        """Into at most two files, of which one is this."""
        with self._lock:
            base = self._base
            if isinstance(base, LayeredMemory):
                files = base.merged()
                if files.changes >= 0:  # else it has a file of its own, and is the base
                    self._take(files.changes, without(files.pieces, self._pieces))
                    base = base._base
            if base is None:
                return Files(self.fd, self.size)
            # What is behind the base's memory in its file is not the base's.
            behind = (base.size, max(0, self.size - base.size))
            self._pieces = tuple(join((*self._pieces, behind)))
            filled = few(self._pieces, PIECES_MAX)
            if total(filled) * 2 > self.size:  # filled: for the next one it is the same, and then nobody may write here
                self._take(base.fd, without(join(base.data()), self._pieces))
                self._base, self._pieces = None, ((0, self.size),)
                return Files(self.fd, self.size)
            self._take(base.fd, without(filled, self._pieces))
            self._base, self._pieces = base, filled
            return Files(base.fd, self.size, self.fd, filled)

    def _take(self, fd: int, ranges: Ranges) -> None:
        """The content is the same before and after: others may read meanwhile."""
        for at, length in ranges:
            if at < self.size:
                copy_range(fd, self.fd, at, min(at + length, self.size))
        self._pieces = tuple(join((*self._pieces, *ranges)))

    def __del__(self) -> None:
        os.close(self.fd)


def _read_base(base: MemfdSnapshot | LayeredMemory | None, at: int, size: int) -> bytes:
    known = b"" if base is None or at >= base.size else base.read(at, size)
    return known.ljust(size, b"\0")
