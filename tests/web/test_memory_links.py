"""Links in memory: what everybody's tests stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from webparts import receive

from gatebus.web.link import CannotConnect, LinkClosed, Peer
from gatebus.web.memorylink import MemoryNetwork, MemoryPair, Wires, memory_links

if TYPE_CHECKING:
    from gatebus.web.link import Link


async def test_messages_arrive_whole_and_in_order_in_both_directions() -> None:
    async with memory_links() as (client, host):
        for number in range(100):
            client.write(b"to the host", str(number).encode())
            host.write(memoryview(b"to the client"), str(number).encode())
        client.flush()
        host.flush()
        assert await receive(host, 100) == [b"to the host%d" % number for number in range(100)]
        assert await receive(client, 100) == [b"to the client%d" % number for number in range(100)]


@pytest.mark.parametrize("piece", [1, 2, 7, 100])
async def test_messages_arrive_whole_over_a_stream_of_pieces(piece: int) -> None:
    sent = [bytes([size % 251]) * size for size in (0, 1, 125, 126, 127, 1000, 65_536 if piece > 10 else 4_000)]
    async with memory_links(MemoryPair(Wires(piece=piece), Wires(piece=piece))) as (client, host):
        for message in sent:
            client.write(message)
        client.flush()
        assert await receive(host, len(sent)) == sent
        for message in sent:
            host.write(message)
        host.flush()
        assert await receive(client, len(sent)) == sent


async def test_a_stream_that_is_cut_ends_both_links() -> None:
    pair = MemoryPair()
    async with memory_links(pair) as (client, host):
        client.write(b"before")
        client.flush()
        assert await host.receive_many() == [b"before"]
        pair.cut()
        with pytest.raises(LinkClosed):
            await host.receive_many()
        with pytest.raises(LinkClosed) as ended:
            await client.receive_many()
    assert ended.value.close_code == 1006
    assert ended.value.text == "The connection was lost."


async def test_a_stream_can_be_cut_at_a_byte() -> None:
    async with memory_links(MemoryPair(to_host=Wires(cut_after=20))) as (client, host):
        client.write(b"x" * 8)
        client.write(b"y" * 8)
        client.flush()
        with pytest.raises(LinkClosed):  # 8 + 6 bytes are the first frame; nothing of the second is ever seen
            await receive(host, 2)


async def test_bytes_can_be_late(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_links(MemoryPair(to_host=Wires(delay=1.5))) as (client, host):
        began = trio.current_time()
        client.write(b"late")
        client.flush()
        assert await host.receive_many() == [b"late"]
        assert trio.current_time() - began == 1.5


async def test_a_network_can_be_dialled_cut_and_down() -> None:
    seen: list[Peer] = []

    async def echo(link: Link) -> None:
        seen.append(link.peer)
        while True:
            for message in await link.receive_many():
                link.write(message)

    network = MemoryNetwork(echo, Peer("unix", uid=1000))
    async with network.running():
        async with network.dial() as link:
            link.write(b"hello")
            assert await link.receive_many() == [b"hello"]
        async with network.dial() as link:
            network.cut()
            with pytest.raises(LinkClosed):
                await link.receive_many()
        network.down = True
        with pytest.raises(CannotConnect, match="Nobody listens there"):
            async with network.dial():
                pass
    assert seen == [Peer("unix", uid=1000)] * 2
    assert network.dialled == 2
