"""Unsigned numbers of variable length, as CIDs, CARs and protobuf have them; words.

In:  bytes (untrusted), or a number. Out: the number and where it ends, or ValueError. At most nine bytes, and no byte
more than needed.

The library's takes 100 us a number to check its own argument, half of what a tiny block costs; it is the tests' oracle.
"""

_BYTES_MAX = 9


def decode_untrusted(data: bytes | memoryview, at: int = 0) -> tuple[int, int]:
    """(number, where the next one begins). Raises ValueError: cut short, too long, or not as short as it could be."""
    number = shift = 0
    for place in range(at, min(at + _BYTES_MAX, len(data))):
        byte = data[place]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if not byte and shift:
                raise ValueError("a number that is longer than it needs to be")
            return number, place + 1
        shift += 7
    raise ValueError("a number that does not end")


def encode(number: int) -> bytes:
    """Of a number that is not negative, and below 2**63."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
