"""All files that one snapshot's chunks lie in; a wire. Every call blocks.

In:  records of a snapshot, files (untrusted until read). Out: its manifest and chunks, StoreBroken in the place of
whatever is wrong with them, because they are the host's own.
"""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from gatebus.faults import FileDamaged
from gatebus.snapshots.manifestwords import Manifest, contents_untrusted, decode_untrusted
from gatebus.snapshots.savedwords import BadSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gatebus.snapshots.packfolder import Pack, PackFolder, PackReader
    from gatebus.snapshots.packwords import Entry


class PackSet:
    """Open files. `close` when nothing is read any more."""

    def __init__(self, folder: PackFolder, packs: Iterable[Pack]) -> None:
        """Raises BadSnapshot, OSError."""
        self.packs: list[PackReader] = []
        self._where: dict[bytes, PackReader] = {}
        try:
            for pack in packs:
                reader = folder.open(pack)
                self.packs.append(reader)
                self._where.update(dict.fromkeys(reader.index, reader))
        except BaseException:
            self.close()
            raise

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._where

    def pack_of(self, digest: bytes) -> bytes:
        return self._where[digest].name

    def read(self, digest: bytes) -> bytes:
        """Raises BadSnapshot."""
        return self._reader(digest).read(digest)

    def stored(self, digest: bytes) -> tuple[Entry, bytes]:
        """Raises BadSnapshot."""
        return self._reader(digest).stored(digest)

    def _reader(self, digest: bytes) -> PackReader:
        reader = self._where.get(digest)
        if reader is None:
            raise BadSnapshot("A chunk of a stored snapshot is missing.")
        return reader

    def manifest(self, snapshot: bytes) -> Manifest:
        """Of the first file. Raises BadSnapshot."""
        return decode_untrusted(self._manifest(snapshot))

    def contents(self, snapshot: bytes) -> Manifest:
        """The same for whoever asks for its sections only."""
        return contents_untrusted(self._manifest(snapshot))

    def _manifest(self, snapshot: bytes) -> bytes:
        data = self.packs[0].manifest
        if sha256(data).digest() != snapshot:
            raise BadSnapshot("The file of a stored snapshot has another one's contents.")
        return data

    def close(self) -> None:
        for each in self.packs:
            each.close()


class SharedGone(Exception):
    """A file that is shared was removed meanwhile; or it is damaged, and a new snapshot does without."""


@contextmanager
def as_broken() -> Iterator[None]:
    """What a file of ours is found to be is nobody else's fault. A missing one: SharedGone."""
    try:
        yield
    except BadSnapshot as fault:
        raise FileDamaged(fault.text) from fault
    except FileNotFoundError as fault:
        raise SharedGone from fault


@contextmanager
def as_gone() -> Iterator[None]:
    try:
        yield
    except (BadSnapshot, FileNotFoundError) as fault:
        raise SharedGone from fault
