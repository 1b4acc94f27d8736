"""Words: the primitives of a WebAssembly binary: LEB128 numbers, names, limits; mostly reading them.

In: a stranger's bytes. Out: numbers, or `Malformed` (breaks off, number too long) or `Unreadable` (an encoding of a
proposal that is not accepted: whether it is valid at all, and what it is called, is the engine's to say).
"""

from __future__ import annotations


class Malformed(Exception):
    """The bytes cannot be a module. `.at`: where."""

    def __init__(self, what: str, at: int) -> None:
        super().__init__(what)
        self.what, self.at = what, at


class Unreadable(Exception):
    """Not in the part of the language that is read here."""


class ByteReader:
    """A position in `data` that never passes `end`."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes | memoryview, at: int, end: int) -> None:
        self.data, self.at, self.end = data, at, end

    @property
    def more(self) -> bool:
        return self.at < self.end

    def byte(self) -> int:
        if self.at >= self.end:
            raise Malformed("unexpected end-of-file", self.at)
        self.at += 1
        return self.data[self.at - 1]

    def u32(self) -> int:
        """Unsigned LEB128 of at most 32 bits."""
        result, shift = 0, 0
        while True:
            piece = self.byte()
            result |= (piece & 0x7F) << shift
            if piece < 0x80:
                if result >= 1 << 32:
                    raise Malformed("invalid var_u32: integer too large", self.at - 1)
                return result
            shift += 7
            if shift >= 35:
                raise Malformed("invalid var_u32: integer representation too long", self.at - 1)

    def skip_leb(self, bits: int) -> None:
        """Past a number of at most `bits` bits, whatever its sign."""
        start = self.at
        while self.byte() >= 0x80:
            if (self.at - start) * 7 >= bits:
                raise Malformed("integer representation too long", self.at)

    def skip(self, count: int) -> None:
        if count > self.end - self.at:
            raise Malformed("unexpected end-of-file", self.at)
        self.at += count

    def name(self) -> bytes:
        length = self.u32()
        start = self.at
        self.skip(length)
        return bytes(self.data[start : self.at])

    def part(self, length: int) -> ByteReader:
        """A reader of the next bytes alone; this one goes on behind them."""
        start = self.at
        self.skip(length)
        return ByteReader(self.data, start, self.at)


def leb(value: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)
