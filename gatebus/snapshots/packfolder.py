"""Files of chunks on disk; a wire. Every call blocks.

In:  chunks with their digests; files of an earlier run (untrusted: every byte is under a digest). Out: files that are
on the disk when `finish` returns; chunks that are what their name says, BadSnapshot, OSError.

    packs/NAME    a file of chunks (packwords.py); without a record it is nobody's, and stays for `gatebus fsck`

The header is written last: a file that a crash cut says so by its first bytes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import zstandard

from gatebus.durable import sync_folder
from gatebus.failpoints import UNWATCHED
from gatebus.snapshots.packwords import (
    HEAD_SIZE,
    UNSIGNED,
    Entry,
    PackTail,
    encode_head,
    encode_tail,
    head_untrusted,
    places,
    tail_untrusted,
)
from gatebus.snapshots.savedwords import BadSnapshot
from gatebus.snapshots.snapshotbounds import COMPRESS_LEVEL, TRIED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gatebus.failpoints import Failpoints

_NAME = 16
_BUFFER = 1 << 18  # many chunks are small
_WORTH = 8  # an eighth must be gained, or the processor time of every load is not worth it


class Pack(NamedTuple):
    """A file that is on the disk. `head`: SHA-256 of its header, which covers its index and its size."""

    name: bytes
    account: str
    size: int
    head: bytes


class PackFolder:
    """Raises OSError from every method."""

    def __init__(self, folder: Path, points: Failpoints = UNWATCHED, *, make: bool = True) -> None:
        """`make`: the folder; whoever only reads leaves everything as it is."""
        self.path, self._points = folder, points
        if make:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            sync_folder(folder.parent)

    def make(self) -> PackWriter:
        self._points.reached("save-begun")
        name = os.urandom(_NAME)
        return PackWriter(self.path, name, self._points)

    def open(self, pack: Pack) -> PackReader:
        """Raises BadSnapshot, FileNotFoundError."""
        reader = self.look(pack.name)
        if (reader.head_digest, reader.account) != (pack.head, pack.account):
            raise BadSnapshot("A file of stored snapshots is not the one that was written. It was left as it is.")
        return reader

    def look(self, name: bytes) -> PackReader:
        """Without a record of it. Raises BadSnapshot, FileNotFoundError."""
        return PackReader(self.path / name.hex(), name)

    def remove(self, name: bytes) -> None:
        (self.path / name.hex()).unlink(missing_ok=True)

    def entries(self) -> Iterator[tuple[str, int]]:
        """(name, size) of all that lies here."""
        if not self.path.exists():
            return
        with os.scandir(self.path) as found:
            for each in found:
                with suppress(FileNotFoundError):
                    yield each.name, each.stat(follow_symlinks=False).st_size

    def set_aside(self, name: str) -> None:
        """Out of the way, for its owner to look at: nothing is deleted on doubt."""
        aside = self.path.parent / "aside"
        aside.mkdir(exist_ok=True, mode=0o700)
        (self.path / name).rename(aside / name)
        sync_folder(aside)
        sync_folder(self.path)


class PackWriter:
    """One file that grows; `finish` makes it durable, `discard` takes it away."""

    def __init__(self, folder: Path, name: bytes, points: Failpoints) -> None:
        self.name = name
        self.bytes = HEAD_SIZE
        self._folder, self._points, self._path = folder, points, folder / name.hex()
        self._entries: dict[bytes, Entry] = {}
        self._compressor = zstandard.ZstdCompressor(level=COMPRESS_LEVEL)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self._path, flags, 0o600), "wb", buffering=_BUFFER)
        try:
            self._file.write(bytes(HEAD_SIZE))
            points.reached("save-pack-made")
        except BaseException:
            self.discard()
            raise

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._entries

    def add(self, digest: bytes, data: bytes) -> None:
        """A chunk that is not here yet."""
        stored = self._packed(data)
        self.copy(Entry(digest, digest if stored is data else sha256(stored).digest(), len(stored), len(data)), stored)

    def copy(self, entry: Entry, stored: bytes) -> None:
        """A chunk as it lies in another file, verified there."""
        self._entries[entry.digest] = entry
        self._file.write(stored)
        self.bytes += len(stored)
        if len(self._entries) == 1:
            self._file.flush()
            self._points.reached("save-pack-half")

    def _packed(self, data: bytes) -> bytes:
        """A small part is tried first: most of what does not shrink is told by it."""
        if len(data) > 2 * TRIED and not _gains(self._compressor.compress(data[:TRIED]), TRIED):
            return data
        packed = self._compressor.compress(data)
        return packed if _gains(packed, len(data)) else data

    def finish(self, account: str, manifest: bytes, signed: tuple[bytes, bytes] = UNSIGNED) -> Pack:
        tail = PackTail(tuple(self._entries.values()), account, manifest)
        head = encode_head(tail, signed)
        self._file.write(encode_tail(tail))
        self.bytes = self._file.tell()
        self._file.seek(0)
        self._file.write(head)
        self._file.flush()
        self._points.reached("save-pack-written")
        os.fsync(self._file.fileno())
        self._file.close()
        self._points.reached("save-pack-synced")
        sync_folder(self._folder)
        self._points.reached("save-folder-synced")
        return Pack(self.name, account, self.bytes, sha256(head).digest())

    def discard(self) -> None:
        """Idempotent; also of a disk that takes nothing more."""
        with suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)


class PackReader:
    """An open file whose index was read and is right. Raises BadSnapshot, OSError."""

    def __init__(self, path: Path, name: bytes) -> None:
        self.name = name
        self._decompressor = zstandard.ZstdDecompressor()
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            written = os.pread(self._fd, HEAD_SIZE, 0)
            self.head = head_untrusted(written)
            self.head_digest = sha256(written).digest()
            if os.fstat(self._fd).st_size != self.head.size:
                raise BadSnapshot("A file of stored snapshots was cut or has grown. It was left as it is.")
            length = self.head.size - self.head.tail_at
            tail = tail_untrusted(self.head, os.pread(self._fd, length, self.head.tail_at))
        except BaseException:
            os.close(self._fd)
            raise
        self.account, self.manifest, self.index = tail.account, tail.manifest, places(tail)

    @property
    def size(self) -> int:
        return self.head.size

    def stored(self, digest: bytes) -> tuple[Entry, bytes]:
        """As it lies here, which was verified."""
        at, entry = self.index[digest]
        stored = os.pread(self._fd, entry.stored_length, at)
        if sha256(stored).digest() != entry.stored:
            raise BadSnapshot("A chunk of a stored snapshot is damaged. It was left as it is.")
        return entry, stored

    def read(self, digest: bytes) -> bytes:
        entry, stored = self.stored(digest)
        if not entry.packed:
            return stored
        try:
            data = self._decompressor.decompress(stored, max_output_size=entry.length)
        except zstandard.ZstdError:
            raise _unreadable() from None
        if len(data) != entry.length:
            raise _unreadable()
        return data

    def close(self) -> None:
        os.close(self._fd)


def _gains(packed: bytes, length: int) -> bool:
    return len(packed) < length - length // _WORTH


def _unreadable() -> BadSnapshot:
    return BadSnapshot("A chunk of a stored snapshot cannot be unpacked. It was left as it is.")
