"""A snapshot from the disk into a memory; a wire. Every call blocks, in a thread of its own.

In:  files of ours (untrusted until their digests are right). Out: a Saved whose memory a program can go on in without
another copy; StoreBroken, OSError.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from gatebus.failpoints import UNWATCHED
from gatebus.snapshots.chunking import Digests, bytes_from, chunk_from, digests_from
from gatebus.snapshots.comparing import Changes, Side, changes
from gatebus.snapshots.packset import PackSet, as_broken
from gatebus.snapshots.savedwords import Saved
from gatebus.snapshots.snapshotbounds import AT_ONCE, CHUNK, PIECE
from sandbox.snapshotfile import SnapshotFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gatebus.failpoints import Failpoints
    from gatebus.snapshots.chunking import Chunks
    from gatebus.snapshots.manifestwords import Manifest, Section
    from gatebus.snapshots.packfolder import Pack, PackFolder
    from gatebus.snapshots.savedwords import Memory


class Source(NamedTuple):
    """`size`: of what is not zeros."""

    folder: PackFolder
    packs: Sequence[Pack]
    size: int


class Opened(NamedTuple):
    """Its files are open. `size` as of its source. `saved`: all of it, when it is small; else nothing was read yet but
    what it consists of.
    """

    packs: PackSet
    manifest: Manifest
    size: int
    saved: Saved | None = None


def open_snapshot(source: Source, snapshot: bytes) -> Opened:
    with as_broken():
        packs = PackSet(source.folder, source.packs)
        try:
            return Opened(packs, packs.manifest(snapshot), source.size)
        except BaseException:
            packs.close()
            raise


def open_to_read(points: Failpoints, source: Source, snapshot: bytes) -> Opened:
    """What is small is read in the same turn of a thread."""
    opened = open_snapshot(source, snapshot)
    if sum(length for _, length in opened.manifest.lengths) > AT_ONCE:
        return opened
    try:
        return opened._replace(saved=read_snapshot(opened, points))
    except BaseException:
        opened.packs.close()
        raise


def read_snapshot(opened: Opened, points: Failpoints) -> Saved:
    points.reached("load-begun")
    packs, manifest, *_ = opened
    with as_broken():
        memory, state, *parts = manifest.sections
        saved = Saved(
            manifest.module,
            manifest.described(),
            section_bytes(state, packs),
            tuple((each.name, section_bytes(each, packs)) for each in parts),
            memory_from(memory, packs, points),
        )
        points.reached("load-whole")
        return saved


def section_bytes(section: Section, chunks: Chunks) -> bytes:
    """All of a section that is no memory. A large one goes through a file without a name: one read gives all of it, and
    the interpreter is everybody's meanwhile. Raises BadSnapshot.
    """
    if section.length <= PIECE:
        return bytes_from(section, chunks)
    digests = digests_from(section, chunks)
    with _nameless() as file:
        os.truncate(file.fileno(), section.length)
        _fill(file.fileno(), digests, chunks)
        whole = os.pread(file.fileno(), section.length, 0)
    if len(whole) != section.length:
        raise OSError("a file gave less than it was given")
    return whole


def _nameless() -> IO[bytes]:
    if not sys.platform.startswith("linux"):
        return tempfile.TemporaryFile()
    from sandbox.memfd import empty_memfd  # of Linux only

    return os.fdopen(empty_memfd("section"), "w+b", buffering=0)


class Looked(NamedTuple):
    """`touched`: bytes of memory 0 that are not zeros for sure."""

    state: bytes
    touched: int


def read_look(opened: Opened) -> Looked:
    with as_broken():
        memory, state, *_ = opened.manifest.sections
        return Looked(section_bytes(state, opened.packs), digests_from(memory, opened.packs).size())


def read_changes(before: Opened, after: Opened, told: int) -> Changes:
    with as_broken():
        one, two = (Side(each.manifest.sections[0], each.packs) for each in (before, after))
        return changes(one, two, told)


def memory_from(section: Section, chunks: Chunks, points: Failpoints) -> Memory:
    """Zeros stay holes. It is gone when nobody refers to it. Raises BadSnapshot."""
    digests = digests_from(section, chunks)
    if not sys.platform.startswith("linux"):
        return _memory_file(digests, chunks, points)
    from sandbox.memfd import MemfdSnapshot, memory_memfd  # of Linux only

    memory = MemfdSnapshot(memory_memfd(section.length), section.length)
    _fill(memory.fd, digests, chunks, points)
    return memory


def _memory_file(digests: Digests, chunks: Chunks, points: Failpoints) -> Memory:
    fd, path = tempfile.mkstemp(prefix="gatebus-memory-")
    memory = cast("Memory", SnapshotFile(Path(path), digests.length))
    with os.fdopen(fd, "wb"):
        os.truncate(fd, digests.length)
        _fill(fd, digests, chunks, points)
    return memory


def _fill(fd: int, digests: Digests, chunks: Chunks, points: Failpoints = UNWATCHED) -> None:
    for number, digest in digests.meant():
        data = chunk_from(digests, number, digest, chunks)
        if os.pwrite(fd, data, number * CHUNK) != len(data):
            raise OSError("a memory took less than it was given")
        points.reached("load-half")
