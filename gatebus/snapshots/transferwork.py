"""A snapshot out of the store as one file, and in again; a wire. Every call blocks, in a thread.

In:  records and files of ours; pieces of a file that anybody may have made (untrusted: exportwords reads it). Out:
pieces; a file of chunks that is durable, not yet recorded. BadSnapshot is the giver's fault, StoreBroken ours.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from gatebus.host.refusals import no_room
from gatebus.snapshots.exportwords import (
    HEAD_SIZE,
    Imported,
    file_pieces,
    head_untrusted,
    no_check,
    take_file_untrusted,
)
from gatebus.snapshots.manifestwords import contents_untrusted
from gatebus.snapshots.packset import PackSet, as_broken
from gatebus.snapshots.packwords import UNSIGNED
from gatebus.snapshots.savedwords import BadSnapshot
from gatebus.snapshots.savingwork import Written
from gatebus.snapshots.snapshotbounds import PIECE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from gatebus.failpoints import Failpoints
    from gatebus.snapshots.exportwords import FileHead
    from gatebus.snapshots.loadingwork import Source
    from gatebus.snapshots.manifestwords import Manifest
    from gatebus.snapshots.packfolder import PackFolder


Anew = Callable[[bytes], tuple[bytes, tuple[bytes, bytes]]]
"""A manifest -> another one of the same chunks, and (public key, signature) of it."""


class Exporter:
    """Open files of ours; `close` when no piece is wanted any more. Raises StoreBroken, SharedGone, OSError."""

    def __init__(self, source: Source, program: bytes, anew: Anew | None) -> None:
        with as_broken():
            self._packs = PackSet(source.folder, source.packs)
            try:
                first = self._packs.packs[0]
                as_it_is = first.manifest, (first.head.key, first.head.signature)
                manifest, signed = anew(first.manifest) if anew is not None else as_it_is
                pieces = file_pieces(manifest, program, signed, self._packs)
                head = next(pieces)
            except BaseException:
                self._packs.close()
                raise
        self.size = head_untrusted(head).size
        """Of the whole file."""
        self._pieces = _joined(chain((head,), pieces))

    def next(self) -> bytes:
        """b"" at the end."""
        with as_broken():
            return next(self._pieces, b"")

    def close(self) -> None:
        self._packs.close()


def _joined(pieces: Iterator[bytes]) -> Iterator[bytes]:
    waiting, size = [], 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


class Place(NamedTuple):
    """Where an import goes, and how large it may be; `check`: and what it may be of."""

    folder: PackFolder
    account: str
    room: int
    points: Failpoints
    check: Callable[[Manifest], None] = no_check


class Importer:
    """Fed with a file's bytes; `discard` unless it was recorded. Raises BadSnapshot, OSError, Refusal."""

    def __init__(self, place: Place) -> None:
        self.done: Imported | None = None
        self._place, self._waiting, self._wants = place, bytearray(), HEAD_SIZE
        self._head: FileHead | None = None
        self._reading: Generator[int, bytes, Imported] | None = None
        place.points.reached("import-begun")
        self._writer = place.folder.make()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._writer

    def add(self, digest: bytes, data: bytes) -> None:
        self._writer.add(digest, data)
        self._place.points.reached("import-half")
        if self._writer.bytes > self._place.room:
            raise no_room(self._place.room)

    def feed(self, data: bytes) -> None:
        self._waiting += data
        at = 0
        while self.done is None and len(self._waiting) - at >= self._wants:
            piece = bytes(memoryview(self._waiting)[at : at + self._wants])
            at += self._wants
            self._go_on(piece)
        del self._waiting[:at]
        if self.done is not None and self._waiting:
            raise BadSnapshot("The file has bytes behind its end.")

    def _go_on(self, piece: bytes) -> None:
        try:
            if self._reading is None:
                self._head = head_untrusted(piece)
                self._reading = take_file_untrusted(self._head, self, self._place.check)
                self._wants = next(self._reading)
            else:
                self._wants = self._reading.send(piece)
        except StopIteration as end:
            self.done = end.value

    def whole(self) -> tuple[Imported, tuple[bytes, bytes]]:
        """And what signed it."""
        if self.done is None or self._head is None:
            raise BadSnapshot("The file ends too early. Copy it again.")
        key, signature = self._head.key, self._head.signature
        return self.done, (key, signature) if self.done.key is not None else UNSIGNED

    def finish(self, manifest: bytes, signed: tuple[bytes, bytes]) -> Written:
        """On the disk, under this manifest of its chunks."""
        imported, _ = self.whole()
        pack = self._writer.finish(self._place.account, manifest, signed)
        self._place.points.reached("import-whole")
        about = contents_untrusted(manifest).about
        return Written(sha256(manifest).digest(), pack, (pack.name,), imported.size, about)

    def discard(self) -> None:
        self._writer.discard()
