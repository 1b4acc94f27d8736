"""The neighbours of a program, for the contract of the services by which programs find each other (gatebus.checks).

In:  numbers of the test's dice. Out: what one neighbour does and has heard. To its peers a program that was stored was
gone: so each says what of that which the program is told means only its own stop.
"""

from __future__ import annotations

from struct import Struct, pack, unpack_from
from typing import TYPE_CHECKING

from companies import Home

from gatebus.flow import Change, Chunk
from gatebus.peers.gathering import Reason
from gatebus.peers.mailbox import Kind
from gatebus.peers.neighbourhood import INDEX, Neighbourhood, Resident
from gatebus.peers.shorttexts import texts, texts_untrusted
from gatebus.services.base import Call, Flow
from gatebus.services.identity import Identities
from gatebus.services.peer import Peer
from gatebus.services.service_table import World
from sandbox.packets import DATA, FLOW, INFO, PAIR, Packet

if TYPE_CHECKING:
    from gatebus.flow import Run
    from gatebus.peers.gathering import Member

_LETTER = Struct("<HHI")
JOINED_SIZE = 12  # the answer of a join has our number in it
US, FRIEND = b"us", b"friend"


class Neighbours(Home):
    """One neighbour, who is in every group that there is for it, and comes and goes."""

    def begin(self) -> None:
        self.around = Neighbourhood()
        self.neighbour: Resident | None = None
        super().begin()
        self.come()

    def made(self) -> World:
        around = self.__dict__.get("around") or Neighbourhood()
        return World(self.clock, bytes, Identities("local", "us"), resident=around.admit("local", "us"))

    def come(self) -> None:
        self.neighbour = self.around.admit("local", FRIEND.decode())

    def go(self) -> None:
        self.neighbour = None

    def happen(self, number: int) -> None:
        if self.neighbour is None:
            self.come()
        elif number < 40:
            self.go()
        else:
            self.act(self.neighbour, number)

    def act(self, neighbour: Resident, number: int) -> None:
        """It is there, and does something."""

    def ours(self, group: bytes) -> list[tuple[bytes, bytes]]:
        """Name and description of each who is there and is not the neighbour."""
        assert self.neighbour is None or self.neighbour.neighbours is self.world.resident.neighbours
        there = self.world.resident.neighbours.group(group)
        members = () if there is None else there.members.values()
        return [(each.name, each.about) for each in members if each.resident is not self.neighbour]


class Listed(Neighbours):
    """Of `peerindex/principal`: it registers, and is looked for."""

    def go(self) -> None:
        if self.neighbour is not None:
            self.neighbour.leave(INDEX, Reason.ENDED)
        super().go()

    def act(self, neighbour: Resident, number: int) -> None:
        neighbour.join(INDEX, FRIEND)

    def seen(self) -> object:
        return self.ours(INDEX)


class Ear:
    """What a neighbour hears in a group. Who comes and goes it hears at each stop of the program, too."""

    def __init__(self) -> None:
        self.said: list[tuple[bytes, bytes, bool]] = []

    def joined(self, me: Member, other: Member) -> None:
        pass

    def left(self, me: Member, other: Member, reason: Reason) -> None:
        pass

    def heard(self, me: Member, sender: Member, content: bytes, *, direct: bool) -> bool:
        self.said.append((sender.name, content, direct))
        return True


class Joined(Neighbours):
    """Of `group`: it hears the program, speaks to it, comes and goes. The numbers of members change with each stop."""

    def begin(self) -> None:
        self.ear = Ear()
        self.known: dict[int, dict[int, bytes]] = {}  # by the program: by handle, who has which number
        self.numbers: set[int] = set()  # that it was told it has
        super().begin()

    def come(self) -> None:
        super().come()
        assert self.neighbour is not None
        self.neighbour.join(b"room", FRIEND, self.ear, b"about")

    def go(self) -> None:
        if self.neighbour is not None:
            self.neighbour.leave(b"room", Reason.LEFT)
        super().go()

    def act(self, neighbour: Resident, number: int) -> None:
        me = neighbour.memberships[b"room"]
        us = me.group.named(b"me")
        if number % 2:
            me.group.tell(me, b"to all %d" % number, echo=False)
        elif us is not None:
            me.group.tell_one(me, us.number, b"to you %d" % number)

    def seen(self) -> object:
        known = {handle: sorted(at.values()) for handle, at in self.known.items() if at}
        mine = {each.number for each in self.world.resident.memberships.values()}
        return [*self.ear.said], self.ours(b"room"), self.ours(b"alone"), known, mine <= self.numbers

    def told(self, packet: Packet) -> Packet | None:
        if packet.domain == INFO:
            return self._noticed(packet)
        content = packet.content
        if len(content) == JOINED_SIZE:
            self.numbers.add(unpack_from("<I", content, 4)[0])
            return packet._replace(content=content[:4] + bytes(4) + content[8:])
        return packet._replace(content=repr(sorted(_names(content))).encode()) if len(content) > 4 else packet

    def _noticed(self, packet: Packet) -> Packet | None:
        kind, handle, number = _LETTER.unpack_from(packet.content)
        known, content = self.known.setdefault(handle, {}), packet.content[_LETTER.size :]
        match Kind(kind):
            case Kind.JOINED:
                known[number] = texts_untrusted(content, 0, 1)[0][0]
            case Kind.LEFT:
                del known[number]
            case Kind.ANEW:
                known.clear()
                self.numbers.add(number)
            case _:
                return packet._replace(content=pack("<HH", kind, handle) + content)
        return None


def _names(content: bytes) -> list[bytes]:
    found, at = [], 4
    for _ in range(unpack_from("<hH", content)[1]):
        (name,), at = texts_untrusted(content, at + 4, 1)
        found.append(name)
    return found


def joining(group: bytes, flags: int, name: bytes) -> bytes:
    return pack("<HH", 1, flags) + texts(group, name, b"who")


IN_GROUPS = (
    joining(b"room", 1, b"me"), joining(b"room", 1, b"me"), joining(b"alone", 2, b""), joining(b"room", 3, b"friend"),
    pack("<HH", 3, 0), pack("<HH", 3, 1), pack("<HH", 2, 1),
    pack("<HHI", 4, 0, 0) + b"hi", pack("<HHI", 4, 1, 0) + b"x",
)  # fmt: skip


class Friend:
    """A neighbour's service `peer`, and what it hears; an Outlet."""

    room = 1 << 20

    def __init__(self, resident: Resident) -> None:
        self.heard, self.credit = bytearray(), dict[int, int]()
        self._peer = Peer(self, resident)
        self._resident = resident
        resident.join(INDEX, FRIEND)

    def act(self, number: int) -> None:
        if not self.credit or number % 5 == 0:
            self._peer.packet(Call(0, asking(US)))
        stream = max(self.credit, default=-1)
        if number % 5 == 1 and self.credit.get(stream, 0):
            size = min(number, self.credit[stream])
            self.credit[stream] -= size
            self._peer.packet(Chunk(stream, 0, bytes([number]) * size))
        elif number % 5 == 2 and stream >= 0:
            self._peer.packet(Flow((Change(stream, number),)))

    def die(self) -> None:
        self._peer.close()
        self._resident.leave(INDEX, Reason.ENDED)

    def reply(self, ticket: int, content: bytes = b"") -> None:
        pass

    def info(self, content: bytes) -> None:
        (stream,) = unpack_from("<i", content)
        if stream >= 0:
            self.credit[stream] = 0

    def flow(self, *changes: Change) -> None:
        for stream, value in changes:
            if value:
                self.credit[stream] += value
            else:
                self.credit.pop(stream, None)

    def data(self, chunk: Chunk) -> None:
        self.heard += chunk.data

    def relay(self, run: Run, stream: int) -> None:
        for piece in run.pieces():
            self.heard += piece


class Connected(Neighbours):
    """Of `peer`: to the program its own stop is the end of everybody whom it was connected to, or waited for."""

    friend: Friend

    def begin(self) -> None:
        self.heard = bytearray()
        super().begin()
        self._before = self.world.resident
        self._before.join(INDEX, US)

    def come(self) -> None:
        super().come()
        assert self.neighbour is not None
        self.friend = Friend(self.neighbour)

    def go(self) -> None:
        self.friend.die()
        self.heard += self.friend.heard
        super().go()

    def act(self, neighbour: Resident, number: int) -> None:
        self.friend.act(number)

    def away(self) -> None:
        if self._before is not self.world.resident:
            self._before.leave(INDEX, Reason.ENDED)
            self.world.resident.join(INDEX, US)
            self._before = self.world.resident
        if self.neighbour is not None:
            self.go()
            self.come()

    def seen(self) -> object:
        return bytes(self.heard + self.friend.heard) if self.neighbour is not None else bytes(self.heard)


def asking(name: bytes) -> bytes:
    return pack("<II", 0, 0) + texts(INDEX, name, b"hi")


CONNECTS = (
    *[asking(FRIEND)] * 6,
    *[Packet(0, FLOW, PAIR.pack(stream, 300)) for stream in (0, 0, 1)],
    *[Packet(0, DATA, PAIR.pack(stream, 0) + b"some bytes") for stream in (0, 0, 1)],
    *[Packet(0, domain, PAIR.pack(0, 0)) for domain in (FLOW, DATA)] * 4,
)
