"""Words: a valid module as its sections, to which entries are added.

What is added stands behind what is there, so that nothing of the program gets another number.
"""

from __future__ import annotations

from sandbox.portable.wasm_bytes import ByteReader, leb
from sandbox.portable.wasm_scan import (
    CODE,
    CUSTOM,
    DATA,
    DATA_COUNT,
    ELEMENT,
    EXPORT,
    FUNCTION,
    GLOBAL,
    HEADER_SIZE,
    IMPORT,
    MEMORY,
    START,
    TABLE,
    TAG,
    TYPE,
)

ORDER = (TYPE, IMPORT, FUNCTION, TABLE, MEMORY, TAG, GLOBAL, EXPORT, START, ELEMENT, DATA_COUNT, CODE, DATA)


class Sections:
    """In order; custom sections stay where they are."""

    def __init__(self, wasm: bytes) -> None:
        """`wasm`: valid, as the engine has said."""
        self._header, self._parts = wasm[:HEADER_SIZE], list[tuple[int, bytes]]()
        reader = ByteReader(wasm, HEADER_SIZE, len(wasm))
        while reader.more:
            kind = reader.byte()
            content = reader.part(reader.u32())
            self._parts.append((kind, wasm[content.at : content.end]))

    def read(self, kind: int) -> ByteReader | None:
        """What is in a section, if it is there."""
        found = [content for each, content in self._parts if each == kind]
        return ByteReader(found[0], 0, len(found[0])) if found else None

    def count(self, kind: int) -> int:
        """Entries of a section that is a list."""
        reader = self.read(kind)
        return 0 if reader is None else reader.u32()

    def add(self, kind: int, entries: list[bytes]) -> int:
        """The number of the first one among those of the section."""
        reader = self.read(kind)
        first = 0 if reader is None else reader.u32()
        old = b"" if reader is None else bytes(reader.data[reader.at :])
        if entries:
            self.put(kind, b"".join((leb(first + len(entries)), old, *entries)))
        return first

    def put(self, kind: int, content: bytes) -> None:
        """In place of what is there, or where it belongs."""
        for place, (each, _) in enumerate(self._parts):
            if each == kind:
                self._parts[place] = (kind, content)
                return
        later = set(ORDER[ORDER.index(kind) :])
        places = [place for place, (each, _) in enumerate(self._parts) if each in later]
        self._parts.insert(min(places, default=len(self._parts)), (kind, content))

    def remove(self, kind: int) -> None:
        self._parts = [part for part in self._parts if part[0] != kind]

    def remove_custom(self, name: bytes) -> None:
        self._parts = [
            (kind, content)
            for kind, content in self._parts
            if kind != CUSTOM or ByteReader(content, 0, len(content)).name() != name
        ]

    def joined(self) -> bytes:
        parts = (piece for kind, content in self._parts for piece in (bytes((kind,)), leb(len(content)), content))
        return b"".join((self._header, *parts))
