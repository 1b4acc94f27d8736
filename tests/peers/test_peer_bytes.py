"""Two programs that write, read, close and stall in any order: no byte is lost or doubled, none beyond its credit, and
the host keeps a bounded number of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from peerworld import PEER, Guest, connected

from gatebus.bounds import OUTBOX_BYTES, PEER_WINDOW
from gatebus.peers.neighbourhood import Neighbourhood
from sandbox.packets import DATA, FLOW, INFO, PAIR, encode_data

STEPS = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from(["write", "write", "small", "read", "grant", "end", "close"]),
        st.integers(1, 30_000),
    ),
    max_size=80,
)


@dataclass
class Side:
    """One program and the books that it keeps of stream 0."""

    guest: Guest
    may_send: int = 0
    asked: int = 0
    sent: bytearray = field(default_factory=bytearray)
    got: bytearray = field(default_factory=bytearray)
    ended: bool = False
    closed: bool = False
    heard_end: bool = False
    heard_close: bool = False
    up: bool = True

    def do(self, what: str, size: int) -> None:
        if what == "read":
            self.read()
        elif self.over():
            return
        elif what in ("write", "small") and not self.ended:
            self.write(min(size, self.may_send), 1 if what == "small" else 10_000)
        elif what == "grant" and not self.closed:
            self.guest.grant(0, size)
            self.asked += size
        elif what == "end" and not self.ended:
            self.ended = True
            self.guest.end(0)
        elif what == "close" and not self.closed:
            self.closed = True
            self.guest.grant(0, 0)

    def over(self) -> bool:
        return self.ended and self.closed and self.heard_end and self.heard_close

    def write(self, size: int, piece: int) -> None:
        start = len(self.sent)
        data = bytes((start + at) % 251 for at in range(min(size, 300 * piece)))
        self.may_send -= len(data)
        self.sent += data
        self.guest.say(*[encode_data(PEER, 0, data[at : at + piece]) for at in range(0, len(data), piece)])

    def read(self) -> None:
        for packet in self.guest.read():
            assert packet.code == PEER
            assert packet.domain != INFO
            stream, value = PAIR.unpack_from(packet.content)
            assert stream == 0
            if packet.domain == FLOW:
                assert not self.heard_close
                self.heard_close |= value == 0
                self.may_send += value
            else:
                assert packet.domain == DATA
                assert not self.heard_end
                self.heard_end |= len(packet.content) == PAIR.size
                self.got += packet.content[PAIR.size :]


@settings(max_examples=80, deadline=None)
@given(STEPS, st.sampled_from([50, 5000, OUTBOX_BYTES]))
def test_no_byte_is_lost_doubled_or_beyond_its_credit(steps: list[tuple[bool, str, int]], outbox: int) -> None:
    sides = [Side(guest) for guest in connected(Neighbourhood())]
    for side in sides:
        side.guest.read()
        side.guest.board._outbox = outbox
    for which, what, size in steps:
        sides[which].do(what, size)
        for side in sides:
            assert side.guest.board._size <= max(outbox, 1) + 2 * PEER_WINDOW + 300 * 24
    for _ in range(4):
        for side in sides:
            side.read()
    for side, other in (sides, reversed(sides)):
        assert bytes(other.got) == bytes(side.sent[: len(other.got)])
        assert len(other.got) <= other.asked
        assert len(side.sent) + side.may_send <= other.asked
        assert side.heard_end == other.ended
        assert side.heard_close == other.closed
        if not other.closed:
            assert len(other.got) == len(side.sent)


@settings(max_examples=50, deadline=None)
@given(STEPS, st.integers(0, 80), st.sampled_from([50, OUTBOX_BYTES]))
def test_a_death_at_any_moment_is_told_once_and_takes_nothing_away(
    steps: list[tuple[bool, str, int]], moment: int, outbox: int
) -> None:
    mortal, survivor = (Side(guest) for guest in connected(Neighbourhood()))
    for side in (mortal, survivor):
        side.guest.read()
        side.guest.board._outbox = outbox
    for number, (which, what, size) in enumerate(steps):
        if number == moment:
            break
        (survivor if which else mortal).do(what, size)
    mortal.guest.die()
    for _ in range(3):
        survivor.read()
    assert survivor.heard_end
    assert survivor.heard_close
    if not survivor.closed:
        assert survivor.got == mortal.sent
    survivor.do("write", 100)
    survivor.do("end", 1)
    survivor.do("close", 1)
    survivor.read()
    assert survivor.over()
