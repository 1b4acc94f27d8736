"""WebAssembly byte by byte, for modules that no text form can say: too large for it, or wrong."""

from __future__ import annotations

HEADER = b"\0asm\1\0\0\0"


def leb(number: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def section(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + leb(len(content)) + content
