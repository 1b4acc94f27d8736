"""Websocket frames, as far as we read and write them ourselves: whole unfragmented binary ones; words, no I/O.

Where it stands: between a socket's bytes (untrusted) and websocketlink. Every other frame (control, text, fragments,
reserved bits, wrong masking, too large) is only measured here and goes byte by byte through `websockets`' parser, which
therefore always stands at the boundary of a frame.

    0      0x82: last fragment, binary           RFC 6455, 5.2
    1      0x80 masked, and 0..125 size, or 126: the next 2 bytes are the size, or 127: the next 8
    ..     4 bytes of mask when masked; then the payload
"""

from __future__ import annotations

import struct

from gatebus.bounds import LINK_BATCH_FRAMES

try:
    from websockets.speedups import apply_mask
except ImportError:  # no C compiler met the package
    from websockets.utils import apply_mask

BINARY, CLOSE = 0x82, 0x88
CONTROL_MOST = 125
HEAD_MOST = 14  # 2 + 8 + 4
COPIED = 4096  # below, a slice is cheaper than a memoryview

_SHORT = struct.Struct(">BB")
_MEDIUM = struct.Struct(">BBH")
_LONG = struct.Struct(">BBQ")


class Scratch:
    """Where a read lands and is taken apart before anything else may read. One per server, or per dialled link."""

    __slots__ = ("bytes", "view")

    def __init__(self, size: int) -> None:
        self.bytes = bytearray(size)
        self.view = memoryview(self.bytes)


def take_masked_untrusted(scratch: Scratch, position: int, end: int, most: int) -> tuple[list[bytes], int]:
    """Payloads of the usual frames from `position` on, until one that is not usual or not whole, or enough: where."""
    read, view = scratch.bytes, scratch.view
    messages: list[bytes] = []
    while end - position >= 6 and read[position] == BINARY and len(messages) < LINK_BATCH_FRAMES:
        size, mask = read[position + 1] - 128, position + 2
        if size == 126:
            size, mask = read[mask] << 8 | read[mask + 1], mask + 2
        elif size == 127:
            if end - position < HEAD_MOST:
                break
            size, mask = int.from_bytes(read[mask : mask + 8], "big"), mask + 8
        start = mask + 4
        stop = start + size
        if not 0 <= size <= most or stop > end:
            break
        payload = view[start:stop] if size >= COPIED else read[start:stop]
        messages.append(apply_mask(payload, read[mask:start]))
        position = stop
    return messages, position


def take_plain_untrusted(scratch: Scratch, position: int, end: int, most: int) -> tuple[list[bytes], int]:
    """The same for what a server sends."""
    read, view = scratch.bytes, scratch.view
    messages: list[bytes] = []
    while end - position >= 2 and read[position] == BINARY and len(messages) < LINK_BATCH_FRAMES:
        size, start = read[position + 1], position + 2
        if size >= 126:
            wide = 2 if size == 126 else 8
            if size > 127 or end - start < wide:
                break
            size, start = int.from_bytes(read[start : start + wide], "big"), start + wide
        stop = start + size
        if size > most or stop > end:
            break
        messages.append(bytes(view[start:stop]))
        position = stop
    return messages, position


def measure_untrusted(head: bytes | bytearray | memoryview) -> tuple[int, int] | None:
    """Bytes of head and of payload of the frame that begins so; None when the head is not whole. Nothing is checked."""
    if len(head) < 2:
        return None
    size, start = head[1] & 127, 2
    if size >= 126:
        wide = 2 if size == 126 else 8
        if len(head) < 2 + wide:
            return None
        size, start = int.from_bytes(head[2 : 2 + wide], "big"), 2 + wide
    return start + (4 if head[1] & 128 else 0), size


def binary_head(size: int) -> bytes:
    """Of a server's frame."""
    if size < 126:
        return _SHORT.pack(BINARY, size)
    if size < 65536:
        return _MEDIUM.pack(BINARY, 126, size)
    return _LONG.pack(BINARY, 127, size)


def masked_binary(payload: bytes, mask: bytes) -> bytes:
    """A client's frame."""
    size = len(payload)
    if size < 126:
        head = _SHORT.pack(BINARY, 128 | size)
    elif size < 65536:
        head = _MEDIUM.pack(BINARY, 254, size)
    else:
        head = _LONG.pack(BINARY, 255, size)
    return b"".join((head, mask, apply_mask(payload, mask)))
