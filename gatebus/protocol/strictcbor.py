"""CBOR as gatebus.v1 allows it (RFC 8949): definite lengths, shortest forms, text keys, no tags; words, no I/O.

In:  one whole message of a stranger (untrusted). Out: plain values, or RemoteFault and nothing else.

Why not a library's decoder: those accept what this protocol excludes (tags that become dates, regular expressions or
big numbers, indefinite lengths, keys that are maps, two keys alike), and it takes a second pass to find that out.
Encoding is cbor2's; a test holds the two together. Streams never come here: data and credit have their own fast path
in gatebus.protocol.reading.
"""

import math
from struct import Struct

from gatebus.bounds import CBOR_DEPTH, CBOR_ITEMS, CBOR_ITEMS_IN_ALL
from gatebus.protocol.breaches import RemoteFault

_FLOATS = {25: Struct(">e"), 26: Struct(">f"), 27: Struct(">d")}
_SIMPLE = {20: False, 21: True, 22: None}
# Low five bits of a head -> bytes of the number that follows, and the smallest that needs so many.
SHORTEST = {24: (1, 24), 25: (2, 1 << 8), 26: (4, 1 << 16), 27: (8, 1 << 32)}


def decode_untrusted(data: bytes) -> object:
    """The one value that fills `data` exactly."""
    reader = _Reader(data)
    value = reader.value_untrusted(0)
    if reader.at != len(data):
        raise RemoteFault("A message has bytes behind its end. Send one CBOR array per websocket message.")
    return value


def sequence_untrusted(data: bytes) -> tuple[list[object], bytes]:
    """Whole values from the front (RFC 8742), and the beginning of the next one."""
    reader, found, whole = _Reader(data), [], 0
    try:
        while reader.at < len(data):
            reader.items = 0
            found.append(reader.value_untrusted(1))
            whole = reader.at
    except _Cut:
        pass
    return found, data[whole:]


class _Cut(RemoteFault):
    """The bytes end in the middle of a value."""


class _Reader:
    """A position in a message."""

    __slots__ = ("at", "data", "items")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.items = 0

    def value_untrusted(self, depth: int) -> object:
        self.items += 1
        if self.items > CBOR_ITEMS_IN_ALL:
            raise RemoteFault(f"A message has more than {CBOR_ITEMS_IN_ALL} values.")
        try:
            first = self.data[self.at]
        except IndexError:
            raise _Cut("A message ends in the middle of a value.") from None
        self.at += 1
        major, low = first >> 5, first & 31
        if major >= 6:
            return self._simple_untrusted(major, low)
        number = low if low < 24 else self._number_untrusted(low)
        if major == 3:
            return self._text_untrusted(number)
        if major == 2:
            return self._bytes_untrusted(number)
        if major < 2:
            return ~number if major else number
        return self._container_untrusted(major, number, depth + 1)

    def _bytes_untrusted(self, size: int) -> bytes:
        start = self.at
        self.at = start + size
        if self.at > len(self.data):
            raise _Cut("A message ends in the middle of a value.")
        return self.data[start : self.at]

    def _number_untrusted(self, low: int) -> int:
        if low not in SHORTEST:
            raise RemoteFault("A message has an indefinite or reserved length. Write definite lengths.")
        width, smallest = SHORTEST[low]
        number = int.from_bytes(self._bytes_untrusted(width), "big")
        if number < smallest:
            raise RemoteFault("A number or length is not in its shortest form.")
        return number

    def _simple_untrusted(self, major: int, low: int) -> bool | float | None:
        if major == 6:
            raise RemoteFault("A message has a CBOR tag. This protocol uses none.")
        if low in _SIMPLE:
            return _SIMPLE[low]
        if low not in _FLOATS:
            raise RemoteFault("A message has a simple value other than false, true and null.")
        layout = _FLOATS[low]
        number: float = layout.unpack(self._bytes_untrusted(layout.size))[0]
        if not math.isfinite(number):
            raise RemoteFault("A message has a number that is infinite or not a number.")
        return number

    def _text_untrusted(self, size: int) -> str:
        start = self.at
        self.at = start + size
        if self.at > len(self.data):
            raise _Cut("A message ends in the middle of a value.")
        try:
            return self.data[start : self.at].decode()
        except UnicodeDecodeError:
            raise RemoteFault("A text in a message is not UTF-8.") from None

    def _container_untrusted(self, major: int, count: int, depth: int) -> list[object] | dict[str, object]:
        if depth > CBOR_DEPTH:
            raise RemoteFault(f"A message is nested deeper than {CBOR_DEPTH} levels.")
        if count > CBOR_ITEMS:
            raise RemoteFault(f"A map or array in a message has more than {CBOR_ITEMS} items.")
        if major == 4:
            return [self.value_untrusted(depth) for _ in range(count)]
        found: dict[str, object] = {}
        for _ in range(count):
            key = self.value_untrusted(depth)
            if not isinstance(key, str) or key in found:
                raise RemoteFault("The keys of a map must be texts, each once.")
            found[key] = self.value_untrusted(depth)
        return found
