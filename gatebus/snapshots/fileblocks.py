"""A snapshot's file as blocks of IPFS; words.

In:  a whole file as exportwords has it (untrusted: a host made it). Out: blocks with their CIDs, the root last; what
contentblocks makes of a store's own chunks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatebus.snapshots.contentblocks import to_blocks
from gatebus.snapshots.exportwords import HEAD_SIZE, Imported, head_untrusted, take_file_untrusted
from gatebus.snapshots.savedwords import BadSnapshot

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from gatebus.snapshots.contentblocks import Block


class _Chunks:
    """A Sink and a place to read from: where each chunk lies in the file."""

    def __init__(self, data: memoryview) -> None:
        self.at = HEAD_SIZE
        self._data = data
        self._places: dict[bytes, tuple[int, int]] = {}

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._places

    def add(self, digest: bytes, data: bytes) -> None:
        self._places[digest] = self.at - len(data), self.at

    def read(self, digest: bytes) -> bytes:
        start, end = self._places[digest]
        return bytes(self._data[start:end])

    def take_untrusted(self, size: int) -> bytes:
        if self.at + size > len(self._data):
            raise BadSnapshot("The file is cut off. Copy it again.")
        self.at += size
        return bytes(self._data[self.at - size : self.at])

    def check_end_untrusted(self) -> None:
        if self.at != len(self._data):
            raise BadSnapshot("Something stands behind the end of the snapshot. Copy it again.")


def blocks_of_file_untrusted(data: bytes | memoryview) -> Iterator[Block]:
    """One after the other, so that no more than one is held. Raises BadSnapshot, before the first block."""
    view = memoryview(data)
    head, chunks = head_untrusted(bytes(view[:HEAD_SIZE])), _Chunks(view)
    imported = _fed_untrusted(take_file_untrusted(head, chunks), chunks)
    return to_blocks(imported.manifest, imported.program, (head.key, head.signature), chunks)


def _fed_untrusted(reading: Generator[int, bytes, Imported], chunks: _Chunks) -> Imported:
    try:
        wants = next(reading)
        while True:
            wants = reading.send(chunks.take_untrusted(wants))
    except StopIteration as done:
        chunks.check_end_untrusted()
        imported: Imported = done.value
        return imported
