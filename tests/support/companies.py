"""Who has to do with each service of the table, for the contract of services (gatebus.checks).

In:  numbers of the test's dice. Out: a World for the program's services, what others do, what they have seen. A client
is one that keeps what it hears; neighbours are in peercompanies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gatebus.company import Company
from gatebus.services.identity import Identities
from gatebus.services.origin import Door, Windows
from gatebus.services.scope import Scope
from gatebus.services.service_table import World
from sandbox.packets import CALL, DATA, FLOW, PAIR, Packet

if TYPE_CHECKING:
    from gatebus.checks import SimulatedClock
    from gatebus.services.origin import Client, Stream

WINDOW = 400


class Home(Company):
    """Of a service that others do not notice. `world`: of the program's present process."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.world = self.made()

    def made(self) -> World:
        return World(self.clock, lambda size: b"\x5a" * size, Identities("local", "us"))

    def begin(self) -> None:
        self.world = self.made()

    def stop(self) -> None:
        self.world = self.made()


class Rights(Home):
    """What services that guard something see of a program's scope."""

    def made(self) -> World:
        return World(self.clock, bytes, Identities("local", "us"), Scope(frozenset({"a", "b"})))

    def seen(self) -> object:
        return sorted(self.world.scope.granted), self.world.scope.restricted


# origin


@dataclass
class Visitor:
    """A client, and what it has heard."""

    stream: Stream | None = None
    heard: bytearray = field(default_factory=bytearray)
    held: int = 0
    ends: list[object] = field(default_factory=list)

    def opened(self, stream: Stream) -> None:
        self.stream = stream

    def ready(self) -> None:
        pass

    def data(self, data: bytes | memoryview) -> None:
        self.heard += data
        self.held += len(data)

    def ended(self, note: int) -> None:
        self.ends.append(note)

    def lost(self) -> None:
        self.ends.append("lost")

    def returned(self, stream: Stream) -> None:
        """To the program's next process, as BusStream.returns has it."""
        self.stream = stream
        stream.hold(self.held)

    def does(self, number: int) -> None:
        if self.stream is None:
            return
        match number % 4:
            case 0 if self.stream.room:
                self.stream.feed(bytes([number]) * min(self.stream.room, number))
            case 1:
                self.stream.end()
            case 2:
                used, self.held = self.held - self.held // 2, self.held // 2
                self.stream.consumed(used)
            case 3 if number < 16:
                self.stream.stop()


class Clients(Home):
    """They come, wait, are accepted, speak, and stay while the program is stored."""

    def begin(self) -> None:
        self.door, self.visitors = Door(places=2), list[Visitor]()
        self.door.on_return = _returned
        super().begin()
        self.away()

    def made(self) -> World:
        door = self.__dict__.get("door") or Door()
        return World(self.clock, bytes, Identities("local", "us"), door=door, windows=Windows(2, WINDOW))

    def happen(self, number: int) -> None:
        if number % 5 == 0:
            self.away()
        else:
            self.visitors[number % len(self.visitors)].does(number // 5)

    def away(self) -> None:
        """Another one comes; also while the program is stored."""
        visitor = Visitor()
        if self.door.connect(visitor):
            self.visitors.append(visitor)

    def stop(self) -> None:
        self.door.stay()
        super().stop()

    def go_on(self) -> None:
        self.door.resolve()

    def seen(self) -> object:
        return [(bytes(each.heard), each.held, tuple(each.ends), each.stream is None) for each in self.visitors]


def _returned(client: Client, stream: Stream) -> None:
    assert isinstance(client, Visitor)
    client.returned(stream)


SPEAKS = tuple(
    Packet(0, domain, content)
    for domain, content in (
        (CALL, b""), (CALL, b""), (FLOW, PAIR.pack(0, 100)), (FLOW, PAIR.pack(1, 50)), (FLOW, PAIR.pack(0, 0)),
        (DATA, PAIR.pack(0, 0) + b"some" * 60), (DATA, PAIR.pack(1, 0) + b"words"), (DATA, PAIR.pack(0, 7)),
    )
)  # fmt: skip
