"""Programs that are neighbours, without a sandbox: each a switchboard that a test speaks through, packet by packet."""

from __future__ import annotations

from struct import pack, unpack_from
from typing import TYPE_CHECKING

from gatebus.bounds import OUTBOX_BYTES
from gatebus.checks import arrived
from gatebus.discovery import request_content
from gatebus.peers.shorttexts import texts, texts_untrusted
from gatebus.services.identity import Identities
from gatebus.services.service_table import World, offers
from gatebus.switchboard import Switchboard
from sandbox.packets import CALL, CODE_DISCOVERY, DATA, FLOW, INFO, Packet, encode, encode_data, encode_flow

if TYPE_CHECKING:
    from gatebus.peers.neighbourhood import Neighbourhood

PEER, INDEX, GROUP = range(3)
NAMES = ("peer", "peerindex/principal", "group")
PRINCIPAL = b"index/principal"


class Guest:
    """A program. It reads when the test says so."""

    def __init__(
        self, neighbourhood: Neighbourhood, name: str, principal: str = "alice", outbox: int = OUTBOX_BYTES
    ) -> None:
        self.name = name.encode()
        self.world = World(
            lambda: 0.0, bytes, Identities(principal, name), resident=neighbourhood.admit(principal, name)
        )
        self.board = self._board(outbox)
        self.say(encode(CODE_DISCOVERY, CALL, request_content(NAMES)))
        self.read()

    def _board(self, outbox: int) -> Switchboard:
        board = Switchboard({}, outbox)
        for name, offer in offers(self.world, board.entries).items():
            board.publish(name, offer)
        return board

    def say(self, *packets: bytes) -> None:
        self.board.receive(b"".join(packets))
        while self.board.step():
            pass

    def read(self) -> list[Packet]:
        """Everything that is there, and what comes because there is room again."""
        found: list[Packet] = []
        while data := self.board.take():
            self.board.sent(len(data))
            packets, rest = arrived(data)
            assert not rest
            found += packets
        return found

    def call(self, code: int, content: bytes = b"") -> bytes:
        """The reply; it must be the next packet."""
        self.say(encode(code, CALL, content))
        reply, *self.others = self.read()
        assert (reply.code, reply.domain) == (code, CALL)
        return reply.content

    # peer and peerindex

    def register(self) -> Guest:
        self.say(encode(PEER, INFO), encode(INDEX, INFO))
        assert self.read() == []
        return self

    def listed(self) -> list[bytes]:
        reply = self.call(INDEX)
        error, count = unpack_from("<hH", reply)
        assert error == 0
        return list(texts_untrusted(reply, 4, count)[0])

    def connect(self, other: Guest | bytes, handshake: bytes = b"", group: bytes = PRINCIPAL) -> int:
        """The error of the reply; what came with it is in `others`."""
        name = other if isinstance(other, bytes) else other.name
        reply = self.call(PEER, pack("<II", 0, 0) + texts(group, name, handshake))
        error, zero = unpack_from("<hH", reply)
        assert (len(reply), zero) == (4, 0)
        return int(error)

    def grant(self, stream: int, *values: int) -> None:
        self.say(encode_flow(PEER, [(stream, value) for value in values]))

    def write(self, stream: int, *pieces: bytes, note: int = 0) -> None:
        self.say(*[encode_data(PEER, stream, piece, note) for piece in pieces])

    def end(self, stream: int, note: int = 0) -> None:
        self.write(stream, b"", note=note)

    # group

    def join(self, group: bytes, flags: int = 0, name: bytes = b"", about: bytes = b"") -> tuple[int, int, int, int]:
        """(error, handle, number, others)."""
        reply = self.call(GROUP, pack("<HH", 1, flags) + texts(group, name, about))
        error, handle, number, others = unpack_from("<hHII", reply)
        return error, handle, number, others

    def tell(self, content: bytes, number: int = 0, handle: int = 0) -> None:
        self.say(encode(GROUP, INFO, letter(content, number, handle)))

    def send(self, content: bytes, number: int = 0, handle: int = 0) -> tuple[int, int, int]:
        """(error, taken, dropped)."""
        error, _zero, taken, dropped = unpack_from("<hHII", self.call(GROUP, letter(content, number, handle)))
        return error, taken, dropped

    def heard(self) -> list[tuple[int, int, int, bytes]]:
        """(kind, handle, number, content) of all notices of the group."""
        packets = self.read()
        assert all((packet.code, packet.domain) == (GROUP, INFO) for packet in packets)
        return [(*unpack_from("<HHI", packet.content), packet.content[8:]) for packet in packets]

    # life

    def die(self) -> None:
        self.board.close()

    def saved_and_restored(self, neighbourhood: Neighbourhood, principal: str = "alice") -> list[Packet]:
        """What the program is told after it; the announcement of the services is left out."""
        saved = self.board.save()
        self.die()
        name = self.name.decode()
        self.world = World(
            lambda: 0.0, bytes, Identities(principal, name), resident=neighbourhood.admit(principal, name)
        )
        self.board = self._board(OUTBOX_BYTES)
        self.board.restore(saved)
        return [packet for packet in self.read() if packet.code != CODE_DISCOVERY]


def letter(content: bytes, number: int = 0, handle: int = 0) -> bytes:
    return pack("<HHI", 4, handle, number) + content


def notice(stream: int, other: Guest, handshake: bytes = b"", group: bytes = PRINCIPAL) -> Packet:
    """What `peer` tells a program: -1, somebody asks; otherwise the connection is up."""
    return Packet(PEER, INFO, pack("<iI", stream, 0) + texts(group, other.name, handshake))


def data(stream: int, content: bytes, note: int = 0) -> Packet:
    return Packet(PEER, DATA, pack("<ii", stream, note) + content)


def flow(stream: int, value: int) -> Packet:
    return Packet(PEER, FLOW, pack("<ii", stream, value))


def connected(neighbourhood: Neighbourhood) -> tuple[Guest, Guest]:
    """Two programs of one principal with a connection, number 0 on both sides."""
    one, other = Guest(neighbourhood, "one").register(), Guest(neighbourhood, "other").register()
    assert one.connect(other) == 0
    other.read()
    assert other.connect(one) == 0
    one.read()
    return one, other


def members(around: Neighbourhood, *names: str, flags: int = 0) -> list[Guest]:
    """Of one group, who have heard of each other."""
    guests = [Guest(around, name) for name in names]
    for guest in guests:
        assert guest.join(b"room", flags)[0] == 0
    for guest in guests:
        guest.read()
    return guests
