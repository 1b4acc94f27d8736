"""A host that serves the page as it should and then says over the websocket whatever a test wants; in a thread.

Its scripts get a Line: `line.hear(kind)` waits for a message of the client, `line.say(...)` sends one. A script that
returns leaves the connection open until the client goes: it is the client that has to end what is wrong.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import cbor2
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.sync.server import serve

from gatebus.browser.assets import read_assets
from gatebus.protocol.messages import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from websockets.http11 import Request
    from websockets.sync.server import ServerConnection

    Script = Callable[["Line"], None]

HELLO = {
    "version": 1,
    "agent": "hostile",
    "features": [],
    "challenge": bytes(32),
    "key": bytes(32),
    "proof": bytes(64),
    "limits": {},
}


class Line:
    """One websocket, from the false host's side."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection

    def say(self, *items: object) -> None:
        self.raw(cbor2.dumps([int(items[0]), *items[1:]]))  # type: ignore[call-overload]  # a Kind

    def raw(self, data: bytes | str) -> None:
        self.connection.send(data)

    def hear(self, kind: Kind) -> list[Any]:
        """The next message of that kind, without the kind; others are passed over."""
        while True:
            number, *items = cbor2.loads(self.connection.recv())  # type: ignore[arg-type]  # clients send bytes
            if number == kind:
                return items

    def greet(self, **other: object) -> None:
        self.hear(Kind.CLIENT_HELLO)
        self.say(Kind.HOST_HELLO, {**HELLO, "challenge": os.urandom(32), **other})

    def begin(self) -> int:
        """Everything well until a call is accepted. Its channel."""
        self.greet()
        self.say(Kind.WELCOME, {"principal": "anonymous"})
        while True:
            channel, operation, *_ = self.hear(Kind.OPEN)
            if operation == "call":
                return int(channel)
            answers: Mapping[str, object] = {"features": {"interpreters": {}}}
            known = {"module": bytes(32), "size": 1, "known": True}
            self.say(Kind.RESULT, channel, answers.get(operation, known))

    def accepted(self) -> int:
        channel = self.begin()
        self.say(Kind.ACCEPT, channel, {"instance": bytes(16), "taken": 0}, 65_536)
        return channel


class HostileBus:
    """`scripts` by what stands behind `?` in the websocket's address; `script` for the page's own connection."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.connections = 0
        self.address = ""

    def answer(self, connection: ServerConnection) -> None:
        self.connections += 1
        assert connection.request is not None
        script = self.scripts[connection.request.path.partition("?")[2]]
        try:
            script(Line(connection))
            for _ in connection:
                pass
        except ConnectionClosed:
            return


def _page(_connection: ServerConnection, request: Request) -> Response | None:
    asset = read_assets().get(request.path)
    if request.path.startswith("/bus"):
        return None
    if asset is None:
        return Response(404, "Not Found", Headers({"Content-Length": "0"}), b"")
    headers = Headers({"Content-Type": asset.content_type, "Content-Length": str(len(asset.content))})
    return Response(200, "OK", headers, asset.content)


@contextmanager
def hostile_bus() -> Iterator[HostileBus]:
    bus = HostileBus()
    with serve(
        bus.answer, "127.0.0.1", 0, process_request=_page, subprotocols=["gatebus.v1"], compression=None, max_size=None
    ) as server:  # type: ignore[arg-type]
        bus.address = f"127.0.0.1:{server.socket.getsockname()[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield bus
        finally:
            server.shutdown()
            thread.join()
