"""catalog, identity, random and scope: what each call is answered."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.bounds import CATALOG_BYTES
from gatebus.checks import SimulatedClock
from gatebus.faults import StateRefused, Violation
from gatebus.flow import Change, Chunk
from gatebus.services.base import Call, Flow, Info, Service
from gatebus.services.catalog import Catalog
from gatebus.services.identity import Identities, Identity
from gatebus.services.randomness import Random
from gatebus.services.scope import Scope, ScopeService, names_untrusted


class Answers:
    """An outlet that remembers (ticket, content)."""

    room = 1 << 16

    def __init__(self) -> None:
        self.replies: list[tuple[int, bytes]] = []

    def reply(self, ticket: int, content: bytes = b"") -> None:
        self.replies.append((ticket, content))

    def info(self, content: bytes) -> None:
        raise AssertionError("these services inform nobody")

    def flow(self, *changes: Change) -> None:
        raise AssertionError("these services have no streams")

    def data(self, chunk: Chunk) -> None:
        raise AssertionError("these services have no streams")


def answer(service: Service, content: bytes) -> bytes:
    outlet = service.outlet
    assert isinstance(outlet, Answers)
    service.packet(Call(len(outlet.replies), content))
    return outlet.replies[-1][1]


# catalog


def catalog(entries: Mapping[str, str]) -> Catalog:
    return Catalog(Answers(), lambda: entries)


def test_the_catalog_lists_services_sorted_and_indented_by_tabs() -> None:
    text = answer(catalog({"random": "0", "origin": "3"}), b"json")
    services = '\t"services": [\n\t\t{\n\t\t\t"name": "origin",\n\t\t\t"revision": "3"\n\t\t},'
    assert text.decode().startswith("{\n" + services)
    assert text.endswith(b"}\n")
    assert json.loads(text)["services"][1] == {"name": "random", "revision": "0"}


@pytest.mark.parametrize("content", [b"", b"JSON", b"json ", b"xml"])
def test_the_catalog_answers_nothing_to_anything_else(content: bytes) -> None:
    assert answer(catalog({"origin": "0"}), content) == b""


def test_the_catalog_is_asked_at_each_call() -> None:
    entries = {"origin": "0"}
    service = catalog(entries)
    answer(service, b"json")
    entries["late"] = "2"
    assert len(json.loads(answer(service, b"json"))["services"]) == 2


@given(st.integers(0, 5000), st.integers(1, 127))
def test_the_catalog_fits_a_packet_and_says_when_it_left_something_out(count: int, size: int) -> None:
    entries = {f"{number:0{size}}": "0" for number in range(count)}
    text = answer(catalog(entries), b"json")
    assert len(text) <= CATALOG_BYTES
    shown = json.loads(text)
    assert (len(shown["services"]) == count) == ("truncated" not in shown)
    assert [each["name"] for each in shown["services"]] == sorted(entries)[: len(shown["services"])]


# identity


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"\0", b"ed25519:abc"), (b"\1", b"123-456"), (b"\3", b""), (b"", b""), (b"\0rest", b"ed25519:abc")],
)
def test_identity_tells_principal_and_instance(content: bytes, expected: bytes) -> None:
    assert answer(Identity(Answers(), Identities("ed25519:abc", "123-456")), content) == expected


def test_identity_of_an_anonymous_sender_is_empty() -> None:
    assert answer(Identity(Answers(), Identities()), b"\0") == b""


def test_a_service_without_streams_says_so_and_ignores_information() -> None:
    service = Identity(Answers(), Identities())
    service.packet(Info(b"ignored"))
    for packet in (Flow((Change(0, 1),)), Chunk(0, 0, b"")):
        with pytest.raises(Violation) as caught:
            service.packet(packet)
        assert caught.value.text == "The program sent a flow or data packet to a service that has no streams."


def test_a_service_without_state_refuses_some() -> None:
    with pytest.raises(StateRefused):
        Identity(Answers(), Identities()).restore(b"?")


# random


def random_service() -> tuple[Random, Answers, SimulatedClock]:
    clock, outlet = SimulatedClock(), Answers()
    return Random(outlet, clock, lambda size: b"r" * size), outlet, clock


def advance(service: Random, clock: SimulatedClock, to: float) -> None:
    clock.now = to
    service.timeout(to)


def test_random_bytes_come_at_16_per_second() -> None:
    service, outlet, clock = random_service()
    service.packet(Call(7, b"\x10"))
    assert (outlet.replies, service.next_timeout()) == ([], 1.0)
    advance(service, clock, 0.999)
    assert outlet.replies == []
    advance(service, clock, 1.0)
    assert outlet.replies == [(7, b"r" * 16)]
    assert service.next_timeout() is None


def test_calls_wait_in_order_and_each_gets_its_own_answer() -> None:
    service, outlet, clock = random_service()
    for ticket, wanted in enumerate((32, 16, 0, 1)):
        service.packet(Call(ticket, bytes([wanted])))
    while (due := service.next_timeout()) is not None:
        advance(service, clock, due)
    assert [(ticket, len(content)) for ticket, content in outlet.replies] == [(0, 32), (1, 16), (2, 0), (3, 1)]
    assert clock.now == pytest.approx((32 + 16 + 1) / 16)


def test_a_rested_allowance_pays_at_once_but_only_one_answer() -> None:
    service, outlet, clock = random_service()
    clock.now = 1000.0
    service.packet(Call(0, b"\xff"))
    service.packet(Call(1, b"\xff"))
    assert [ticket for ticket, _ in outlet.replies] == [0]
    assert service.next_timeout() == pytest.approx(1000 + 255 / 16)


@pytest.mark.parametrize("content", [b"", b"\0"])
def test_no_bytes_wanted_none_given(content: bytes) -> None:
    assert answer(random_service()[0], content) == b""


def test_waiting_calls_are_saved_without_a_single_random_byte() -> None:
    service, _, clock = random_service()
    service.packet(Call(5, b"\x20"))
    clock.now = 0.5
    state = service.save()
    assert b"r" not in state
    again, outlet, clock = random_service()
    clock.now = 100.0
    again.restore(state)
    assert again.next_timeout() == pytest.approx(100 + 1.5)
    advance(again, clock, 101.5)
    assert outlet.replies == [(5, b"r" * 32)]


@given(st.binary(max_size=40))
def test_foreign_state_of_random_is_refused_or_understood(state: bytes) -> None:
    service = random_service()[0]
    try:
        service.restore(state)
    except StateRefused as fault:
        assert fault.text == "The saved state of the service random is malformed."  # noqa: PT017
    else:
        assert len(service.save()) == len(state)


# scope


def restrict(*names: bytes) -> bytes:
    return bytes([0, len(names)]) + b"".join(bytes([len(name)]) + name for name in names)


def test_a_scope_only_shrinks() -> None:
    scope = Scope(frozenset({"a", "b"}))
    service = ScopeService(Answers(), scope)
    assert answer(service, restrict(b"b", b"c")) == b"\0\0"
    assert "b" in scope
    assert "a" not in scope
    assert answer(service, restrict(b"a", b"b", b"c")) == b"\0\0"
    assert scope.granted == {"b"}


@pytest.mark.parametrize("content", [b"", b"\1", b"\1\1\1a"])
def test_scope_answers_nothing_to_other_calls(content: bytes) -> None:
    assert answer(ScopeService(Answers(), Scope()), content) == b""


@pytest.mark.parametrize("name", [b"a", b"program:system", b"A-Z.0/9:x_y,z", b"x" * 255])
def test_scopes_that_gate_accepts(name: bytes) -> None:
    assert names_untrusted(restrict(name)[1:]) == {name.decode()}


@pytest.mark.parametrize("name", [b"", b":a", b"a:", b"a::b", b"a b", b"\xff", b"a\n", b"\na"])
def test_a_scope_that_is_none_ends_the_program(name: bytes) -> None:
    with pytest.raises(Violation) as caught:
        answer(ScopeService(Answers(), Scope()), restrict(name))
    assert caught.value.text == "A scope is cut off or not 1 to 255 characters of A-Z a-z 0-9 - . / : _ and comma."


@pytest.mark.parametrize("content", [b"\0", b"\0\1", b"\0\2\1a", b"\0\1\5abc"])
def test_a_scope_list_that_is_cut_off_ends_the_program(content: bytes) -> None:
    with pytest.raises(Violation):
        answer(ScopeService(Answers(), Scope()), content)


def test_a_restricted_scope_is_saved_and_stays_restricted() -> None:
    scope = Scope(frozenset({"a", "b"}))
    service = ScopeService(Answers(), scope)
    assert service.save() == b""
    answer(service, restrict(b"a"))
    fresh = Scope(frozenset({"a", "b"}))
    ScopeService(Answers(), fresh).restore(service.save())
    assert fresh.granted == {"a"}
    assert fresh.restricted


def test_a_scope_restricted_to_nothing_is_saved_too() -> None:
    service = ScopeService(Answers(), Scope(frozenset({"a"})))
    answer(service, restrict())
    fresh = Scope(frozenset({"a"}))
    ScopeService(Answers(), fresh).restore(service.save())
    assert fresh.granted == frozenset()


def test_identity_tells_how_its_program_came_to_run() -> None:
    told = answer(Identity(Answers(), Identities("local", "uuid", 3, 1)), b"\2")
    assert told == b"\3\0\0\0\1\0\0\0uuid"
