"""A file without a name, for what is too large to be held in memory and is not kept; a wire.

In:  bytes, in order. Out: the same, by their place, or as one view. It is gone when it is closed, also by a crash.
"""

from __future__ import annotations

import mmap
import tempfile
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Self

from sandbox.inthread import in_thread

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class Spool:
    """Raises OSError. `folder`: on a disk that may hold it; None: where this machine keeps such files."""

    def __init__(self, folder: Path | None = None) -> None:
        self.size = 0
        self._digest = sha256()
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # it is closed by whoever has this one
        self._map: mmap.mmap | None = None

    @property
    def sha256(self) -> bytes:
        return self._digest.digest()

    def add(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._file.flush()  # a disk that is full says so here, to whoever brought the bytes
        self._digest.update(data)
        self.size += len(data)

    def read_at(self, start: int, size: int) -> bytes:
        self._file.seek(start)
        return self._file.read(size)

    async def read(self, start: int, size: int) -> bytes:
        return await in_thread(self.read_at, start, size)

    def view(self) -> memoryview:
        """All of it, in the machine's cache of files and not in our memory."""
        if not self.size:
            return memoryview(b"")
        self._map = mmap.mmap(self._file.fileno(), self.size, access=mmap.ACCESS_READ)
        return memoryview(self._map)

    def close(self) -> None:
        """A view that somebody still has stays until they let go of it."""
        self._map = None
        with suppress(OSError):  # what could not be written is tried once more
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
