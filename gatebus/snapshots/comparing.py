"""In which pages two memories differ, by the names of their chunks; words: whoever reads chunks is handed in.

In:  the memories' sections of two manifests, chunks by digest (a stranger may have made both). Out: how many pages
differ, and the first places. What has the same name is the same and is not read; a pair of chunks is compared once,
however often it stands there; after so many pairs (PAIRS_COMPARED) a chunk that has another name counts as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gatebus.snapshots.manifestwords import DIGEST, ZEROS, Section, block_size, blocks_in
from gatebus.snapshots.savedwords import BadSnapshot
from gatebus.snapshots.snapshotbounds import CHUNK, PAIRS_COMPARED, SPREAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatebus.snapshots.chunking import Chunks

PAGE = 4_096
_WHOLE = ((0, CHUNK),)
Ranges = tuple[tuple[int, int], ...]


class Side(NamedTuple):
    """One of two memories."""

    section: Section
    chunks: Chunks

    def block(self, number: int) -> bytes:
        """The name of this index block; behind the end there are zeros."""
        assert self.section.blocks is not None
        return self.section.blocks[number * DIGEST : (number + 1) * DIGEST] or ZEROS

    def names(self, number: int) -> bytes:
        """Of all chunks of a block, joined. Raises BadSnapshot."""
        digest = self.block(number)
        if digest == ZEROS:
            return bytes(SPREAD * DIGEST)
        names = self.chunks.read(digest)
        if len(names) != block_size(self.section.length, number):
            raise BadSnapshot("The snapshot is damaged: an index block has another length than it must.")
        return names.ljust(SPREAD * DIGEST, b"\0")

    def chunk(self, digest: bytes) -> bytes:
        """Raises BadSnapshot."""
        return b"" if digest == ZEROS else self.chunks.read(digest)


class Changes(NamedTuple):
    """`pages`: of 4 KiB. `ranges`: (offset, length) of the first that differ, neighbours joined."""

    pages: int
    ranges: list[tuple[int, int]]


def changes(one: Side, two: Side, told: int) -> Changes:
    """What only one of them has differs from zeros. `told`: ranges at most. Raises BadSnapshot."""
    known: dict[tuple[bytes, bytes], Ranges] = {}
    pages, ranges = 0, list[tuple[int, int]]()
    for number, *pair in _differing(one, two):
        key = pair[0], pair[1]
        if key not in known and len(known) < PAIRS_COMPARED:
            known[key] = _compared(one.chunk(key[0]), two.chunk(key[1]))
        for start, length in known.get(key, _WHOLE):
            pages += length // PAGE
            _add(ranges, number * CHUNK + start, length, told)
    return Changes(pages, ranges)


def _differing(one: Side, two: Side) -> Iterator[tuple[int, bytes, bytes]]:
    """(number, name, name) of the chunks that have not the same."""
    for block in range(max(blocks_in(one.section.length), blocks_in(two.section.length))):
        if one.block(block) == two.block(block):
            continue
        first, second = one.names(block), two.names(block)
        for number in range(SPREAD):
            place = slice(number * DIGEST, (number + 1) * DIGEST)
            if first[place] != second[place]:
                yield block * SPREAD + number, first[place], second[place]


def _compared(one: bytes, two: bytes) -> Ranges:
    one, two = one.ljust(CHUNK, b"\0"), two.ljust(CHUNK, b"\0")
    found: list[tuple[int, int]] = []
    for at in range(0, CHUNK, PAGE):
        if one[at : at + PAGE] != two[at : at + PAGE]:
            _add(found, at, PAGE, CHUNK // PAGE)
    return tuple(found)


def _add(ranges: list[tuple[int, int]], start: int, length: int, most: int) -> None:
    if ranges and sum(ranges[-1]) == start:
        ranges[-1] = (ranges[-1][0], ranges[-1][1] + length)
    elif len(ranges) < most:
        ranges.append((start, length))
