"""Every service of the table keeps the contract, and the contract notices who does not."""

from collections.abc import Callable

import pytest

from gatebus.checks import SimulatedClock, check_service
from gatebus.faults import StateRefused
from gatebus.services.base import Call, Outlet, Packet, Service
from gatebus.services.identity import Identities
from gatebus.services.scope import Scope
from gatebus.services.service_table import BUILTIN, World, offers


@pytest.mark.parametrize("name", sorted(BUILTIN))
@pytest.mark.parametrize("seed", range(3))
def test_the_services_of_the_table_keep_the_contract(name: str, seed: int) -> None:
    clock = SimulatedClock()

    def make(outlet: Outlet) -> Service:
        world = World(clock, lambda size: b"\x5a" * size, Identities("local", "uuid"), Scope(frozenset({"a"})))
        return offers(world, lambda: {"origin": "0"})[name].make(outlet)

    check_service(make, clock=clock, seed=seed)


class Forgetful(Service):
    """Numbers its answers, and forgets the number when it is saved."""

    number = 0

    def call(self, call: Call) -> None:
        self.number += 1
        self.outlet.reply(call.ticket, bytes([self.number % 256]))


class Greedy(Service):
    """Answers twice."""

    def call(self, call: Call) -> None:
        self.outlet.reply(call.ticket)
        self.outlet.reply(call.ticket)


class Fragile(Service):
    """Believes that every call has content."""

    def call(self, call: Call) -> None:
        self.outlet.reply(call.ticket, bytes([call.content[0]]))


class Credulous(Service):
    """Takes any state and cannot say it again."""

    def save(self) -> bytes:
        return self.state

    state = b""

    def restore(self, state: bytes) -> None:
        if self.state or state == b"odd":
            raise StateRefused("no")
        self.state = b"odd"


class Oversized(Service):
    def call(self, call: Call) -> None:
        self.outlet.reply(call.ticket, call.content + b"more")


class Eternal(Service):
    """Waits for ever."""

    def call(self, call: Call) -> None:
        pass

    def next_timeout(self) -> float | None:
        return 1e9


class Leaking(Service):
    """Raises what is nobody's business."""

    def packet(self, packet: Packet) -> None:
        raise OSError("/etc/secret")


@pytest.mark.parametrize("make", [Forgetful, Greedy, Fragile, Credulous, Oversized, Eternal, Leaking])
def test_a_service_that_breaks_its_promises_is_found_out(make: Callable[[Outlet], Service]) -> None:
    with pytest.raises(Exception) as caught:
        check_service(make, clock=SimulatedClock())
    assert type(caught.value).__name__ in {"AssertionError", "ServiceBroken", "StateRefused"}


def test_the_table_names_a_class_and_a_revision_for_each_service() -> None:
    names = ["catalog", "group", "identity", "origin", "peer", "peerindex/principal", "random", "scope"]
    assert sorted(BUILTIN) == names
    assert {name: line.revision for name, line in BUILTIN.items() if line.revision != "0"} == {"group": "1"}
    assert all(issubclass(line.service, Service) for line in BUILTIN.values())


def test_the_table_makes_what_it_names() -> None:
    world = World(SimulatedClock(), bytes)
    table = offers(world, dict)
    assert all(type(table[name].make(_NoOutlet())) is line.service for name, line in BUILTIN.items())


class _NoOutlet:
    room = 0

    def reply(self, ticket: int, content: bytes = b"") -> None: ...

    def info(self, content: bytes) -> None: ...

    def flow(self, *changes: object) -> None: ...

    def data(self, chunk: object) -> None: ...
