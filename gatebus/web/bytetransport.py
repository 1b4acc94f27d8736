"""Wire: a stream of bytes that never blocks, as the links of this package use it: TCP and unix sockets.

In:  bytes from the other end (untrusted; nothing looks at them here). Out: the same. TLS (tlstransport) and simulated
sockets (memorytransport) have the same shape, so there is one Link for all of them and its tests need no network.

Reading and writing are attempts: sleeping is done by `wait_readable` and `wait_writable`, which cost 13 us each, so
callers try first. Nothing here is sent by awaiting: whoever is cancelled has sent whole attempts.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Piece = bytes | bytearray | memoryview
    Sleep = Callable[[], Awaitable[None]]
    Watch = Callable[[Callable[[], int], Sleep], Awaitable[None]]
    """Called with how to ask for a descriptor and the ordinary way to wait; returns when something may be there."""


class Transport(Protocol):
    """BlockingIOError: not now. OSError: the stream is over, abnormally."""

    @property
    def send(self) -> Callable[[Piece], int]:
        """Bytes taken, at least one."""
        ...

    @property
    def send_parts(self) -> Callable[[Sequence[Piece]], int]:
        """The same from at most MOST_PARTS pieces."""
        ...

    @property
    def receive_into(self) -> Callable[[memoryview], int]:
        """Bytes read, 0 at the end. Fewer than there was place for: nothing more is here now."""
        ...

    def pending(self) -> bool:
        """Taken bytes still wait in this process (TLS): call send_parts(()) when writable."""
        ...

    @property
    def wait_readable(self) -> Callable[[], Awaitable[None]]:
        """trio.ClosedResourceError after close()."""
        ...

    @property
    def wait_writable(self) -> Callable[[], Awaitable[None]]: ...

    def finish(self) -> None:
        """Nothing more will be sent. Never raises."""
        ...

    def close(self) -> None:
        """At once; wakes who waits. Idempotent."""
        ...


MOST_PARTS = 64
"""Pieces of one sendmsg; the kernel's bound is 1,024, and more than 64 gained nothing."""


class SocketTransport:
    """Owns the socket. The attempts are the socket's own methods: one Python call less for each. `watch`: who waits for
    something to read; None: trio."""

    __slots__ = ("_socket", "receive_into", "send", "send_parts", "wait_readable")

    def __init__(self, sock: socket.socket, watch: Watch | None = None) -> None:
        sock.settimeout(0)
        self._socket = sock
        self.send: Callable[[Piece], int] = sock.send
        self.send_parts: Callable[[Sequence[Piece]], int] = sock.sendmsg
        self.receive_into: Callable[[memoryview], int] = sock.recv_into
        sleep = partial(trio.lowlevel.wait_readable, sock)  # no coroutine of ours between
        self.wait_readable = sleep if watch is None else partial(watch, sock.fileno, sleep)

    async def wait_writable(self) -> None:
        """Of a closed descriptor trio remembers for ever who waited, and tells the next one that it is busy."""
        if self._socket.fileno() < 0:
            raise trio.ClosedResourceError
        await trio.lowlevel.wait_writable(self._socket)

    def pending(self) -> bool:
        return False

    def finish(self) -> None:
        with suppress(OSError):  # the other end was first
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


def immediate(sock: socket.socket) -> None:
    """Small messages leave at once; the link joins them itself."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def receive_some(transport: Transport, most: int = 16 * 1024) -> bytes:
    """For openings, before there is a link: at least one byte, or b"" at the end. OSError, trio.ClosedResourceError."""
    buffer = memoryview(bytearray(most))
    await trio.lowlevel.checkpoint()
    while True:
        # tried first: the last record of a TLS handshake may have brought the first of the conversation
        with suppress(BlockingIOError):
            return bytes(buffer[: transport.receive_into(buffer)])
        await transport.wait_readable()


async def send_all(transport: Transport, data: bytes) -> None:
    """For openings and pages. Who is cancelled here closes the transport: nobody knows what was sent."""
    rest = memoryview(data)
    while rest or transport.pending():
        with suppress(BlockingIOError):
            rest = rest[transport.send_parts((rest,)) :]
        if rest or transport.pending():
            await transport.wait_writable()


async def linger(transport: Transport) -> None:
    """After the last answer: drop what still comes until the other end has seen it, LINGER_SECONDS at most. A socket
    that is closed with unread input destroys the answer."""
    transport.finish()
    with trio.move_on_after(LINGER_SECONDS), suppress(OSError):
        while await receive_some(transport):
            pass


LINGER_SECONDS = 1.0
"""One slow round trip; who needs longer has lost only the text of a refusal."""
