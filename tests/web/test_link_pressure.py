"""A link under pressure: slow readers, floods, trickles, cancelled writers: nothing grows without bound."""

from __future__ import annotations

import tracemalloc
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio
from looprounds import rounds
from webparts import RawPeer, all_messages, masked, receive
from websockets.frames import Opcode

from gatebus.bounds import (
    LINK_BATCH_FRAMES,
    LINK_CONTROL_FRAMES,
    LINK_CONTROL_PASSES,
    LINK_FAIR_OPERATIONS,
    LINK_FLOOD_READ,
    LINK_HIGH_WATER,
    LINK_OUTBOX_BYTES,
    LINK_PING_SECONDS,
    LINK_SILENCE_SECONDS,
    LINK_STALL_SECONDS,
)
from gatebus.web.bytetransport import send_all
from gatebus.web.floor import SharedScratch
from gatebus.web.frames import Scratch
from gatebus.web.keepalive import SWEEP_SECONDS, Keepalive
from gatebus.web.link import LinkClosed
from gatebus.web.memorylink import MemoryPair, Wires, memory_links

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock

FULL = bytes(65_536)


@contextmanager
def little_memory(most: int) -> Iterator[None]:
    """What the body allocates at its highest point, as Python counts it."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield
        assert tracemalloc.get_traced_memory()[1] - before < most
    finally:
        tracemalloc.stop()


async def test_a_cancelled_writer_leaves_whole_frames() -> None:
    """What trio-websocket and websockets.trio get wrong: the next message is taken for the rest of this one."""
    pair = MemoryPair(to_client=Wires(capacity=10_000))
    async with memory_links(pair) as (client, host):
        for _ in range(30):
            host.write(FULL)
        with trio.CancelScope() as scope:
            scope.cancel()
            await host.room()
        assert scope.cancelled_caught
        host.write(b"small")
        host.flush()
        assert await receive(client, 31) == [*[FULL] * 30, b"small"]


async def test_room_comes_back_when_the_peer_reads() -> None:
    pair = MemoryPair(to_client=Wires(capacity=10_000))
    async with memory_links(pair) as (client, host), trio.open_nursery() as nursery:
        nursery.start_soon(receive, client, 100)
        for _ in range(100):
            host.write(FULL)
            assert host.waiting <= LINK_HIGH_WATER + len(FULL) + 100
            await host.room()
            assert host.waiting <= LINK_HIGH_WATER


async def test_a_peer_that_takes_nothing_is_cut_after_a_while(autojump_clock: MockClock) -> None:
    peer = RawPeer(to_client=Wires(capacity=1000))
    began = trio.current_time()
    async with peer.host:
        for _ in range(20):
            peer.host.write(FULL)
        with pytest.raises(LinkClosed):
            await peer.host.room()
        assert trio.current_time() - began == pytest.approx(LINK_STALL_SECONDS)
        assert peer.host.waiting == 0
        with pytest.raises(LinkClosed):
            await peer.host.receive_many()


async def test_a_peer_that_takes_a_little_is_not_cut(autojump_clock: MockClock) -> None:
    peer = RawPeer(to_client=Wires(capacity=1000))
    buffer = memoryview(bytearray(500))
    async with peer.host:
        for _ in range(10):
            peer.host.write(FULL)
        peer.host.flush()
        waiting = peer.host.waiting
        for _ in range(10):
            await trio.sleep(LINK_STALL_SECONDS - 1)
            assert peer.end.receive_into(buffer) == 500
        await trio.testing.wait_all_tasks_blocked()
        assert peer.host.waiting == waiting - 5000
        peer.host.abort()


async def test_a_writer_that_never_asks_for_room_is_bounded() -> None:
    peer = RawPeer(to_client=Wires(capacity=1000))
    written = 0
    async with peer.host:
        with suppress(LinkClosed):
            while True:
                written += len(FULL)
                peer.host.write(FULL)
        assert LINK_OUTBOX_BYTES <= written <= LINK_OUTBOX_BYTES + 3 * len(FULL)
        assert peer.host.waiting == 0
        assert peer.pair.host_end.is_closed


async def test_a_flood_of_pings_that_nobody_reads_the_answers_of_is_bounded(autojump_clock: MockClock) -> None:
    peer = RawPeer(to_client=Wires(capacity=1000))
    sent = 0

    async def flood() -> None:
        nonlocal sent
        pings = masked(Opcode.PING, bytes(125)) * 100
        with suppress(OSError, trio.ClosedResourceError):
            while True:
                await send_all(peer.end, pings)
                sent += len(pings)

    with little_memory(8 << 20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            async with peer.host:
                _, ended = await all_messages(peer.host)
    assert ended.close_code == 1006  # cut: it took nothing for LINK_STALL_SECONDS
    assert sent < 8 << 20


async def test_a_flood_of_empty_fragments_costs_no_memory() -> None:
    peer = RawPeer()
    with little_memory(2 << 20):
        async with peer.host, trio.open_nursery() as nursery:

            async def flood() -> None:
                peer.send(masked(Opcode.BINARY, b"a", fin=False))
                for _ in range(5):
                    await send_all(peer.end, masked(Opcode.CONT, fin=False) * 2000)
                peer.send(masked(Opcode.CONT, b"z"))

            nursery.start_soon(flood)
            assert await receive(peer.host, 1) == [b"az"]
            peer.end.finish()


async def test_a_message_that_comes_byte_by_byte_is_copied_once() -> None:
    peer = RawPeer(to_host=Wires(piece=1, capacity=1 << 20))
    async with peer.host:
        peer.send(masked(Opcode.BINARY, FULL[:20_000]))
        assert await receive(peer.host, 1) == [FULL[:20_000]]
        peer.end.finish()


async def test_a_busy_link_lets_others_have_their_turn() -> None:
    async with memory_links(MemoryPair(to_host=Wires(capacity=1 << 30))) as (client, host):
        with rounds() as gone:
            for _ in range(10 * LINK_FAIR_OPERATIONS):
                client.write(b"x")
                await client.room()
        assert gone.count >= 5
        assert len(await receive(host, 320)) == 320


async def test_what_came_together_is_read_in_batches_that_leave_others_their_turn() -> None:
    peer = RawPeer()
    async with peer.host:
        peer.send(b"".join(masked(Opcode.BINARY, b"%d" % number) for number in range(1000)))
        sizes, messages = [], []
        while len(messages) < 1000:
            batch = await peer.host.receive_many()
            sizes.append(len(batch))
            messages += batch
        assert messages == [b"%d" % number for number in range(1000)]
        assert sizes == [LINK_BATCH_FRAMES, LINK_BATCH_FRAMES, LINK_BATCH_FRAMES, 1000 - 3 * LINK_BATCH_FRAMES]
        peer.end.finish()


@pytest.mark.parametrize(
    "frame", [masked(Opcode.BINARY, b"x"), masked(Opcode.PING), masked(Opcode.BINARY, b"x") * 2 + masked(Opcode.PONG)]
)
async def test_others_have_their_turn_while_a_flood_of_small_frames_is_read(frame: bytes) -> None:
    peer = RawPeer(Wires(capacity=1 << 30), Wires(capacity=1 << 30))
    async with peer.host:
        peer.send(frame * (200_000 // len(frame)))  # one read
        peer.end.finish()
        with rounds() as gone:
            await all_messages(peer.host)
        assert gone.count > 50


@pytest.mark.parametrize("frame", [masked(Opcode.PING), masked(Opcode.CONT, fin=False)], ids=["pings", "fragments"])
async def test_links_that_flood_with_what_only_the_library_reads_take_turns_on_one_floor(frame: bytes) -> None:
    """However many they are: as much is read of all of them together, per round of the loop, as of one."""
    shared, links, frames = SharedScratch(), 4, 400
    peers = [RawPeer(Wires(capacity=1 << 30), Wires(capacity=1 << 30)) for _ in range(links)]

    async def read(peer: RawPeer) -> None:
        async with peer.host:
            await all_messages(peer.host)

    with rounds() as gone:
        async with trio.open_nursery() as reading:
            for peer in peers:
                peer.pair.host._scratch = shared
                peer.send(masked(Opcode.BINARY, b"", fin=False) + frame * frames)
                peer.end.finish()
                reading.start_soon(read, peer)
    assert gone.count >= links * (frames // LINK_CONTROL_FRAMES - 1) * LINK_CONTROL_PASSES


async def test_a_link_that_floods_is_read_in_small_pieces_until_it_stops() -> None:
    """What is left of a read is copied for every portion."""
    peer = RawPeer(Wires(capacity=1 << 30), Wires(capacity=1 << 30))
    peer.pair.host._scratch = Scratch(4 * LINK_FLOOD_READ)
    asked: list[int] = []
    receive_into = peer.pair.host_end.receive_into

    def counted(buffer: memoryview) -> int:
        asked.append(len(buffer))
        return receive_into(buffer)

    peer.pair.host_end.receive_into = counted  # type: ignore[method-assign]
    async with peer.host:
        peer.send(masked(Opcode.PING) * 8_000 + masked(Opcode.BINARY, b"calm"))
        assert await receive(peer.host, 1) == [b"calm"]
        assert asked[0] == 4 * LINK_FLOOD_READ
        assert set(asked[1:]) == {LINK_FLOOD_READ}
        for word in (b"once", b"again"):
            peer.send(masked(Opcode.BINARY, word))
            assert await receive(peer.host, 1) == [word]
        assert asked[-1] == 4 * LINK_FLOOD_READ
        peer.end.finish()


async def test_what_is_written_together_leaves_together() -> None:
    peer = RawPeer(Wires(capacity=1 << 30), Wires(capacity=1 << 30))
    sends: list[int] = []
    send = peer.pair.host_end.send_parts

    def counted(parts: list[bytes]) -> int:
        sends.append(sum(map(len, parts)))
        return send(parts)

    peer.pair.host_end.send_parts = counted  # type: ignore[method-assign, assignment]
    async with peer.host:
        for _ in range(50):
            peer.host.write(b"x" * 10)
        peer.host.flush()
        assert sends == [50 * 12]
        peer.host.write(b"small")
        for _ in range(4):
            assert sends == [600]
            peer.host.write(FULL)  # the fourth one leaves at once, with what was before it
        assert sends == [600, 7 + 4 * (10 + len(FULL))]
        peer.end.finish()


async def test_a_view_may_be_used_again_after_a_flush() -> None:
    buffer = bytearray(b"a" * 20_000)
    async with memory_links(MemoryPair(to_client=Wires(capacity=100))) as (client, host):
        host.write(b"head", memoryview(buffer))
        host.flush()
        buffer[:] = b"b" * 20_000
        assert await receive(client, 1) == [b"head" + b"a" * 20_000]


async def test_a_silent_peer_is_asked_and_then_left(autojump_clock: MockClock) -> None:
    peer, keepalive = RawPeer(), Keepalive()
    async with peer.host, trio.open_nursery() as nursery:
        nursery.start_soon(keepalive.run)
        with keepalive.keeping(peer.host):
            began = trio.current_time()
            _, ended = await all_messages(peer.host)
            waited = trio.current_time() - began
        nursery.cancel_scope.cancel()
    assert ended.close_code == 1006
    assert LINK_SILENCE_SECONDS <= waited <= LINK_SILENCE_SECONDS + SWEEP_SECONDS
    buffer = memoryview(bytearray(100))
    assert buffer[: peer.pair.client_end.receive_into(buffer)] == b"\x89\x00"  # one ping


async def test_any_byte_is_a_sign_of_life_and_our_own_silence_is_not_held_against_the_peer(
    autojump_clock: MockClock,
) -> None:
    keepalive = Keepalive()
    async with memory_links() as (client, host), trio.open_nursery() as nursery:
        nursery.start_soon(keepalive.run)
        with keepalive.keeping(host):  # type: ignore[arg-type]
            await trio.sleep(10 * LINK_SILENCE_SECONDS)  # nobody reads here: nothing is known of the peer
            nursery.start_soon(all_messages, client)  # whose library answers pings
            with trio.move_on_after(10 * LINK_SILENCE_SECONDS):
                await host.receive_many()
            client.write(b"still here")
            client.flush()
            assert await host.receive_many() == [b"still here"]
            assert trio.current_time() - host.last_heard < LINK_PING_SECONDS
        nursery.cancel_scope.cancel()
