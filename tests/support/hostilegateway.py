"""A gateway on 127.0.0.1 that answers as each test wants: rightly, or in one of the ways in which a gateway can lie."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import trio

from ipfs.car import car_header, car_section
from ipfs.cid import Cid, cid_of, parse_cid_untrusted
from ipfs.dagpb import linked_untrusted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

JUNK = b"nobody asked for this"


class Hostile:
    """`lie` names what is done to answers; `asked` are the paths, in order."""

    def __init__(self, blocks: Mapping[Cid, bytes], lie: str = "") -> None:
        self.blocks = {cid.key: block for cid, block in blocks.items()}
        self.lie = lie
        self.asked: list[str] = []
        self.was_asked = trio.Event()
        self.url = ""

    @property
    def cars(self) -> int:
        return sum("format=car" in each for each in self.asked)

    async def serve(self, stream: trio.SocketStream) -> None:
        held = b""
        try:
            while True:
                while b"\r\n\r\n" not in held:
                    if not (data := await stream.receive_some(65536)):
                        return
                    held += data
                head, held = held.split(b"\r\n\r\n", 1)
                await self._answer(stream, head.split(b" ")[1].decode())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def _answer(self, stream: trio.SocketStream, target: str) -> None:
        self.asked.append(target)
        self.was_asked.set()
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        name = query["arg"][0] if "arg" in query else parts.path.removeprefix("/ipfs/")
        cid = parse_cid_untrusted(name)
        car = query.get("format") == ["car"]
        if self.lie == "redirect":
            await _send(stream, b"", status="302 Found", more=f"Location: {self.url}/elsewhere\r\n")
        elif self.lie == "silent":
            await trio.sleep_forever()
        elif cid.key not in self.blocks or (self.lie == "no car" and car):
            await _send(stream, b"not here", status="404 Not Found")
        else:
            await LIES[self.lie](self, stream, self.car(cid) if car else self.blocks[cid.key])

    def car(self, root: Cid) -> bytes:
        junk = car_section(cid_of(0x55, JUNK), JUNK)
        out = [car_header([cid_of(0x55, JUNK) if self.lie == "wrong root" else root])]
        if self.lie == "junk":
            out.append(junk)
        waiting = [] if self.lie == "wrong root" else [root]
        while waiting:
            cid = waiting.pop(0)
            if (block := self.blocks.get(cid.key)) is not None:
                out.append(car_section(cid, block))
                waiting += linked_untrusted(cid, block)
        return b"".join(out)


async def _send(stream: trio.SocketStream, body: bytes, *, status: str = "200 OK", more: str = "") -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    await stream.send_all(head.encode() + body)


async def _honest(_server: Hostile, stream: trio.SocketStream, body: bytes) -> None:
    await _send(stream, body)


async def _flip(_server: Hostile, stream: trio.SocketStream, body: bytes) -> None:
    at = len(body) // 2
    await _send(stream, body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])


async def _truncate(_server: Hostile, stream: trio.SocketStream, body: bytes) -> None:
    await _send(stream, body[:-1])


async def _cut(_server: Hostile, stream: trio.SocketStream, body: bytes) -> None:
    await stream.send_all(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:-1])
    await stream.aclose()


async def _other(_server: Hostile, stream: trio.SocketStream, _body: bytes) -> None:
    await _send(stream, JUNK)


async def _endless(_server: Hostile, stream: trio.SocketStream, _body: bytes) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await stream.send_all(b"10000\r\n" + bytes(65536) + b"\r\n")


async def _chaff(_server: Hostile, stream: trio.SocketStream, body: bytes) -> None:
    """A CAR of true blocks that nobody wants, without an end; single blocks are not there."""
    if not body.startswith(car_header([])[:2]) and b"version" not in body[:64]:
        await _send(stream, b"", status="404 Not Found")
        return
    await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n" + car_header([]))
    section = car_section(cid_of(0x55, bytes(1000)), bytes(1000))
    while True:
        await stream.send_all(section * 100)


async def _drip(_server: Hostile, stream: trio.SocketStream, body: bytes) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for at in range(len(body)):
        await stream.send_all(body[at : at + 1])
        await trio.sleep(0.02)


async def _compressed(_server: Hostile, stream: trio.SocketStream, body: bytes) -> None:
    await _send(stream, body, more="Content-Encoding: gzip\r\n")


async def _no_http(_server: Hostile, stream: trio.SocketStream, _body: bytes) -> None:
    await stream.send_all(b"\x00\x01 no HTTP at all\r\n\r\n")


LIES: dict[str, Callable[[Hostile, trio.SocketStream, bytes], Awaitable[None]]] = {
    "": _honest,
    "no car": _honest,
    "junk": _honest,
    "wrong root": _honest,
    "flip": _flip,
    "truncate": _truncate,
    "cut": _cut,
    "other": _other,
    "endless": _endless,
    "chaff": _chaff,
    "drip": _drip,
    "compressed": _compressed,
    "no http": _no_http,
}


@asynccontextmanager
async def serving(*servers: Hostile) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for server in servers:
            start = partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1")
            (listener,) = await nursery.start(start)
            server.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        yield
        nursery.cancel_scope.cancel()
