"""Wire: files of the portable back-end: what a compile worker is given, and what it has made.

In:  a program, or an order in pieces (untrusted); a file that a worker has left, with its digest. Out: a file; its
bytes, whole or in pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.backend import Pieces

_READ_CHUNK = 1 << 20


class ImageFile:
    """A compiled program as a file in the back-end's private directory. Implements backend.Blob."""

    def __init__(self, path: Path, size: int, sha256: str) -> None:
        self.path, self.sha256 = path, sha256
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    def read(self) -> bytes:
        return self.path.read_bytes()

    def pieces(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            while piece := file.read(_READ_CHUNK):
                yield piece

    def __del__(self) -> None:
        # Windows does not remove what is being read: the directory's end does
        try:
            self.path.unlink(missing_ok=True)
        except OSError:
            return


def write_given(path: Path, wasm: bytes | Pieces) -> None:
    with path.open("wb") as file:
        for piece in (wasm,) if isinstance(wasm, bytes) else wasm():
            file.write(piece)
