"""Assembly of a benchmark: an echo server on one websocket layer, for bench.websocket_layers. Prints its port."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING

import trio
import trio_websocket
import websockets.asyncio.server
import websockets.trio.server
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from gatebus.web.entry import Terms
from gatebus.web.front import Front
from gatebus.web.listening import listen_tcp, serve

if TYPE_CHECKING:
    from gatebus.web.link import Link

MESSAGE = 1 << 20
READ = 65_536  # of trio-websocket: its own 4,096 would halve it at 64 KiB


def announce(port: int) -> None:
    print(port, flush=True)


async def ours() -> None:
    async def echo(link: Link) -> None:
        while True:
            for message in await link.receive_many():
                link.write(message)

    listeners = await listen_tcp("127.0.0.1", 0)
    announce(listeners[0].port)
    await serve(listeners, Front(echo, terms=Terms(message_bytes=MESSAGE)))


async def with_trio_websocket() -> None:
    async def echo(request: trio_websocket.WebSocketRequest) -> None:
        link = await request.accept(subprotocol="gatebus.v1")
        try:
            while True:
                await link.send_message(await link.get_message())
        except trio_websocket.ConnectionClosed:
            pass

    async with trio.open_nursery() as nursery:
        serving = partial(trio_websocket.serve_websocket, echo, "127.0.0.1", 0, None, receive_buffer_size=READ)
        announce((await nursery.start(serving)).port)


async def with_websockets_trio() -> None:
    async def echo(link: websockets.trio.server.ServerConnection) -> None:
        try:
            while True:
                await link.send(await link.recv())
        except ConnectionClosed:
            pass

    serving = partial(
        websockets.trio.server.serve,
        echo,
        0,
        host="127.0.0.1",
        subprotocols=[Subprotocol("gatebus.v1")],
        compression=None,
    )
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serving)
        announce(server.listeners[0].socket.getsockname()[1])


async def with_websockets_asyncio() -> None:
    async def echo(link: websockets.asyncio.server.ServerConnection) -> None:
        try:
            while True:
                await link.send(await link.recv())
        except ConnectionClosed:
            pass

    serving = websockets.asyncio.server.serve(
        echo, "127.0.0.1", 0, subprotocols=[Subprotocol("gatebus.v1")], compression=None
    )
    async with serving as server:
        announce(next(iter(server.sockets)).getsockname()[1])
        await server.serve_forever()


if __name__ == "__main__":
    match sys.argv[1]:
        case "gatebus":
            trio.run(ours)
        case "trio-websocket":
            trio.run(with_trio_websocket)
        case "websockets.trio":
            trio.run(with_websockets_trio)
        case "websockets.asyncio":
            asyncio.run(with_websockets_asyncio())
