"""Wire: what is written to a link and not sent yet; leaves in one send.

In:  messages of ours in parts, and frames of `websockets`, in order. Out: whole frames to the outbox. Small ones are
joined, parts from LINK_UNCOPIED_BYTES on go to the kernel as they are; a client's are masked, which copies.
"""

from __future__ import annotations

from os import urandom
from struct import iter_unpack
from typing import TYPE_CHECKING

from gatebus.bounds import LINK_CORK_BYTES, LINK_UNCOPIED_BYTES
from gatebus.web.frames import binary_head, masked_binary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatebus.web.bytetransport import Piece
    from gatebus.web.outbox import Outbox

MASKS = 4096  # bytes of randomness drawn at once: for 1,024 frames


class Cork:
    """Of a server's link."""

    __slots__ = ("_outbox", "_parts", "_size", "_small")

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._small: list[Piece] = []  # whole frames, and parts of frames, that will be joined
        self._parts: list[Piece] = []  # everything before them, that will not
        self._size = 0

    def message(self, parts: tuple[bytes | memoryview, ...]) -> None:
        size = sum(map(len, parts))
        if size < LINK_UNCOPIED_BYTES:
            self._small += (binary_head(size), *parts)
        else:
            self._parts += (*self._small, binary_head(size), *parts)
            self._small = []
        self._grown(size)

    def frame(self, data: bytes) -> None:
        self._small.append(data)
        self._grown(len(data))

    def flush(self) -> None:
        if self._parts:
            parts, self._parts = (*self._parts, *self._small), []
            self._small, self._size = [], 0
            self._outbox.push_parts(parts)
        elif self._small:
            small, self._small, self._size = self._small, [], 0
            self._outbox.push(b"".join(small))

    def drop(self) -> None:
        self._small, self._parts, self._size = [], [], 0

    def _grown(self, size: int) -> None:
        self._size += size
        if self._size >= LINK_CORK_BYTES:
            self.flush()


class MaskingCork(Cork):
    """Of a client's link."""

    __slots__ = ("_masks",)

    def __init__(self, outbox: Outbox) -> None:
        super().__init__(outbox)
        self._masks: Iterator[tuple[bytes]] = iter(())

    def message(self, parts: tuple[bytes | memoryview, ...]) -> None:
        self.frame(masked_binary(b"".join(parts), self._mask()))

    def _mask(self) -> bytes:
        found = next(self._masks, None)
        if found is None:
            self._masks = iter_unpack("4s", urandom(MASKS))
            found = next(self._masks)
        return found[0]
