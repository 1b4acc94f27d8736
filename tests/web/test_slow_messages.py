"""A message that has begun must end, and a link that was cut says so: whoever is slow is told of, nobody else."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
from webparts import RawPeer, all_messages, masked
from websockets.frames import Opcode

from gatebus.accountbounds import LINK_MESSAGE_SECONDS
from gatebus.bounds import LINK_STALL_SECONDS
from gatebus.lookout import Lookout
from gatebus.web.bytetransport import SocketTransport
from gatebus.web.keepalive import SWEEP_SECONDS, Keepalive
from gatebus.web.link import LinkClosed
from gatebus.web.memorylink import Wires
from sandbox.transport import SocketTransport as ProgramTransport

if TYPE_CHECKING:
    from trio.testing import MockClock

    from gatebus.web.websocketlink import WebsocketLink

FULL = bytes(65_536)


async def kept_until(keepalive: Keepalive, link: WebsocketLink) -> tuple[float, LinkClosed]:
    """How long it lived, and its end."""
    began = trio.current_time()
    with keepalive.keeping(link):
        _, ended = await all_messages(link)
    return trio.current_time() - began, ended


START = b"\x82\xfe\xff\x00\0\0\0\0"
FRAGMENT = b"\x02\x80\0\0\0\0"


@pytest.mark.parametrize(
    ("start", "drip"),
    [(START, b"x"), (b"\x82", b""), (FRAGMENT, b"\x00\x80\0\0\0\0"), (FRAGMENT, b"\x89\x80\0\0\0\0")],
    ids=["bytes", "no byte more", "empty fragments", "pings between fragments"],
)
async def test_a_message_that_has_begun_must_end(start: bytes, drip: bytes, autojump_clock: MockClock) -> None:
    peer, keepalive = RawPeer(), Keepalive()

    async def drips() -> None:
        peer.send(masked(Opcode.BINARY, b"whole") + start)
        with suppress(OSError, trio.ClosedResourceError):
            while True:
                await trio.sleep(1)
                peer.send(drip)

    async with peer.host, trio.open_nursery() as nursery:
        nursery.start_soon(keepalive.run)
        nursery.start_soon(drips)
        lived, ended = await kept_until(keepalive, peer.host)
        nursery.cancel_scope.cancel()
    if drip:
        assert ended.reason == "too slow: a message did not end"
        assert LINK_MESSAGE_SECONDS <= lived <= LINK_MESSAGE_SECONDS + 2 * SWEEP_SECONDS
    else:
        assert ended.reason == "too slow: nothing was heard"
    assert (ended.close_code, ended.ours) == (1006, True)


async def test_messages_that_end_may_come_slowly_for_ever(autojump_clock: MockClock) -> None:
    """Each byte a second, so that the link is always in the middle of one, but never long of the same one."""
    peer, keepalive = RawPeer(), Keepalive()
    frame = masked(Opcode.BINARY, b"a little message")

    async def slowly() -> None:
        peer.send(frame[:5])
        for _ in range(30):
            for byte in frame[5:] + frame[:5]:
                await trio.sleep(1)
                peer.send(bytes((byte,)))
        peer.send(frame[5:])
        peer.end.finish()

    async with peer.host, trio.open_nursery() as nursery:
        nursery.start_soon(keepalive.run)
        nursery.start_soon(slowly)
        began = trio.current_time()
        with keepalive.keeping(peer.host):
            heard, _ = await all_messages(peer.host)
        assert trio.current_time() - began > 4 * LINK_MESSAGE_SECONDS
        nursery.cancel_scope.cancel()
    assert heard == [b"a little message"] * 31


async def test_half_a_message_that_we_did_not_wait_for_is_not_held_against_the_peer(autojump_clock: MockClock) -> None:
    peer, keepalive = RawPeer(), Keepalive()
    async with peer.host, trio.open_nursery() as nursery:
        nursery.start_soon(keepalive.run)
        with keepalive.keeping(peer.host):
            peer.send(masked(Opcode.BINARY, b"whole") + START)
            assert await peer.host.receive_many() == [b"whole"]
            await trio.sleep(10 * LINK_MESSAGE_SECONDS + 1)
            with trio.move_on_after(1.5 * SWEEP_SECONDS) as waited:  # one sweep, which also pings
                await peer.host.receive_many()
            assert waited.cancelled_caught
        nursery.cancel_scope.cancel()
        peer.host.abort()


async def test_a_link_that_was_cut_while_nobody_waited_says_so_to_whoever_asks_next(autojump_clock: MockClock) -> None:
    """Its transport is closed: who waits on that finds another's error, or none ever. (Seen as BusyResourceError.)"""
    peer = RawPeer(to_client=Wires(capacity=1000))
    async with peer.host:
        for _ in range(20):
            peer.host.write(FULL)
        peer.host.flush()
        await trio.sleep(LINK_STALL_SECONDS + 1)
        for ask in (peer.host.receive_many, peer.host.room, peer.host.receive_many):
            with pytest.raises(LinkClosed) as closed:
                await ask()
            assert closed.value.reason == f"too slow: nothing was taken for {LINK_STALL_SECONDS:.0f} s"


@pytest.mark.parametrize("transport", [SocketTransport, ProgramTransport])
async def test_who_waits_on_a_closed_socket_is_told_each_time(transport: type[SocketTransport]) -> None:
    """trio says ValueError the first time, keeps the waiter, and tells everybody after that that the socket is busy."""
    ours, theirs = socket.socketpair()
    with theirs:
        closed = transport(ours, Lookout().readable) if transport is SocketTransport else transport(ours)
        closed.close()
        for _ in range(2):
            for wait in (closed.wait_writable, closed.wait_readable):
                with pytest.raises(trio.ClosedResourceError):
                    await wait()
