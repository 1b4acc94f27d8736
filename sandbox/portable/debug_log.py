"""Words: what a program says on standard error (WASI) or on fd 1 and 2 (Gate), as control packets with a limit of
volume.

Bytes beyond the limit are dropped and counted, never refused: a program must not learn how much its host wants to read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.control import LOG
from sandbox.packets import CALL, CODE_CONTROL, CONTENT_MAX, encode

if TYPE_CHECKING:
    from collections.abc import Callable

ROOM = CONTENT_MAX - 1  # one byte says which stream


class DebugLog:
    """`send` takes whole packets; None when logging is off for this program: then nothing is counted either."""

    def __init__(self, send: Callable[[bytes], None] | None, limit: int) -> None:
        self._send, self._left = send, limit
        self.dropped = 0

    def write(self, stream: int, data: bytes) -> None:
        if self._send is None:
            return
        kept = data[: self._left]
        self._left -= len(kept)
        self.dropped += len(data) - len(kept)
        for at in range(0, len(kept), ROOM):
            self._send(encode(CODE_CONTROL, CALL, bytes((stream,)) + kept[at : at + ROOM], LOG))
