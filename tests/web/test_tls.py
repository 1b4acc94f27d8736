"""TLS: the same link, certificates that are and are not to be trusted, the wrong protocol on either side."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING

import pytest
import trio
import trustme
from stepwise import cancelled_at
from webparts import all_messages, echo, receive

from gatebus.bounds import HTTP_HEAD_SECONDS
from gatebus.web.bytetransport import LINGER_SECONDS, receive_some, send_all
from gatebus.web.crowd import Capacity, Crowd
from gatebus.web.dialling import Caller, dial, shake_hands
from gatebus.web.front import Front, Reception
from gatebus.web.link import CannotConnect, Peer
from gatebus.web.listening import listen_tcp, serve
from gatebus.web.memorytransport import MemoryTransport, Wires, memory_transports
from gatebus.web.places import Address
from gatebus.web.tlstransport import TlsTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from trio.testing import MockClock

    from gatebus.web.link import Link


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def client_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@asynccontextmanager
async def serving(front: Front, context: ssl.SSLContext) -> AsyncIterator[Address]:
    listeners = await listen_tcp("127.0.0.1", 0, context)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, listeners, front)
        yield Address("wss", "127.0.0.1", listeners[0].port)
        for listener in listeners:
            listener.close()
        nursery.cancel_scope.cancel()


async def test_messages_go_both_ways(server_side: ssl.SSLContext, client_side: ssl.SSLContext) -> None:
    sent = [b"small", bytes(65_536), *[b"%d" % number for number in range(1000)]]
    transports: list[str] = []

    async def note(link: Link) -> None:
        transports.append(link.peer.transport)
        await echo(link)

    async with serving(Front(note), server_side) as address, dial(address, Caller(context=client_side)) as link:
        for message in sent:
            link.write(message)
        assert await receive(link, len(sent)) == sent
        assert link.peer.transport == "tls"
    assert transports == ["tls"]


async def test_a_certificate_of_nobody_we_trust_is_refused(server_side: ssl.SSLContext) -> None:
    async with serving(Front(echo), server_side) as address:
        with pytest.raises(CannotConnect, match=r"certificate is not to be trusted: .*SSL_CERT_FILE=FILE\."):
            async with dial(address):
                pass


async def test_a_file_of_certificates_that_is_not_there_is_told(
    server_side: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    async with serving(Front(echo), server_side) as address:
        with pytest.raises(CannotConnect, match=r" SSL_CERT_FILE names no file: no such file or directory\.$"):
            async with dial(address):
                pass


async def test_a_certificate_for_another_name_is_refused(authority: trustme.CA, client_side: ssl.SSLContext) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    async with serving(Front(echo), context) as address:
        with pytest.raises(CannotConnect, match="certificate is not to be trusted"):
            async with dial(address, Caller(context=client_side)):
                pass


async def test_plain_bytes_on_a_tls_port_end_only_themselves(
    server_side: ssl.SSLContext, client_side: ssl.SSLContext
) -> None:
    async with serving(Front(echo), server_side) as address:
        with pytest.raises(CannotConnect):
            async with dial(Address("ws", address.place, address.port)):
                pass
        async with dial(address, Caller(context=client_side)) as link:
            link.write(b"x")
            assert await link.receive_many() == [b"x"]


async def test_tls_to_a_plain_port_says_so(client_side: ssl.SSLContext) -> None:
    listeners = await listen_tcp("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, listeners, Front(echo))
        with pytest.raises(CannotConnect, match="is it a TLS port"):
            async with dial(Address("wss", "127.0.0.1", listeners[0].port), Caller(context=client_side)):
                pass
        listeners[0].close()


@asynccontextmanager
async def secured(
    server_side: ssl.SSLContext, client_side: ssl.SSLContext, wires: Wires
) -> AsyncIterator[tuple[TlsTransport, TlsTransport, MemoryTransport]]:
    """Client, server, and the raw end below the server."""
    mine, theirs = memory_transports(wires, wires)
    client, server = TlsTransport(mine, client_side, "localhost"), TlsTransport(theirs, server_side)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.handshake)
        nursery.start_soon(server.handshake)
    yield client, server, theirs


@pytest.mark.parametrize(("piece", "capacity"), [(1 << 20, 1 << 20), (7, 1 << 20), (1 << 20, 100)])
async def test_records_may_be_cut_anywhere(
    server_side: ssl.SSLContext, client_side: ssl.SSLContext, piece: int, capacity: int
) -> None:
    sent, wires = bytes(range(256)) * 20, Wires(piece=piece)
    async with secured(server_side, client_side, wires) as (client, server, _), trio.open_nursery() as nursery:
        wires.capacity = capacity
        nursery.start_soon(send_all, server, sent)
        found = b""
        while len(found) < len(sent):
            found += await receive_some(client, 1000)
        assert found == sent


async def test_an_end_is_an_end_with_and_without_a_goodbye(
    server_side: ssl.SSLContext, client_side: ssl.SSLContext
) -> None:
    for goodbye in (True, False):
        async with secured(server_side, client_side, Wires()) as (client, server, raw):
            await send_all(server, b"last")
            (server if goodbye else raw).finish()
            assert await receive_some(client) == b"last"
            assert await receive_some(client) == b""


async def test_what_the_kernel_refuses_waits_and_is_bounded(
    server_side: ssl.SSLContext, client_side: ssl.SSLContext
) -> None:
    wires = Wires()
    async with secured(server_side, client_side, wires) as (client, server, _):
        wires.capacity = 1000
        taken = server.send(bytes(1 << 20))
        assert taken == 65_536
        assert server.pending()
        with pytest.raises(BlockingIOError):
            server.send(b"x")
        found = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all, server, b"")
            while found < taken:
                found += len(await receive_some(client))
        assert not server.pending()


async def test_who_begins_tls_and_stops_is_left(autojump_clock: MockClock, server_side: ssl.SSLContext) -> None:
    mine, theirs = memory_transports(Wires(), Wires())
    server = TlsTransport(theirs, server_side)
    mine.send(b"\x16\x03\x01\x02\x00\x01")
    with trio.move_on_after(10) as waited:
        await server.handshake()
    assert waited.cancelled_caught
    mine.finish()
    with pytest.raises(ssl.SSLError):
        await server.handshake()


async def test_a_handshake_that_comes_byte_by_byte_is_ended_in_time(
    autojump_clock: MockClock, server_side: ssl.SSLContext, client_side: ssl.SSLContext
) -> None:
    greeting = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client_side.wrap_bio(ssl.MemoryBIO(), greeting, server_hostname="localhost").do_handshake()
    said = greeting.read()
    mine, theirs = memory_transports(Wires(), Wires())
    seat = Crowd(Capacity()).enter("192.0.2.1", theirs.close)
    assert seat is not None

    async def drip() -> None:
        for byte in said:
            await trio.sleep(1)
            mine.send(bytes([byte]))

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drip)
        await Reception(Front(echo)).receive(theirs, Peer("tls"), seat, server_side)
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began == pytest.approx(HTTP_HEAD_SECONDS)
    assert theirs.is_closed


async def test_one_deadline_holds_for_handshake_and_head_together(
    server_side: ssl.SSLContext, client_side: ssl.SSLContext, autojump_clock: trio.testing.MockClock
) -> None:
    mine, theirs = memory_transports(Wires(), Wires())
    seat = Crowd(Capacity()).enter("192.0.2.1", theirs.close)
    assert seat is not None

    async def late() -> None:
        await trio.sleep(HTTP_HEAD_SECONDS * 0.9)
        client = TlsTransport(mine, client_side, "localhost")
        await client.handshake()
        await send_all(client, b"GET / HTTP/1.1\r\n")

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(late)
        await Reception(Front(echo)).receive(theirs, Peer("tls"), seat, server_side)
        waited = trio.current_time() - began
        nursery.cancel_scope.cancel()
    assert HTTP_HEAD_SECONDS <= waited <= HTTP_HEAD_SECONDS + LINGER_SECONDS
    assert theirs.is_closed


async def test_others_get_in_while_handshakes_hang(server_side: ssl.SSLContext, client_side: ssl.SSLContext) -> None:
    async with serving(Front(echo), server_side) as address:
        hanging = [await trio.open_tcp_stream("127.0.0.1", address.port) for _ in range(20)]
        for each in hanging:
            await each.send_all(b"\x16\x03\x01\x02\x00\x01")
        async with dial(address, Caller(context=client_side)) as link:
            link.write(b"here")
            assert await receive(link, 1) == [b"here"]
        for each in hanging:
            await each.aclose()


async def test_garbage_in_a_record_ends_the_link(server_side: ssl.SSLContext, client_side: ssl.SSLContext) -> None:
    async with secured(server_side, client_side, Wires()) as (_, server, raw):
        assert raw.other is not None
        raw.other.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(ssl.SSLError):
            await receive_some(server)


async def test_a_link_over_tls_ends_as_any_other(server_side: ssl.SSLContext, client_side: ssl.SSLContext) -> None:
    async def refuse(link: Link) -> None:
        await link.aclose(1008, "no")

    async with serving(Front(refuse), server_side) as address, dial(address, Caller(context=client_side)) as link:
        _, ended = await all_messages(link)
    assert (ended.close_code, ended.reason) == (1008, "no")


async def test_a_tls_connection_that_is_cancelled_at_every_step_leaves_nothing_open(
    server_side: ssl.SSLContext, client_side: ssl.SSLContext
) -> None:
    async def life(end: MemoryTransport) -> None:
        client = TlsTransport(end, client_side, "localhost")
        try:
            await client.handshake()
            link = await shake_hands(client, Address("wss", "localhost", 1), Caller())
            async with link:
                link.write(bytes(20_000))
                assert await link.receive_many() == [bytes(20_000)]
        finally:
            end.close()

    for step in count(1):
        mine, theirs = memory_transports(Wires(piece=9000), Wires(piece=9000))
        seat = Crowd(Capacity()).enter("", theirs.close)
        assert seat is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Reception(Front(echo)).receive, theirs, Peer("tls"), seat, server_side)
            caught = await cancelled_at(step, lambda end=mine: life(end))  # type: ignore[misc]
            assert mine.is_closed
        assert theirs.is_closed
        if not caught:
            break
    assert step > 10
