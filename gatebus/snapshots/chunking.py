"""Bytes of a stopped program <-> chunks by digest; words: whoever reads and writes is handed in.

In:  a memory, a state, parts, and what a snapshot before this one had. Out: sections of a manifest; chunks to whoever
keeps them. And the other way: digests of a manifest (untrusted until the chunk behind each is read), bytes.

Only what may not be zeros is read; of a program that went on from a snapshot only what it may have changed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from gatebus.snapshots.manifestwords import (
    DIGEST,
    ZEROS,
    Section,
    block_size,
    blocks_in,
    chunk_size,
    chunks_in,
    is_inline,
)
from gatebus.snapshots.savedwords import BadSnapshot, Memory
from gatebus.snapshots.snapshotbounds import CHUNK, SPREAD

Ranges = Sequence[tuple[int, int]]
_EMPTY = bytes(CHUNK)


class Sink(Protocol):
    def __contains__(self, digest: bytes) -> bool:
        """It need not be added."""
        ...

    def add(self, digest: bytes, data: bytes) -> None: ...


class Chunks(Protocol):
    def read(self, digest: bytes) -> bytes:
        """The chunk of this name. Raises BadSnapshot."""
        ...


@dataclass(frozen=True, slots=True)
class Digests:
    """Of all chunks of one section, joined; ZEROS for zeros."""

    length: int
    joined: bytes

    def of(self, number: int) -> bytes:
        return self.joined[number * DIGEST : (number + 1) * DIGEST]

    def meant(self) -> Iterator[tuple[int, bytes]]:
        """(number, digest) of every chunk that is not zeros."""
        for number in range(len(self.joined) // DIGEST):
            digest = self.of(number)
            if digest != ZEROS:
                yield number, digest

    def size(self) -> int:
        """Bytes of chunks that are not zeros."""
        return sum(chunk_size(self.length, number) for number, _ in self.meant())


class Bytes:
    """Bytes that look like a memory."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    @property
    def size(self) -> int:
        return len(self._data)

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self._data[offset : offset + size])

    def data(self) -> Iterator[tuple[int, int]]:
        yield 0, len(self._data)


def digests_of(memory: Memory, sink: Sink, before: Digests | None = None, changed: Ranges | None = None) -> Digests:
    """Every chunk that is new goes into the sink. `changed`: what may differ from `before`, in bytes."""
    length, count = memory.size, chunks_in(memory.size)
    joined = bytearray(count * DIGEST)
    ranges: Iterable[tuple[int, int]] = memory.data()
    if before is not None and changed is not None:
        same = min(len(before.joined), len(joined))
        joined[:same] = before.joined[:same]
        seam = min(before.length, length) // CHUNK * CHUNK  # what was the end, or is it now, is looked at again
        ranges = sorted([*changed, (seam, max(length - seam, 0))] if before.length != length else changed)
    for number in _numbers(ranges, count):
        data = memory.read(number * CHUNK, chunk_size(length, number))
        digest = ZEROS if data == _EMPTY[: len(data)] else sha256(data).digest()
        joined[number * DIGEST : (number + 1) * DIGEST] = digest
        if digest != ZEROS and digest not in sink:
            sink.add(digest, data)
    return Digests(length, bytes(joined))


def _numbers(ranges: Iterable[tuple[int, int]], count: int) -> Iterator[int]:
    """Of the chunks that the ranges touch, each once; ranges ascend."""
    seen = -1
    for offset, length in ranges:
        if length > 0:
            first, last = max(offset // CHUNK, seen + 1), min((offset + length - 1) // CHUNK, count - 1)
            yield from range(first, last + 1)
            seen = max(seen, last)


def section_of(name: str, digests: Digests, sink: Sink) -> Section:
    """Its index blocks go into the sink."""
    blocks = []
    for number in range(blocks_in(digests.length)):
        start = number * SPREAD * DIGEST
        block = digests.joined[start : start + block_size(digests.length, number)]
        digest = ZEROS if not any(block) else sha256(block).digest()
        if digest != ZEROS and digest not in sink:
            sink.add(digest, block)
        blocks.append(digest)
    return Section(name, digests.length, b"".join(blocks))


def section_of_bytes(name: str, data: bytes, sink: Sink) -> tuple[Section, int]:
    """And how many of its bytes are meant."""
    if is_inline(name, len(data)):
        return Section(name, len(data), None, data), len(data)
    digests = digests_of(Bytes(data), sink)
    return section_of(name, digests, sink), digests.size()


def digests_from(section: Section, chunks: Chunks) -> Digests:
    """Raises BadSnapshot."""
    assert section.blocks is not None
    joined = []
    for number in range(blocks_in(section.length)):
        digest = section.blocks[number * DIGEST : (number + 1) * DIGEST]
        size = block_size(section.length, number)
        block = bytes(size) if digest == ZEROS else chunks.read(digest)
        if len(block) != size:
            raise BadSnapshot("The snapshot is damaged: an index block has another length than it must.")
        joined.append(block)
    return Digests(section.length, b"".join(joined))


def bytes_from(section: Section, chunks: Chunks) -> bytes:
    """All of a section that is no memory. Raises BadSnapshot."""
    if section.blocks is None:
        return section.inline
    digests = digests_from(section, chunks)
    whole = bytearray(section.length)
    for number, digest in digests.meant():
        whole[number * CHUNK : number * CHUNK + CHUNK] = chunk_from(digests, number, digest, chunks)
    return bytes(whole)


def chunk_from(digests: Digests, number: int, digest: bytes, chunks: Chunks) -> bytes:
    """Raises BadSnapshot."""
    data = chunks.read(digest)
    if len(data) != chunk_size(digests.length, number):
        raise BadSnapshot("The snapshot is damaged: a chunk has another length than it must.")
    return data


def digests_in(section: Section, chunks: Chunks) -> Iterator[bytes]:
    """Names of all index blocks and chunks of a section; with repetitions. Raises BadSnapshot."""
    if section.blocks is None:
        return
    for at in range(0, len(section.blocks), DIGEST):
        if (block := section.blocks[at : at + DIGEST]) != ZEROS:
            yield block
    for _, digest in digests_from(section, chunks).meant():
        yield digest
