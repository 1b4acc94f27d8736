"""A node's RPC on 127.0.0.1: Kubo's answers for what is asked of it, or a lie. Blocks that it is given are `blocks`."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import h11
import trio

from ipfs.addresses import NODE, Source
from ipfs.cid import DAG_PB, RAW, cid_of, parse_cid_untrusted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_CODECS = {"raw": RAW, "dag-pb": DAG_PB}


class FakeNode:
    """`lies`: what is answered to a path instead."""

    def __init__(self) -> None:
        self.blocks: dict[bytes, bytes] = {}
        self.pinned: list[str] = []
        self.asked: list[str] = []
        self.lies: dict[str, bytes] = {}
        self.source = Source(NODE, "")

    async def serve(self, stream: trio.SocketStream) -> None:
        talk, body, asked = h11.Connection(h11.SERVER), b"", None
        while True:
            try:
                event = talk.next_event()
            except h11.RemoteProtocolError:  # whoever asked has given up
                return
            if event is h11.NEED_DATA:
                try:
                    talk.receive_data(await stream.receive_some(65536))
                except trio.BrokenResourceError:
                    return
            elif isinstance(event, h11.Request):
                asked, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert asked is not None
                with suppress(trio.BrokenResourceError):
                    await self._answer(stream, talk, asked, body)
                    talk.start_next_cycle()
                    continue
                return
            else:
                return

    async def _answer(self, stream: trio.SocketStream, talk: h11.Connection, asked: h11.Request, body: bytes) -> None:
        parts = urlsplit(asked.target.decode())
        what = parts.path.removeprefix("/api/v0/")
        self.asked.append(what)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        status, said = 405, b""
        if asked.method == b"POST":  # nothing else is answered, as by Kubo
            status, said = 200, self.lies.get(what) or self._said(what, query, body)
        head = h11.Response(status_code=status, headers=[("Content-Length", str(len(said)))])
        for event in (head, h11.Data(data=said), h11.EndOfMessage()):
            await stream.send_all(talk.send(event) or b"")

    def _said(self, what: str, query: dict[str, str], body: bytes) -> bytes:
        if what == "version":
            return b'{"Version": "0.43.1", "Commit": ""}'
        if what == "pin/add":
            self.pinned.append(query["arg"])
            return json.dumps({"Pins": [query["arg"]]}).encode()
        if what == "block/get":
            return self.blocks[parse_cid_untrusted(query["arg"]).key]
        block = _file_of(body)
        cid = cid_of(_CODECS[query["cid-codec"]], block)
        self.blocks[cid.key] = block
        return json.dumps({"Key": str(cid), "Size": len(block)}).encode()


def _file_of(body: bytes) -> bytes:
    """The one file of a form."""
    boundary, rest = body.split(b"\r\n", 1)
    return rest.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n" + boundary + b"--\r\n")


@asynccontextmanager
async def node_running() -> AsyncIterator[FakeNode]:
    node = FakeNode()
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, node.serve, 0, host="127.0.0.1"))
        node.source = Source(NODE, f"http://127.0.0.1:{listener.socket.getsockname()[1]}")
        yield node
        nursery.cancel_scope.cancel()
