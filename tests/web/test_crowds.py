"""Many connections that say nothing, on real sockets: those who speak get through; and the bounds of how many."""

from __future__ import annotations

import resource
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
from webparts import echo, serving

from gatebus.web.crowd import Capacity
from gatebus.web.dialling import dial
from gatebus.web.front import Front
from gatebus.web.link import CannotConnect
from gatebus.web.pages import TEXT, Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatebus.web.places import Address

HALF_OPEN = 2_000
FRONT = Front(echo, {"/": Page(TEXT, b"hello\n")})


@pytest.fixture
def descriptors() -> Iterator[int]:
    """How many half-open connections this process may make: both ends are here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(2 * HALF_OPEN + 1_000, hard if hard != resource.RLIM_INFINITY else 1 << 20)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield min(HALF_OPEN, (max(soft, wanted) - 600) // 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def silent_connections(address: Address, count: int, stack: ExitStack, said: bytes) -> None:
    """Plain sockets, so that they cost no task; a turn now and then, so that the server can accept them."""
    for number in range(count):
        sock = stack.enter_context(socket.socket())
        sock.connect((address.place, address.port))
        sock.send(said)
        if number % 50 == 0:
            await trio.testing.wait_all_tasks_blocked()


@pytest.mark.parametrize("said", [b"G", b"GET /bus HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"])
async def test_half_open_connections_do_not_stop_others(descriptors: int, said: bytes) -> None:
    with ExitStack() as stack:
        async with serving(FRONT) as address, dial(address) as earlier:
            await silent_connections(address, descriptors, stack, said)
            async with dial(address) as link, httpx.AsyncClient(base_url=f"http://{address.authority}") as web:
                for each in (link, earlier):
                    each.write(b"through")
                    assert await each.receive_many() == [b"through"]
                assert (await web.get("/")).text == "hello\n"


async def test_where_few_links_are_allowed_the_silent_do_not_stop_others_either() -> None:
    with ExitStack() as stack:
        async with serving(Front(echo, capacity=Capacity(connections=1, half_open=5))) as address:
            await silent_connections(address, 20, stack, b"")
            async with dial(address) as link:
                link.write(b"through")
                assert await link.receive_many() == [b"through"]
                await silent_connections(address, 20, stack, b"")
                link.write(b"still")
                assert await link.receive_many() == [b"still"]


async def test_the_oldest_silent_connection_makes_room() -> None:
    front = Front(echo, capacity=Capacity(half_open=3))
    with ExitStack() as stack:
        async with serving(front) as address:
            streams = [await trio.open_tcp_stream(address.place, address.port) for _ in range(4)]
            for stream in streams:
                stack.callback(stream.socket.close)
            assert await streams[0].receive_some() == b""
            with trio.CancelScope() as scope:
                scope.cancel()
                await streams[1].receive_some()
            assert scope.cancelled_caught  # still open


async def test_above_the_bound_a_connection_is_refused_and_there_is_room_again_when_one_goes() -> None:
    async with serving(Front(echo, capacity=Capacity(connections=1))) as address:
        async with dial(address) as link:
            link.write(b"x")
            assert await link.receive_many() == [b"x"]
            with pytest.raises(CannotConnect) as refused:
                async with dial(address):
                    pass
            assert (refused.value.status, refused.value.text) == (
                503,
                "The host refused the connection (HTTP 503): This host has as many connections as it takes. "
                "Try again later.",
            )
        while True:
            try:
                async with dial(address) as link:
                    link.write(b"y")
                    assert await link.receive_many() == [b"y"]
                    break
            except CannotConnect:
                await trio.testing.wait_all_tasks_blocked()


async def test_a_stranger_who_connects_and_goes_leaves_nothing() -> None:
    front = Front(echo, capacity=Capacity(connections=5))
    async with serving(front) as address:
        for _ in range(50):
            stream = await trio.open_tcp_stream(address.place, address.port)
            await stream.aclose()
            await trio.testing.wait_all_tasks_blocked()
        async with dial(address) as link:
            link.write(b"x")
            assert await link.receive_many() == [b"x"]
