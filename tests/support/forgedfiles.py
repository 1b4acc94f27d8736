"""Files of snapshots as an attacker makes them: of the right form, with whatever in them he likes."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from gatebus.snapshots.chunking import bytes_from, section_of_bytes
from gatebus.snapshots.exportwords import HEAD_SIZE, file_pieces, head_untrusted, take_file_untrusted
from gatebus.snapshots.manifestwords import DIGEST, Manifest, Section, blocks_in, decode_untrusted, encode
from gatebus.snapshots.packwords import UNSIGNED
from gatebus.snapshots.savedwords import about_bytes
from gatebus.snapshots.snapshotbounds import CHUNK, SPREAD

if TYPE_CHECKING:
    from collections.abc import Mapping

BLOCK = CHUNK * SPREAD


class Held(dict[bytes, bytes]):
    """Chunks by their digests: a Sink and Chunks."""

    def add(self, digest: bytes, data: bytes) -> None:
        self[digest] = data

    def read(self, digest: bytes) -> bytes:
        return self[digest]

    def repeated(self, name: str, length: int, byte: bytes = b"x") -> Section:
        """One chunk, over and over: of any length by a few kilobytes. `length`: whole blocks."""
        assert length % BLOCK == 0
        chunk = byte * CHUNK
        block = sha256(chunk).digest() * SPREAD
        for each in (chunk, block):
            self.add(sha256(each).digest(), each)
        return Section(name, length, sha256(block).digest() * blocks_in(length))

    def zeros(self, name: str, length: int) -> Section:
        return Section(name, length, bytes(DIGEST) * blocks_in(length))

    def read_all(self, section: Section) -> bytes:
        return bytes_from(section, self)

    def of(self, name: str, content: bytes) -> Section:
        return section_of_bytes(name, content, self)[0]


class Taken(NamedTuple):
    """A file, taken apart."""

    manifest: Manifest
    program: bytes
    held: Held

    def about(self, **said: object) -> Mapping[str, object]:
        return {**self.manifest.described(), **said}

    def section(self, name: str) -> Section:
        return next(each for each in self.manifest.sections if each.name == name)

    def made(self, *sections: Section, about: Mapping[str, object] | None = None) -> bytes:
        """With these in the place of those of the same names, or behind the others."""
        new = {each.name: each for each in (*self.manifest.sections, *sections)}
        described = self.manifest.about if about is None else about_bytes(about)
        manifest = encode(Manifest(self.manifest.module, described, tuple(new.values())))
        return b"".join(file_pieces(manifest, self.program, UNSIGNED, self.held))


def taken_apart(data: bytes) -> Taken:
    held = Held()
    reading = take_file_untrusted(head_untrusted(data[:HEAD_SIZE]), held)
    wants, at = next(reading), HEAD_SIZE
    while True:
        piece, at = data[at : at + wants], at + wants
        try:
            wants = reading.send(piece)
        except StopIteration as end:
            return Taken(decode_untrusted(end.value.manifest), end.value.program, held)
