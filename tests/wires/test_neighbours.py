"""Several programs, each with its exchange, as in a host: one send for each receiver and batch; nobody stops others."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from struct import pack, unpack_from
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from gatebus import exchange as exchange_module
from gatebus.bounds import MAILBOX_BYTES, OUTBOX_BYTES
from gatebus.checks import FakeProgram
from gatebus.exchange import Exchange
from gatebus.faults import ServiceBroken
from gatebus.peers.neighbourhood import Neighbourhood
from gatebus.peers.shorttexts import texts
from gatebus.services.base import Call, Offer, Outlet, Service
from gatebus.services.identity import Identities
from gatebus.services.service_table import World, offers
from gatebus.switchboard import Switchboard
from gatebus.turn import Turn
from sandbox.outcome import Cause
from sandbox.packets import CALL, CODE_DISCOVERY, DATA, INFO, Packet, encode, encode_data, encode_flow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GROUP, PEER, INDEX = range(3)
NAMES = ("group", "peer", "peerindex/principal")


class Guest(FakeProgram):
    """A program that counts how often its host sends."""

    sends = 0

    def send_nowait(self, data: bytes) -> int:
        self.sends += 1
        return super().send_nowait(data)

    async def call(self, code: int, content: bytes) -> bytes:
        self.write(encode(code, CALL, content))
        while (packet := await self.read()).domain != CALL or packet.code != code:
            pass
        return packet.content

    async def join(self, *, watch: bool = False) -> None:
        reply = await self.call(GROUP, pack("<HH", 1, int(watch)) + texts(b"room", b"", b""))
        assert unpack_from("<h", reply) == (0,)

    def tell(self, *messages: bytes) -> None:
        self.write(*[encode(GROUP, INFO, pack("<HHI", 4, 0, 0) + message) for message in messages])

    async def heard(self) -> bytes:
        packet = await self.read()
        assert (packet.code, packet.domain) == (GROUP, INFO)
        return packet.content[8:]


@dataclass
class Street:
    """A host's worth of programs."""

    nursery: trio.Nursery
    turn: Turn = field(default_factory=Turn)
    neighbourhood: Neighbourhood = field(default_factory=Neighbourhood)
    exchanges: list[Exchange] = field(default_factory=list)

    async def start(self, name: str, buffer: int = 1 << 20) -> Guest:
        guest = Guest(buffer)
        resident = self.neighbourhood.admit("alice", name)
        world = World(trio.current_time, bytes, Identities("alice", name), resident=resident)
        board = Switchboard({})
        for service, offer in offers(world, board.entries).items():
            board.publish(service, offer)
        self.exchanges.append(Exchange(guest, board, self.turn))
        self.nursery.start_soon(self.exchanges[-1].run)
        guest.discover(*NAMES)
        assert (await guest.read()).code == CODE_DISCOVERY
        return guest


@asynccontextmanager
async def open_street() -> AsyncIterator[Street]:
    async with trio.open_nursery() as nursery:
        street = Street(nursery)
        yield street
        nursery.cancel_scope.cancel()
    assert [exchange.fault for exchange in street.exchanges if exchange.fault is not None] == []


async def connect(one: Guest, other: Guest, names: tuple[bytes, bytes]) -> None:
    """Stream 0 on both sides."""
    for guest in (one, other):
        guest.write(encode(PEER, INFO), encode(INDEX, INFO))
        await trio.testing.wait_all_tasks_blocked()
    for guest, name in ((one, names[1]), (other, names[0])):
        reply = await guest.call(PEER, pack("<II", 0, 0) + texts(b"index/principal", name, b""))
        assert reply == bytes(4)
    assert unpack_from("<i", (await one.read()).content) == (0,)
    assert unpack_from("<i", (await other.read()).content) == (0,)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is one turn however busy this machine is: after 2 ms of it others would have theirs."""
    monkeypatch.setattr("gatebus.exchange.SLICE_SECONDS", 60.0)


@pytest.mark.usefixtures("unhurried")
async def test_a_batch_of_messages_reaches_each_member_in_one_send() -> None:
    async with open_street() as street:
        speaker, *listeners = [await street.start(name) for name in ("speaker", "a", "b", "c")]
        for guest in (speaker, *listeners):
            await guest.join()
        before = [guest.sends for guest in listeners]
        speaker.tell(*[b"%d" % number for number in range(100)])
        await trio.testing.wait_all_tasks_blocked()
        assert [guest.sends for guest in listeners] == [count + 1 for count in before]
        for guest in listeners:
            assert [await guest.heard() for _ in range(100)] == [b"%d" % number for number in range(100)]


@pytest.mark.usefixtures("unhurried")
async def test_a_batch_on_a_stream_reaches_the_peer_in_one_send_and_so_does_its_credit() -> None:
    async with open_street() as street:
        one, other = await street.start("one"), await street.start("other")
        await connect(one, other, (b"one", b"other"))
        other.write(encode_flow(PEER, [(0, 1 << 20)]))
        await one.read()
        before, credit_before = other.sends, one.sends
        one.write(*[encode_data(PEER, 0, bytes([number]) * 100) for number in range(200)])
        await trio.testing.wait_all_tasks_blocked()
        assert (other.sends, one.sends) == (before + 1, credit_before + 1)
        for number in range(200):
            assert await other.read() == Packet(PEER, DATA, pack("<ii", 0, 0) + bytes([number]) * 100)


async def test_a_program_that_does_not_read_stops_nobody_and_its_host_keeps_little() -> None:
    async with open_street() as street:
        speaker, reader, deaf = [await street.start(name, 4096) for name in ("speaker", "reader", "deaf")]
        for guest in (speaker, reader, deaf):
            await guest.join()
        for number in range(300):
            speaker.tell(*[bytes(1000)] * 10)
            for _ in range(10):
                assert len(await reader.heard()) == 1000, number
        board = street.exchanges[2]._board
        waiting = board._routes[GROUP].service._mailbox._size  # type: ignore[union-attr]
        assert board._size + waiting <= OUTBOX_BYTES + MAILBOX_BYTES + 10 * 1024


async def test_a_program_that_ends_is_told_to_the_others_at_once() -> None:
    async with open_street() as street:
        watcher, mortal = await street.start("watcher"), await street.start("mortal")
        await watcher.join(watch=True)
        await mortal.join()
        await watcher.read()
        mortal.end()
        assert (await watcher.read()).content == pack("<HHI", 2, 0, 2) + pack("<HH", 1, 0)


async def test_a_long_batch_of_one_program_lets_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each packet takes a simulated millisecond; between two of its turns the other program is served."""
    now = iter(range(10_000_000))
    monkeypatch.setattr(exchange_module, "perf_counter", lambda: next(now) * 1e-3)
    served: list[str] = []

    class Noting(Service):
        def __init__(self, outlet: Outlet, name: str) -> None:
            super().__init__(outlet)
            self.name = name

        def call(self, call: Call) -> None:
            served.append(self.name)
            self.outlet.reply(call.ticket)

    async with trio.open_nursery() as nursery:
        guests = []
        for name in ("long", "short"):
            guest = FakeProgram()
            board = Switchboard({"note": Offer("1", lambda outlet, name=name: Noting(outlet, name))})
            nursery.start_soon(Exchange(guest, board).run)
            guest.discover("note")
            await guest.read()
            guests.append(guest)
        guests[0].write(*[encode(0, CALL)] * 200)
        guests[1].write(encode(0, CALL))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert served.index("short") < 20
    assert served.count("long") == 200


async def test_a_service_that_fails_when_another_program_wakes_it_ends_its_own_program_only() -> None:
    class Trigger(Service):
        def call(self, call: Call) -> None:
            victim_outlet[0].info(b"news")
            self.outlet.reply(call.ticket)

    class Fragile(Service):
        def __init__(self, outlet: Outlet) -> None:
            super().__init__(outlet)
            victim_outlet.append(outlet)

        def call(self, call: Call) -> None:
            self.outlet.reply(call.ticket, bytes(60_000))

        def room_again(self) -> None:
            raise ValueError("a bug")

    victim_outlet: list[Outlet] = []
    turn = Turn()
    async with trio.open_nursery() as nursery:
        culprit, victim = FakeProgram(), FakeProgram(buffer=1 << 20)
        boards = Switchboard({"x": Offer("1", Trigger)}), Switchboard({"x": Offer("1", Fragile)}, outbox=100)
        exchanges = [Exchange(guest, board, turn) for guest, board in zip((culprit, victim), boards, strict=True)]
        for guest, exchange in zip((culprit, victim), exchanges, strict=True):
            nursery.start_soon(exchange.run)
            guest.discover("x")
            await guest.read()
        victim.buffer = 0
        victim.write(encode(0, CALL))
        await trio.testing.wait_all_tasks_blocked()
        victim.buffer = 1 << 20
        culprit.write(encode(0, CALL))
        assert (await culprit.read()).domain == CALL
        victim._note()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert exchanges[0].fault is None
    assert isinstance(exchanges[1].fault, ServiceBroken)
    assert victim.killed is Cause.INTERNAL
