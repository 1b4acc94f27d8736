"""A cancellation before every single step of every wire, on simulated sockets: nothing stays open, no half frame is
followed by anything, and others go on."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
import trio
from stepwise import cancelled_at
from webparts import UPGRADE, echo, masked
from websockets.frames import Opcode

from gatebus.web.bytetransport import receive_some, send_all
from gatebus.web.crowd import Capacity, Crowd
from gatebus.web.dialling import Caller, shake_hands
from gatebus.web.front import Front, Reception
from gatebus.web.link import LinkClosed, Peer
from gatebus.web.memorytransport import MemoryTransport, Wires, memory_transports
from gatebus.web.pages import TEXT, Page
from gatebus.web.places import Address

if TYPE_CHECKING:
    from trio.testing import MockClock

    from gatebus.web.link import Link

BIG = bytes(17_000)
MESSAGES = (b"one", BIG, b"", b"three")


def messages_and_rest(stream: bytes) -> tuple[list[bytes], bytes]:
    """Of a server's frames: whole binary messages, and what is behind the last whole frame."""
    found: list[bytes] = []
    while len(stream) >= 2:
        size, start = stream[1], 2
        if size >= 126:
            wide = 2 if size == 126 else 8
            size, start = int.from_bytes(stream[2 : 2 + wide], "big"), 2 + wide
        if len(stream) < start + size:
            break
        assert stream[0] in (0x82, 0x88)
        if stream[0] == 0x82:
            found.append(stream[start : start + size])
        stream = stream[start + size :]
    return found, stream


class Connection:
    """A host's side under test, and a client's end that is driven from outside of what is cancelled."""

    def __init__(self) -> None:
        self.mine, self.theirs = memory_transports(Wires(piece=9000), Wires(capacity=12_000, piece=9000))
        self.crowd = Crowd(Capacity())
        self.seen = b""

    async def drive(self, said: bytes) -> None:
        """Until the host's side has ended the stream."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.listen)
                await send_all(self.mine, said)
        except* OSError:
            pass  # the host's side has ended

    async def listen(self) -> None:
        while data := await receive_some(self.mine):
            self.seen += data
            if self.seen.endswith(b"three") and self.seen.count(b"three") == 2:
                self.mine.send(masked(Opcode.CLOSE, b"\x03\xe8"))

    async def host_side(self, front: Front) -> None:
        seat = self.crowd.enter("", self.theirs.close)
        assert seat is not None
        try:
            await Reception(front).receive(self.theirs, Peer("memory"), seat, None)
        finally:
            seat.leave()


async def send_and_echo(link: Link) -> None:
    for message in MESSAGES:
        link.write(message)
        await link.room()
    await echo(link)


SAID = UPGRADE + b"".join(masked(Opcode.BINARY, message) for message in MESSAGES)


async def test_a_host_s_link_that_is_cancelled_at_every_step(autojump_clock: MockClock) -> None:
    for step in count(1):
        connection = Connection()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.drive, SAID)
            caught = await cancelled_at(step, lambda c=connection: c.host_side(Front(send_and_echo)))  # type: ignore[misc]
            assert connection.theirs.is_closed
            assert len(connection.crowd) == 0
        _, _, frames = connection.seen.partition(b"\r\n\r\n")
        found, _ = messages_and_rest(frames)  # what is behind the last whole frame is a beginning, and nothing follows
        expected = [*MESSAGES, *MESSAGES]
        assert found == expected[: len(found)]
        if not caught:
            assert found == expected
            break
    assert step > 20


async def test_a_page_that_is_cancelled_at_every_step(autojump_clock: MockClock) -> None:
    front = Front(echo, {"/": Page(TEXT, BIG)})
    for step in count(1):
        connection = Connection()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.drive, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            caught = await cancelled_at(step, lambda c=connection: c.host_side(front))  # type: ignore[misc]
            assert connection.theirs.is_closed
            assert len(connection.crowd) == 0
        if not caught:
            assert connection.seen.endswith(BIG)
            break
    assert step > 5


async def test_a_client_s_link_that_is_cancelled_at_every_step(autojump_clock: MockClock) -> None:
    async def life(end: MemoryTransport) -> None:
        try:
            link = await shake_hands(end, Address("ws", "x", 1), Caller())
            async with link:
                for message in MESSAGES:
                    link.write(message)
                    await link.room()
                found: list[bytes] = []
                while len(found) < len(MESSAGES):
                    found += await link.receive_many()
        finally:
            end.close()

    for step in count(1):
        heard: list[bytes] = []

        async def attend(link: Link, heard: list[bytes] = heard) -> None:
            while True:
                for message in await link.receive_many():
                    heard.append(message)
                    link.write(message)

        connection = Connection()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.host_side, Front(attend))
            caught = await cancelled_at(step, lambda c=connection: life(c.mine))  # type: ignore[misc]
            assert connection.mine.is_closed
        assert heard == list(MESSAGES[: len(heard)])
        if not caught:
            assert heard == list(MESSAGES)
            break
    assert step > 20


async def test_a_close_that_is_cancelled_still_closes(autojump_clock: MockClock) -> None:
    connection = Connection()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.drive, UPGRADE)

        async def leave(link: Link) -> None:
            with trio.CancelScope() as scope:
                scope.cancel()
                await link.aclose(1001, "at once")
            assert scope.cancelled_caught
            with pytest.raises(LinkClosed):
                await link.receive_many()

        await connection.host_side(Front(leave))
        assert connection.theirs.is_closed
    assert connection.seen.endswith(b"at once")
