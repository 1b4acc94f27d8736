"""Wire: a program's packet stream over a stream socket of this process.

In:  raw bytes from the program (untrusted; nothing looks at them here). Out: the same, to program.py. Never blocks;
sleeping is done by `wait_readable` and `wait_writable`, which cost 13 us each, so callers try first and wait only
when there was nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from sandbox.backend import Transport
    from sandbox.packets import Buffer


class SocketTransport:
    """Implements backend.Transport over the host's end of a socket pair. Owns the socket."""

    __slots__ = ("_socket",)

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(0)
        self._socket = sock

    def send(self, data: Buffer) -> int:
        return self._socket.send(data)

    def recv_into(self, buffer: memoryview) -> int:
        try:
            return self._socket.recv_into(buffer)
        except ConnectionResetError:
            # A peer that closes with unread input resets the stream once, although what it wrote is still queued:
            # read again.
            return self._recv_after_reset(buffer)

    def _recv_after_reset(self, buffer: memoryview) -> int:
        try:
            return self._socket.recv_into(buffer)
        except ConnectionResetError:
            return 0

    def fileno(self) -> int:
        return self._socket.fileno()

    async def wait_readable(self) -> None:
        if self._socket.fileno() < 0:
            raise trio.ClosedResourceError
        await trio.lowlevel.wait_readable(self._socket)

    async def wait_writable(self) -> None:
        if self._socket.fileno() < 0:
            raise trio.ClosedResourceError
        await trio.lowlevel.wait_writable(self._socket)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


async def feed(transport: Transport, packets: Iterable[Buffer]) -> None:
    """Send the rest of a setup. A program that ends meanwhile is no error here: its outcome says why."""
    try:
        for packet in packets:
            rest = memoryview(packet)
            while rest:
                rest = rest[_send_some(transport, rest) :]
                if rest:
                    await transport.wait_writable()
    except (BrokenPipeError, ConnectionResetError):
        return


def _send_some(transport: Transport, data: memoryview) -> int:
    try:
        return transport.send(data)
    except BlockingIOError:
        return 0
