"""Which way a name goes in a large directory (HAMT); words.

In:  a name, the width of a node. Out: the two hexadecimal digits (or one, or three) that its link begins with, level
by level. The hash only spreads names: nothing is trusted because of it.
"""

from collections.abc import Iterator

from ipfs.troubles import Malformed

MURMUR3 = 0x22
_BITS = 64
_MASK = (1 << _BITS) - 1
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F


def prefix_length(fanout: int) -> int:
    return len(f"{fanout - 1:X}")


def prefixes(name: str, fanout: int) -> Iterator[str]:
    """One for each level. Raises Malformed where the hash is used up: no honest directory is so deep."""
    width = fanout.bit_length() - 1
    hashed = murmur3(name.encode(errors="surrogateescape"))
    for used in range(0, _BITS - width + 1, width):
        index = hashed >> (_BITS - used - width) & (fanout - 1)
        yield f"{index:0{prefix_length(fanout)}X}"
    raise Malformed("A large directory is deeper than its hash is long.")


def murmur3(data: bytes) -> int:
    """The first 64 bits of MurmurHash3 x64-128 with seed 0."""
    h1 = h2 = 0
    whole = len(data) - len(data) % 16
    for at in range(0, whole, 16):
        h1 ^= _mixed(int.from_bytes(data[at : at + 8], "little"), _C1, 31, _C2)
        h1 = ((_rotated(h1, 27) + h2) * 5 + 0x52DCE729) & _MASK
        h2 ^= _mixed(int.from_bytes(data[at + 8 : at + 16], "little"), _C2, 33, _C1)
        h2 = ((_rotated(h2, 31) + h1) * 5 + 0x38495AB5) & _MASK
    tail = data[whole:]
    h2 ^= _mixed(int.from_bytes(tail[8:], "little"), _C2, 33, _C1)
    h1 ^= _mixed(int.from_bytes(tail[:8], "little"), _C1, 31, _C2)
    h1, h2 = h1 ^ len(data), h2 ^ len(data)
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    return (_final(h1) + _final(h2)) & _MASK


def _mixed(number: int, first: int, turn: int, second: int) -> int:
    return _rotated(number * first & _MASK, turn) * second & _MASK


def _rotated(number: int, turn: int) -> int:
    return (number << turn | number >> (_BITS - turn)) & _MASK


def _final(number: int) -> int:
    number ^= number >> 33
    number = number * 0xFF51AFD7ED558CCD & _MASK
    number ^= number >> 33
    number = number * 0xC4CEB9FE1A85EC53 & _MASK
    return number ^ number >> 33
