"""Every service of the table keeps the contract, and the contract notices who does not."""

import re
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from struct import error as struct_error

import pytest
from companies import SPEAKS, Clients, Home, Rights
from peercompanies import CONNECTS, IN_GROUPS, Connected, Joined, Listed

from gatebus.checks import SimulatedClock, check_service
from gatebus.faults import StateRefused
from gatebus.services.base import Call, Outlet, Service
from gatebus.services.base import Packet as Given
from gatebus.services.service_table import BUILTIN, World, offers
from sandbox.packets import INFO, Packet

COMPANY: dict[str, type[Home]] = {
    "group": Joined,
    "origin": Clients,
    "peer": Connected,
    "peerindex/principal": Listed,
    "scope": Rights,
}
ROUNDS = {"group": 20, "origin": 60, "peer": 60}
MEANT: dict[str, tuple[bytes | Packet, ...]] = {  # what a program of good will asks
    "catalog": (b"", b"json"),
    "group": IN_GROUPS,
    "identity": (b"\x00", b"\x01", b"\x02", b"\x00", b"\x09"),
    "origin": SPEAKS,
    "peer": CONNECTS,
    "peerindex/principal": (b"", Packet(0, INFO, b"")),
    "random": (b"", b"\x01", b"\x05", b"\xff"),
    "scope": (b"", b"\x00", b"\x00\x01\x01a"),
}


@pytest.mark.parametrize("name", sorted(BUILTIN))
@pytest.mark.parametrize("seed", range(3))
def test_the_services_of_the_table_keep_the_contract(name: str, seed: int) -> None:
    clock = SimulatedClock()
    home = COMPANY.get(name, Home)(clock)

    def make(outlet: Outlet) -> Service:
        return offers(home.world, lambda: {"origin": "0"})[name].make(outlet)

    check_service(make, clock=clock, seed=seed, rounds=ROUNDS.get(name, 10), contents=MEANT[name], company=home)


class Forgetful(Service):
    """Numbers its answers, and forgets the number when it is saved."""

    number = 0

    def call(self, call: Call) -> None:
        self.number += 1
        self.outlet.reply(call.ticket, bytes([self.number % 256]))


class Once(Service):
    """Of two fields it saves both, and restores one."""

    state = Struct("<II")

    def __init__(self, outlet: Outlet) -> None:
        super().__init__(outlet)
        self.calls = self.empty = 0

    def call(self, call: Call) -> None:
        self.calls, self.empty = self.calls + 1, self.empty + (call.content == b"empty")
        self.outlet.reply(call.ticket, self.state.pack(self.calls, self.empty))

    def save(self) -> bytes:
        return self.state.pack(self.calls, self.empty)

    def restore(self, state: bytes) -> None:
        if len(state) != self.state.size:
            raise StateRefused("no")
        self.calls, _ = self.state.unpack(state)


class Twice(Once):
    """What it was restored with it knows, and does not save again."""

    def __init__(self, outlet: Outlet) -> None:
        super().__init__(outlet)
        self.before = 0

    def call(self, call: Call) -> None:
        self.calls += 1
        self.outlet.reply(call.ticket, self.state.pack(self.calls + self.before, 0))

    def restore(self, state: bytes) -> None:
        super().restore(state)
        self.before, self.calls = self.calls, 0


class Late(Service):
    """Answers after ten seconds, in the order of the calls. `since`: what it saves of a call's time."""

    state = Struct("<Id")
    since = staticmethod(lambda then, now: now - then)

    def __init__(self, outlet: Outlet, clock: SimulatedClock) -> None:
        super().__init__(outlet)
        self.clock = clock
        self.calls: list[tuple[int, float]] = []

    def call(self, call: Call) -> None:
        self.calls.append((call.ticket, self.clock()))

    def next_timeout(self) -> float | None:
        return self.calls[0][1] + 10 if self.calls else None

    def timeout(self, now: float) -> None:
        while self.calls and self.calls[0][1] + 10 <= now:
            self.outlet.reply(self.calls.pop(0)[0])

    def save(self) -> bytes:
        return b"".join(self.state.pack(ticket, self.since(then, self.clock())) for ticket, then in self.calls)

    def restore(self, state: bytes) -> None:
        if len(state) % self.state.size:
            raise StateRefused("no")
        self.calls = [(ticket, self.clock() - since) for ticket, since in self.state.iter_unpack(state)]
        if any(not self.clock() - 10 <= then <= self.clock() for _, then in self.calls):
            raise StateRefused("no")


class Newcomer(Late):
    """Forgets how long a call has waited."""

    since = staticmethod(lambda then, now: 0.0)


class Homesick(Late):
    """Believes that all clocks show the same."""

    def save(self) -> bytes:
        return b"".join(self.state.pack(*each) for each in self.calls)

    def restore(self, state: bytes) -> None:
        if len(state) % self.state.size:
            raise StateRefused("no")
        self.calls = list(self.state.iter_unpack(state))
        if any(not 0 <= then <= self.clock() for _, then in self.calls):
            raise StateRefused("no")


def test_a_service_that_keeps_its_time_keeps_the_contract() -> None:
    clock = SimulatedClock()
    check_service(lambda outlet: Late(outlet, clock), clock=clock)


@pytest.mark.parametrize("service", [Newcomer, Homesick])
def test_a_service_that_forgets_the_time_is_found_out(service: type[Late]) -> None:
    clock = SimulatedClock()
    with pytest.raises(AssertionError) as caught:
        check_service(lambda outlet: service(outlet, clock), clock=clock)
    assert re.fullmatch(r"saved after packets \[[\d, ]+\], it answers otherwise", str(caught.value).splitlines()[0])


def test_a_forgotten_field_is_found_out_by_the_calls_that_use_it() -> None:
    check_service(Once)  # nothing that was said by chance has used it
    with pytest.raises(AssertionError, match="it answers otherwise"):
        check_service(Once, contents=(b"empty", b""))


def test_the_service_of_the_guide_keeps_the_contract_as_it_stands_there() -> None:
    """docs/services.md: what somebody else writes first."""
    page = (Path(__file__).parents[2] / "docs" / "services.md").read_text()
    (lines,) = re.findall(r"```python\n(from gatebus.checks .*?)```", page, re.DOTALL)
    there: dict[str, object] = {}
    exec(compile(lines, "services.md", "exec"), there)
    assert isinstance(there["Upper"], type)


class Cautious(Late):
    """Has nothing for a copy, as every service that does not say otherwise."""


class Open(Late):
    def for_copy(self, state: bytes) -> bytes:
        return state


class Half(Late):
    """Of the calls that wait, a copy has the first."""

    def for_copy(self, state: bytes) -> bytes:
        return state[: self.state.size]


class Trusting(Late):
    """Believes that nobody else has written what it has for a copy."""

    def for_copy(self, state: bytes) -> bytes:
        return b"".join(self.state.pack(*each) for each in self.state.iter_unpack(state))


@pytest.mark.parametrize("service", [Cautious, Open])
def test_a_service_may_have_nothing_for_a_copy_or_everything(service: type[Late]) -> None:
    clock = SimulatedClock()
    check_service(lambda outlet: service(outlet, clock), clock=clock)


def test_a_copy_whose_calls_are_forgotten_is_found_out() -> None:
    clock = SimulatedClock()
    with pytest.raises(AssertionError, match=r"in a copy made after packet \d+ the calls \[.*\] are never answered"):
        check_service(lambda outlet: Half(outlet, clock), clock=clock)


def test_a_service_that_believes_what_is_there_for_a_copy_is_found_out() -> None:
    clock = SimulatedClock()
    with pytest.raises(struct_error):
        check_service(lambda outlet: Trusting(outlet, clock), clock=clock)


def test_all_that_the_services_of_the_table_keep_is_for_copies_too() -> None:
    """None of it is a handle; what a copy may not have is not saved."""
    table = offers(World(SimulatedClock(), bytes), dict)
    with_state = {name for name, line in BUILTIN.items() if line.service.save is not Service.save}
    assert with_state == {"group", "origin", "peer", "peerindex/principal", "random", "scope"}
    assert {name for name in table if table[name].make(_NoOutlet()).for_copy(b"kept")} == with_state


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

    def packet(self, packet: Given) -> None:
        raise OSError("/etc/secret")


@pytest.mark.parametrize("make", [Forgetful, Twice, Greedy, Fragile, Credulous, Oversized, Eternal, Leaking])
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
