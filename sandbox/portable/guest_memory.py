"""Words: the guest's linear memory, as every import sees it.

In: addresses and lengths from the guest (untrusted, already made unsigned). Out: copies of bytes, or `MemoryFault`.
One checked read and one checked write; everything else is made of the two, so the bounds are checked in one place.
The view is asked for at every access: a guest may have grown its memory since the last call.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

U32 = struct.Struct("<I")
U64 = struct.Struct("<Q")
PAIR = struct.Struct("<II")


class MemoryFault(Exception):
    """An address or a length of the guest lies outside its memory."""


class GuestMemory:
    """Bounds-checked access to whatever buffer `view` returns now."""

    def __init__(self, view: Callable[[], memoryview]) -> None:
        self._view = view

    def window(self, address: int, length: int) -> memoryview:
        """The bytes themselves, not a copy; valid until the guest runs again."""
        view = self._view()
        if length == 0:
            # nothing can be anywhere: compilers give empty slices any address
            return view[:0]
        if address + length > len(view):
            raise MemoryFault
        return view[address : address + length]

    def read(self, address: int, length: int) -> bytes:
        return bytes(self.window(address, length))

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        self.window(address, len(data))[:] = data

    def check(self, address: int, length: int) -> None:
        """Refuse now what would be refused later, so that a call has either all of its effects or none."""
        self.window(address, length)

    def read_u32(self, address: int) -> int:
        number: int = U32.unpack(self.window(address, 4))[0]
        return number

    def read_u64(self, address: int) -> int:
        number: int = U64.unpack(self.window(address, 8))[0]
        return number

    def write_u32(self, address: int, value: int) -> None:
        self.write(address, U32.pack(value))

    def write_u64(self, address: int, value: int) -> None:
        self.write(address, U64.pack(value))

    def vectors(self, address: int, count: int) -> list[tuple[int, int]]:
        """The (address, length) pairs of an iovec array; each is checked before the first is used."""
        if count == 0:
            return []
        pairs = list(PAIR.iter_unpack(self.read(address, 8 * count)))
        end = len(self._view())
        for start, length in pairs:
            if start + length > end and length:
                raise MemoryFault
        return pairs

    def gather(self, pairs: Iterable[tuple[int, int]], limit: int) -> bytes:
        """Up to `limit` bytes from the pairs, in order."""
        parts: list[bytes] = []
        for start, length in pairs:
            taken = min(length, limit)
            parts.append(self.read(start, taken))
            limit -= taken
            if limit == 0:
                break
        return b"".join(parts)

    def scatter(self, pairs: Iterable[tuple[int, int]], data: bytes | memoryview) -> int:
        """Put the bytes into the pairs, in order; how many had room."""
        done = 0
        for start, length in pairs:
            piece = data[done : done + length]
            self.write(start, piece)
            done += len(piece)
        return done
