"""Our path and `websockets`' path read the same: any bytes, cut anywhere, cancelled anywhere."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from webparts import RawPeer, RawServer, masked, plain, without_masks
from websockets.frames import Opcode
from websockets.protocol import Protocol, Side, State

from gatebus.bounds import MESSAGE_BYTES
from gatebus.web.link import LinkClosed
from gatebus.web.memorytransport import Wires

if TYPE_CHECKING:
    from websockets.frames import Frame

SECONDS = os.environ.get("GATEBUS_FUZZ_SECONDS")  # make fuzz

SIZES = st.sampled_from((0, 1, 125, 126, 127, 5_000, 65_535, 65_536, MESSAGE_BYTES, MESSAGE_BYTES + 1, 70_000))
KINDS = st.sampled_from(
    (*[Opcode.BINARY] * 5, *[Opcode.CONT] * 2, Opcode.PING, Opcode.PONG, Opcode.CONT, Opcode.TEXT, Opcode.CLOSE)
)


@st.composite
def frames(draw: st.DrawFn, side: Side) -> bytes:
    """Mostly the usual frame; now and then another, or a broken one."""
    kind = draw(KINDS)
    size = draw(SIZES) if kind < 8 else draw(st.integers(0, 126))
    content = (
        bytes([size % 256]) * size
        if kind is not Opcode.CLOSE
        else draw(st.sampled_from((b"", b"\x03\xe8", b"\x03\xe8bye", b"\x03", b"\0\0")))
    )
    write = masked if side is Side.SERVER else plain
    frame = bytearray(write(kind, content, fin=draw(st.integers(0, 3)) > 0))
    if draw(st.integers(0, 7)) == 0:  # reserved bits, reserved opcodes, no mask, another length
        frame[draw(st.integers(0, min(9, len(frame) - 1)))] ^= 1 << draw(st.integers(0, 7))
    return bytes(frame)


class Lenient(Protocol):
    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        if frame.opcode is Opcode.TEXT and self.current_size is None and self.state is State.OPEN:
            self.fail(1003, "this protocol has no text messages")
            return
        super().recv_frame(frame)


@dataclass
class Reference:
    """What `websockets` makes of it, with the two rules that are ours: no text; a close may come between fragments."""

    side: Side
    messages: list[bytes] = field(default_factory=list)
    answers: bytes = b""
    partial: bytes | None = None

    def __post_init__(self) -> None:
        self.protocol = Lenient(self.side, max_size=MESSAGE_BYTES)

    def read(self, script: list[bytes]) -> None:
        for frame in script:
            self.protocol.receive_data(frame)
            for event in self.protocol.events_received():
                self.handle(event)  # type: ignore[arg-type]
        self.protocol.receive_eof()
        self.answers = b"".join(self.protocol.data_to_send())

    def handle(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.BINARY, Opcode.CONT):
            self.partial = (self.partial or b"") + frame.data
            if frame.fin:
                self.messages.append(bytes(self.partial))
                self.partial = None


@dataclass
class Ours:
    """A link that is fed pieces and cancelled now and then."""

    side: Side
    messages: list[bytes] = field(default_factory=list)
    answers: bytes = b""

    async def read(self, pieces: list[bytes], dice: random.Random) -> None:
        make = RawPeer if self.side is Side.SERVER else RawServer
        peer = make(Wires(capacity=1 << 30), Wires(capacity=1 << 30))
        async with peer.host, trio.open_nursery() as nursery:
            nursery.start_soon(self.feed, peer, pieces)
            while True:
                with trio.CancelScope() as scope:
                    if dice.random() < 0.3:
                        scope.cancel()
                    try:
                        self.messages += await peer.host.receive_many()
                    except LinkClosed:
                        break
                if scope.cancelled_caught:
                    await trio.lowlevel.checkpoint()
        self.answers = await peer.read_to_the_end()

    async def feed(self, peer: RawPeer, pieces: list[bytes]) -> None:
        for piece in pieces:
            try:
                peer.send(piece)
            except BrokenPipeError:
                return  # the link has ended before the last piece
            await trio.lowlevel.checkpoint()
        peer.end.finish()


def cut(data: bytes, dice: random.Random) -> list[bytes]:
    """Many small pieces, few large ones, or all at once."""
    typical = dice.choice((3, 100, 10_000, 100_000, 0))
    if not typical:
        return [data]
    pieces = []
    while data:
        size = dice.randint(1, typical) if len(data) < 2000 * typical else len(data) // 100
        pieces.append(data[:size])
        data = data[size:]
    return pieces


@settings(max_examples=int(SECONDS) * 30 if SECONDS else 200, deadline=None, derandomize=not SECONDS, database=None)
@given(st.sampled_from(Side), st.data(), st.integers(0, 1 << 32))
def test_both_paths_read_the_same(side: Side, data: st.DataObject, seed: int) -> None:
    script = data.draw(st.lists(frames(side), min_size=1, max_size=8))
    dice = random.Random(seed)
    reference, ours = Reference(side), Ours(side)
    reference.read(script)
    trio.run(ours.read, cut(b"".join(script), dice), dice)
    assert ours.messages == reference.messages
    if side is Side.SERVER:
        assert ours.answers == reference.answers
    else:
        assert without_masks(ours.answers) == without_masks(reference.answers)


@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_fragments_and_pings_between_messages_are_read_in_order(piece: int) -> None:
    script = [
        masked(Opcode.BINARY, b"one"),
        masked(Opcode.BINARY, b"two ", fin=False),
        masked(Opcode.PING, b"now"),
        masked(Opcode.CONT, b"halves"),
        masked(Opcode.BINARY, b"three"),
        masked(Opcode.CLOSE, b"\x03\xe8"),
    ]
    data = b"".join(script)
    ours = Ours(Side.SERVER)
    trio.run(ours.read, [data[at : at + piece] for at in range(0, len(data), piece)], random.Random(1))
    assert ours.messages == [b"one", b"two halves", b"three"]
    assert ours.answers == b"\x8a\x03now\x88\x02\x03\xe8"


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("size", [MESSAGE_BYTES, MESSAGE_BYTES + 1])
@pytest.mark.parametrize("at_once", [True, False])
def test_the_largest_message_is_read_and_a_larger_one_is_not(side: Side, size: int, at_once: bool) -> None:
    write = masked if side is Side.SERVER else plain
    data = write(Opcode.BINARY, b"first") + write(Opcode.BINARY, bytes(size))
    reference, ours = Reference(side), Ours(side)
    reference.read([data])
    trio.run(ours.read, [data] if at_once else [data[:9], data[9:30_000], data[30_000:]], random.Random(1))
    assert ours.messages == reference.messages == [b"first", *[bytes(size)] * (size == MESSAGE_BYTES)]
    said = without_masks(ours.answers) if side is Side.CLIENT else ours.answers
    assert said[2:4] == (b"" if size == MESSAGE_BYTES else b"\x03\xf1")  # 1009


@pytest.mark.parametrize("side", Side)
def test_a_beginning_that_can_only_be_wrong_is_answered_at_the_end_of_the_stream(side: Side) -> None:
    data = (b"\x83\x80" if side is Side.SERVER else b"\x83\x7e") + b"\0"  # a reserved opcode, its head not whole
    reference, ours = Reference(side), Ours(side)
    reference.read([data])
    trio.run(ours.read, [data], random.Random(1))
    bare = without_masks if side is Side.CLIENT else bytes
    assert bare(ours.answers) == bare(reference.answers)
    assert (bare(ours.answers)[2:4], ours.messages) == (b"\x03\xea", [])  # 1002
