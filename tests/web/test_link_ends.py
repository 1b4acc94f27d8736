"""Every way in which a link ends, from both sides: what is said, what is still delivered, and within which time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
from webparts import RawPeer, all_messages, masked, receive
from websockets.frames import Opcode

from gatebus.bounds import LINK_CLOSE_SECONDS
from gatebus.web.link import LinkClosed
from gatebus.web.memorylink import MemoryPair, Wires, memory_links

if TYPE_CHECKING:
    from trio.testing import MockClock

CLOSE_NORMAL = masked(Opcode.CLOSE, b"\x03\xe8")


@pytest.mark.parametrize(
    ("said", "code", "reason", "answer"),
    [
        (CLOSE_NORMAL, 1000, "", b"\x88\x02\x03\xe8"),
        (masked(Opcode.CLOSE, b"\x03\xe9bye"), 1001, "bye", b"\x88\x05\x03\xe9bye"),
        (masked(Opcode.CLOSE), 1005, "", b"\x88\x00"),
        (b"", 1006, "", b""),
        (masked(Opcode.BINARY, bytes(100))[:50], 1006, "", b""),
        (masked(Opcode.BINARY, b"half", fin=False) + CLOSE_NORMAL, 1000, "", b"\x88\x02\x03\xe8"),
    ],
)
async def test_the_peer_ends_the_link(said: bytes, code: int, reason: str, answer: bytes) -> None:
    peer = RawPeer()
    async with peer.host:
        peer.send(masked(Opcode.BINARY, b"before"))
        peer.send(said)
        peer.end.finish()
        messages, ended = await all_messages(peer.host)
    assert messages == [b"before"]
    assert (ended.close_code, ended.reason) == (code, reason)
    assert await peer.read_to_the_end() == answer


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (b"\x82\x05hello", 1002),  # a client that does not mask
        (masked(3, b"reserved"), 1002),
        (masked(Opcode.CONT, b"of nothing"), 1002),
        (b"\xc2\x80\0\0\0\0", 1002),  # as if it were compressed
        (masked(Opcode.PING, bytes(126)), 1002),
        (masked(Opcode.PING, b"x", fin=False), 1002),
        (masked(Opcode.CLOSE, b"\x03"), 1002),
        (masked(Opcode.CLOSE, b"\x03\xe8\xff"), 1007),
        (masked(Opcode.TEXT, b"hello"), 1003),
        (masked(Opcode.TEXT, b"hel", fin=False), 1003),
        (b"\x82\xff" + (1 << 30).to_bytes(8, "big"), 1009),  # a gigabyte, announced
        (b"\x82\xff" + b"\xff" * 8, 1009),
        (b"\x82\xff" + (65_601).to_bytes(8, "big") + bytes(4), 1009),
        (masked(Opcode.BINARY, bytes(65_000), fin=False) + masked(Opcode.CONT, bytes(65_000)), 1009),
        (b"GET / HTTP/1.1\r\n\r\n", 1002),
    ],
)
async def test_a_peer_that_breaks_the_rules_is_told_which(broken: bytes, code: int) -> None:
    peer = RawPeer()
    async with peer.host:
        peer.send(masked(Opcode.BINARY, b"before"))
        peer.send(broken)
        peer.send(bytes(1000))  # it goes on sending
        messages, ended = await all_messages(peer.host)
        assert messages == [b"before"]
        assert ended.close_code == code
        peer.end.finish()
    said = await peer.read_to_the_end()
    assert said[:1] == b"\x88"
    assert int.from_bytes(said[2:4], "big") == code


async def test_a_link_that_is_broken_off_ends_without_a_code() -> None:
    peer = RawPeer()
    async with peer.host:
        peer.send(masked(Opcode.BINARY, b"before"))
        assert await receive(peer.host, 1) == [b"before"]
        peer.pair.cut()
        messages, ended = await all_messages(peer.host)
        assert (messages, ended.close_code) == ([], 1006)
        with pytest.raises(LinkClosed):
            peer.host.write(b"x")
        with pytest.raises(LinkClosed):
            await peer.host.room()
        peer.host.flush()


async def test_closing_waits_for_what_was_written_and_for_the_other_side() -> None:
    pair = MemoryPair(to_host=Wires(capacity=5_000, piece=777))
    async with memory_links(pair) as (client, host):
        for _ in range(10):
            client.write(bytes(50_000))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.aclose, 1000, "done")
            messages, ended = await all_messages(host)
        assert messages == [bytes(50_000)] * 10
        assert (ended.close_code, ended.reason) == (1000, "done")


@pytest.mark.parametrize("reads", [True, False])
async def test_a_peer_that_does_not_answer_the_close_is_left(autojump_clock: MockClock, reads: bool) -> None:
    peer = RawPeer(to_client=Wires(capacity=1000))
    async with peer.host:
        peer.host.write(bytes(10_000))
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            if reads:
                nursery.start_soon(peer.read_to_the_end)
            await peer.host.aclose()
    assert trio.current_time() - began == pytest.approx(LINK_CLOSE_SECONDS)
    assert peer.pair.host_end.is_closed


async def test_a_flood_during_the_close_does_not_hold_it(autojump_clock: MockClock) -> None:
    peer = RawPeer()

    async def flood() -> None:
        with suppress(OSError):
            while True:
                peer.send(masked(Opcode.BINARY, bytes(60_000)))
                await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(flood)
        async with peer.host:
            began = trio.current_time()
            await peer.host.aclose()
            assert trio.current_time() - began <= LINK_CLOSE_SECONDS + 0.1


async def test_both_sides_may_close_at_once() -> None:
    async with memory_links() as (client, host), trio.open_nursery() as nursery:
        nursery.start_soon(client.aclose, 1000, "client")
        nursery.start_soon(host.aclose, 1000, "host")
    for link in (client, host):
        with pytest.raises(LinkClosed):
            await link.receive_many()


async def test_a_link_may_be_closed_while_another_task_reads() -> None:
    ends: list[LinkClosed] = []

    async def read() -> None:
        ends.append((await all_messages(client))[1])

    async with memory_links() as (client, host), trio.open_nursery() as nursery:
        nursery.start_soon(read)
        nursery.start_soon(all_messages, host)
        await trio.testing.wait_all_tasks_blocked()
        await client.aclose(1001, "home time")
        await client.aclose()
    assert [(end.close_code, end.reason) for end in ends] == [(1001, "home time")]


async def test_aborting_wakes_whoever_waits() -> None:
    pair = MemoryPair(to_host=Wires(capacity=1000))
    async with memory_links(pair) as (client, _), trio.open_nursery() as nursery:

        async def wait_for_room() -> None:
            with pytest.raises(LinkClosed):
                await client.room()

        for _ in range(40):
            client.write(bytes(60_000))
        nursery.start_soon(all_messages, client)
        nursery.start_soon(wait_for_room)
        await trio.testing.wait_all_tasks_blocked()
        client.abort()
        client.abort()
    assert pair.client_end.is_closed


async def test_who_leaves_by_an_error_says_so_to_the_peer_and_keeps_the_error() -> None:
    peer = RawPeer()
    said: list[bytes] = []

    async def listen() -> None:
        said.append(await peer.read_to_the_end())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        peer.end.finish()
        with pytest.raises(ZeroDivisionError):
            async with peer.host:
                raise ZeroDivisionError
    assert said == [b"\x88\x02\x03\xf3"]  # 1011


async def test_who_is_cancelled_says_goodbye_if_that_needs_no_waiting() -> None:
    peer = RawPeer()
    with trio.CancelScope() as scope:
        async with peer.host:
            peer.host.write(b"written")
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert await peer.read_to_the_end() == b"\x82\x07written\x88\x02\x03\xe9"  # 1001


async def test_nothing_can_be_written_after_the_end_and_reading_says_why() -> None:
    async with memory_links() as (client, host):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.aclose, 1008, "out")
            _, ended = await all_messages(client)
            client.abort()
        assert (ended.close_code, ended.reason) == (1008, "out")
        for link in (client, host):
            with pytest.raises(LinkClosed) as refused:
                link.write(b"x")
            assert refused.value.text == "The connection was closed (code 1008): out."
            with pytest.raises(LinkClosed):
                await link.receive_many()
