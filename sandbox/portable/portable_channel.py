"""Wire: the packet stream of a child on systems with sockets: a stream socket as descriptor 0.

Every wait ends at the wall-time limit, so that a program that only waits is ended by its own process and says why.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

from sandbox.portable.guest_errno import GuestEnd
from sandbox.portable.packet_pipe import STATUS_ORPHANED

if TYPE_CHECKING:
    import socket

STATUS_WALL_TIME = 61
MILLISECOND = 1_000_000
LONGEST = 3_600_000.0


class SocketChannel:
    """A PacketPipe over a connected socket. `wall_end`: on the same clock as `clock`, None = no limit."""

    def __init__(self, connection: socket.socket, wall_end: int | None) -> None:
        self._socket, self._wall_end = connection, wall_end
        self._socket.settimeout(0.0)
        self._poll = select.poll()
        self._watched = 0
        self._poll.register(self._socket, 0)

    def send(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            raise GuestEnd(STATUS_ORPHANED) from None

    def receive(self, limit: int) -> bytes:
        try:
            data = self._receive(limit)
        except BlockingIOError:
            return b""
        except OSError:
            raise GuestEnd(STATUS_ORPHANED) from None
        if not data:
            raise GuestEnd(STATUS_ORPHANED)
        return data

    def _receive(self, limit: int) -> bytes:
        try:
            return self._socket.recv(limit)
        except ConnectionResetError:
            # a peer that closed with unread input makes one read fail although its own packets are still queued
            return self._socket.recv(limit)

    def clock(self) -> int:
        return time.monotonic_ns()

    def wait(self, *, readable: bool, writable: bool, until: int | None) -> tuple[bool, bool]:
        wanted = (select.POLLIN if readable else 0) | (select.POLLOUT if writable else 0)
        if wanted != self._watched:
            self._poll.modify(self._socket, wanted)
            self._watched = wanted
        while True:
            happened = self._poll.poll(self._timeout(until))
            if happened:
                return self._answer(happened[0][1], wanted)
            now = self.clock()
            if self._wall_end is not None and now >= self._wall_end:
                raise GuestEnd(STATUS_WALL_TIME)
            if until is not None and now >= until:
                return False, False

    def _timeout(self, until: int | None) -> float | None:
        """Milliseconds, at most an hour at once: what poll takes has 31 bits."""
        end = self._wall_end if until is None else until if self._wall_end is None else min(until, self._wall_end)
        if end is None:
            return None
        return min(max(0.0, (end - time.monotonic_ns()) / MILLISECOND), LONGEST)

    def _answer(self, found: int, wanted: int) -> tuple[bool, bool]:
        gone = bool(found & (select.POLLHUP | select.POLLERR))
        if gone and not wanted:
            raise GuestEnd(STATUS_ORPHANED)
        return bool(found & select.POLLIN) or gone, bool(found & select.POLLOUT) or gone
