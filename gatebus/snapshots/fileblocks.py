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
    """A Sink and a place to read from."""

    def __init__(self) -> None:
        self._held: dict[bytes, bytes] = {}

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._held

    def add(self, digest: bytes, data: bytes) -> None:
        self._held[digest] = data

    def read(self, digest: bytes) -> bytes:
        return self._held[digest]


def blocks_of_file_untrusted(data: bytes) -> Iterator[Block]:
    """Raises BadSnapshot, before the first block."""
    head, chunks = head_untrusted(data[:HEAD_SIZE]), _Chunks()
    imported = _fed_untrusted(take_file_untrusted(head, chunks), data)
    return to_blocks(imported.manifest, imported.program, (head.key, head.signature), chunks)


def _fed_untrusted(reading: Generator[int, bytes, Imported], data: bytes) -> Imported:
    at = HEAD_SIZE
    try:
        wants = next(reading)
        while True:
            if at + wants > len(data):
                raise BadSnapshot("The file is cut off. Copy it again.")
            at += wants
            wants = reading.send(data[at - wants : at])
    except StopIteration as done:
        if at != len(data):
            raise BadSnapshot("Something stands behind the end of the snapshot. Copy it again.") from None
        imported: Imported = done.value
        return imported
