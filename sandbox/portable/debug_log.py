"""Words: what a program says on standard error (WASI) or on fd 1 and 2 (Gate), as control packets with a limit of
volume.

Bytes beyond the limit are dropped and counted, never refused: a program must not learn how much its host wants to read.
"""

from __future__ import annotations

from sandbox.control import LOG
from sandbox.packets import CALL, CODE_CONTROL, encode

PIECE = 32_768  # bytes of log in one packet: round, and well within one


class DebugLog:
    """The account of the log. Not `wanted`: everything is thrown away and nothing is counted."""

    def __init__(self, *, wanted: bool, limit: int) -> None:
        self._wanted, self._limit = wanted, limit
        self.used = self.dropped = 0

    def admit(self, data: bytes) -> list[bytes]:
        """The packets' contents that may go out for these bytes; the rest is counted."""
        if not self._wanted:
            return []
        kept = data[: max(0, self._limit - self.used)]
        self.used += len(kept)
        self.dropped += len(data) - len(kept)
        return [kept[at : at + PIECE] for at in range(0, len(kept), PIECE)]


def log_packet(stream: int, piece: bytes) -> bytes:
    return encode(CODE_CONTROL, CALL, bytes((stream,)) + piece, LOG)
