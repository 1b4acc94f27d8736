"""Other people's websocket software at the other end: trio-websocket, and `websockets` on three kinds of loops."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio_websocket
import websockets.asyncio.client
import websockets.exceptions
import websockets.sync.client
import websockets.sync.server
import websockets.trio.client
from waiting import PATIENCE
from webparts import all_messages, echo, receive, serving

from gatebus.web.dialling import dial
from gatebus.web.front import Front
from gatebus.web.link import CannotConnect
from gatebus.web.places import Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MESSAGES = [b"", b"one", bytes(125), bytes(126), bytes(65_535), bytes(65_536), bytes(65_600)]
SPOKEN = "gatebus.v1"


async def test_trio_websocket_as_a_client() -> None:
    async with serving(Front(echo)) as address:
        async with trio_websocket.open_websocket_url(address.url, subprotocols=[SPOKEN]) as outside:
            assert outside.subprotocol == SPOKEN
            for message in MESSAGES:
                await outside.send_message(message)
                assert await outside.get_message() == message
            with trio.fail_after(PATIENCE):
                await outside.ping(b"alive")
        assert (outside.closed.code, outside.closed.reason) == (1000, None)


async def test_websockets_on_trio_as_a_client() -> None:
    async with serving(Front(echo)) as address:
        connecting = websockets.trio.client.connect(address.url, subprotocols=[SPOKEN])  # type: ignore[list-item]
        async with connecting as outside:
            for message in MESSAGES:
                await outside.send(message)
                assert await outside.recv() == message
            await outside.send([b"in ", b"three ", b"fragments"])
            assert await outside.recv() == b"in three fragments"


def talk_in_a_thread(url: str) -> list[bytes]:
    with websockets.sync.client.connect(url, subprotocols=[SPOKEN]) as outside:  # type: ignore[list-item]
        found = []
        for message in MESSAGES:
            outside.send(message)
            found.append(outside.recv())
        return found  # type: ignore[return-value]


def talk_on_asyncio(url: str) -> list[bytes]:
    async def talk() -> list[bytes]:
        async with websockets.asyncio.client.connect(url, subprotocols=[SPOKEN]) as outside:  # type: ignore[list-item]
            for message in MESSAGES:
                await outside.send(message)
            return [await outside.recv() for _ in MESSAGES]  # type: ignore[misc]

    return asyncio.run(talk())


@pytest.mark.parametrize("talk", [talk_in_a_thread, talk_on_asyncio])
async def test_websockets_on_other_loops_as_a_client(talk: object) -> None:
    async with serving(Front(echo)) as address:
        assert await trio.to_thread.run_sync(talk, address.url) == MESSAGES  # type: ignore[arg-type]


def say_text(url: str) -> tuple[int, str]:
    with websockets.sync.client.connect(url, subprotocols=[SPOKEN]) as outside:  # type: ignore[list-item]
        outside.send("text")
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as ended:
            outside.recv()
        assert ended.value.rcvd is not None
        return ended.value.rcvd.code, ended.value.rcvd.reason


async def test_who_sends_text_is_told() -> None:
    async with serving(Front(echo)) as address:
        told = await trio.to_thread.run_sync(say_text, address.url)
    assert told == (1003, "this protocol has no text messages")


async def trio_websocket_echo(request: trio_websocket.WebSocketRequest) -> None:
    outside = await request.accept(subprotocol=request.proposed_subprotocols[0])
    try:
        while True:
            await outside.send_message(await outside.get_message())
    except trio_websocket.ConnectionClosed:
        pass


async def test_trio_websocket_as_a_server() -> None:
    async with trio.open_nursery() as nursery:
        serve = partial(trio_websocket.serve_websocket, trio_websocket_echo, "127.0.0.1", 0, None)
        server = await nursery.start(serve)
        async with dial(Address("ws", "127.0.0.1", server.port)) as link:
            for message in MESSAGES:
                link.write(message)
            assert await receive(link, len(MESSAGES)) == MESSAGES
        nursery.cancel_scope.cancel()


async def test_a_server_of_another_protocol_is_noticed() -> None:
    async def accept_anything(request: trio_websocket.WebSocketRequest) -> None:
        await request.accept()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(trio_websocket.serve_websocket, accept_anything, "127.0.0.1", 0, None))
        with pytest.raises(CannotConnect, match=r"does not speak gatebus\.v1"):
            async with dial(Address("ws", "127.0.0.1", server.port)):
                pass
        nursery.cancel_scope.cancel()


@pytest.fixture
async def sync_server() -> AsyncIterator[Address]:
    """`websockets` in a thread; compression is its default, and not asked for."""

    def attend(outside: websockets.sync.server.ServerConnection) -> None:
        for message in outside:
            outside.send(message)
            if message == b"":
                outside.ping()
            if message == b"leave":
                outside.close(4000, "as you wish")

    server = websockets.sync.server.serve(attend, "127.0.0.1", 0, subprotocols=[SPOKEN])  # type: ignore[list-item]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.to_thread.run_sync, server.serve_forever))
        yield Address("ws", "127.0.0.1", server.socket.getsockname()[1])
        server.shutdown()


async def test_websockets_in_a_thread_as_a_server(sync_server: Address) -> None:
    async with dial(sync_server) as link:
        for message in MESSAGES:
            link.write(message)
        assert await receive(link, len(MESSAGES)) == MESSAGES
        link.write(b"leave")
        messages, ended = await all_messages(link)
        assert messages == [b"leave"]
        assert (ended.close_code, ended.reason) == (4000, "as you wish")
