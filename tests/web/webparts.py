"""What the tests of gatebus.web share: servers on real sockets, raw frames, raw ends of a stream in memory."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from websockets.utils import apply_mask

from gatebus.web.bytetransport import receive_some
from gatebus.web.link import LinkClosed
from gatebus.web.listening import Listener, listen_tcp, serve
from gatebus.web.memorylink import MemoryPair
from gatebus.web.places import Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gatebus.web.front import Front
    from gatebus.web.link import Link
    from gatebus.web.memorytransport import MemoryTransport, Wires

UPGRADE = (
    b"GET /bus HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: gatebus.v1\r\n\r\n"
)


async def echo(link: Link) -> None:
    while True:
        for message in await link.receive_many():
            link.write(message)


@asynccontextmanager
async def serving(front: Front, *more: Listener) -> AsyncIterator[Address]:
    listeners = await listen_tcp("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, [*listeners, *more], front)
        yield Address("ws", "127.0.0.1", listeners[0].port)
        for listener in (*listeners, *more):
            listener.close()
        nursery.cancel_scope.cancel()


def masked(opcode: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    """As a client sends it, by code that is not ours and that refuses nothing."""
    mask = b"\x12\x34\x56\x78"
    return _head(opcode, len(data), fin=fin, mask=0x80) + mask + apply_mask(data, mask)


def plain(opcode: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    """As a server sends it."""
    return _head(opcode, len(data), fin=fin, mask=0) + data


def _head(opcode: int, size: int, *, fin: bool, mask: int) -> bytes:
    first = opcode | (0x80 if fin else 0)
    if size < 126:
        return bytes((first, mask | size))
    if size < 65536:
        return bytes((first, mask | 126)) + size.to_bytes(2, "big")
    return bytes((first, mask | 127)) + size.to_bytes(8, "big")


class RawPeer:
    """The other end of a host's link, as bytes: what a stranger may send, and everything that comes back."""

    def __init__(self, to_host: Wires | None = None, to_client: Wires | None = None) -> None:
        wires = {"to_host": to_host, "to_client": to_client}
        self.pair = MemoryPair(**{name: value for name, value in wires.items() if value is not None})
        self.host = self.pair.host
        self.end: MemoryTransport = self.pair.client_end

    def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self.end.send(rest) :]

    async def read_to_the_end(self) -> bytes:
        found = b""
        while data := await receive_some(self.end):
            found += data
        return found


class RawServer(RawPeer):
    """The other end of a client's link (`host` is that link here)."""

    def __init__(self, to_host: Wires | None = None, to_client: Wires | None = None) -> None:
        super().__init__(to_host, to_client)
        self.host = self.pair.client
        self.end = self.pair.host_end


def without_masks(stream: bytes) -> bytes:
    """A client's frames as a server would have sent them; what is behind the last whole frame stays as it is."""
    found = b""
    while len(stream) >= 6:
        size, start = stream[1] & 127, 2
        if size >= 126:
            wide = 2 if size == 126 else 8
            size, start = int.from_bytes(stream[2 : 2 + wide], "big"), 2 + wide
        mask, payload = stream[start : start + 4], stream[start + 4 : start + 4 + size]
        found += stream[:1] + bytes((stream[1] & 127,)) + stream[2:start] + apply_mask(payload, mask)
        stream = stream[start + 4 + size :]
    return found + stream


async def all_messages(link: Link) -> tuple[list[bytes], LinkClosed]:
    """Until the end."""
    found: list[bytes] = []
    while True:
        try:
            found += await link.receive_many()
        except LinkClosed as ended:
            return found, ended


async def receive(link: Link, count: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < count:
        found += await link.receive_many()
    return found
