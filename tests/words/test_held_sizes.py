"""What a snapshot may be of, by lengths alone, and who pays for what was read of it."""

from __future__ import annotations

from struct import Struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.accountbounds import HELD_FREE, OWN_SERVICE_PART, ROUTE_PART, SERVICE_PART, SERVICES_PART, UNSENT_PART
from gatebus.bounds import (
    GROUP_NAME,
    GROUPS_JOINED,
    MAILBOX_BYTES,
    MAX_NAME,
    MAX_SERVICES,
    MAX_UNANSWERED,
    ORIGIN_STREAMS,
    OUTBOX_BYTES,
    PEER_STREAMS,
    PEER_WINDOW,
    STREAM_WINDOW_MOST,
)
from gatebus.faults import StateRefused
from gatebus.host.lives.heldsizes import Held, check_lengths_untrusted, check_services_untrusted
from gatebus.host.quotas import Amounts, QuotaBounds, Quotas
from gatebus.host.refusals import Refusal
from gatebus.route import Route
from gatebus.services.service_table import BUILTIN
from sandbox.limits import Limits
from sandbox.stopping import state_max

MIB = 1 << 20
LIMITS = Limits()
ADA = "key:ada"


def lengths(memory: int = 0, state: int = 0, **parts: int) -> list[tuple[str, int]]:
    return [("memory", memory), ("state", state), *parts.items()]


def of_services(**services: int) -> list[tuple[str, int]]:
    return [*lengths(), *((f"service:{name}", length) for name, length in services.items())]


def why(found: list[tuple[str, int]], limits: Limits = LIMITS) -> str:
    with pytest.raises(StateRefused) as refused:
        check_lengths_untrusted(found, limits)
    return refused.value.text


def test_the_most_that_services_of_ours_can_save_fits() -> None:
    calls = Struct("<IH").size + MAX_UNANSWERED * 4
    most = {
        "scope": 1 + 255 * 256,
        "origin": 4 + MAX_UNANSWERED * 4 + ORIGIN_STREAMS * 13,
        "random": 12 + MAX_UNANSWERED * 5,
        "peer": 8 + PEER_STREAMS * (9 + 2 * 256),
        "group": GROUPS_JOINED * (16 + 2 * (1 + GROUP_NAME) + 256),
        "peerindex/principal": 1,
        "identity": 0,
        "catalog": 0,
    }
    assert most.keys() == BUILTIN.keys(), "how much does the new one save?"
    assert max(most.values()) + calls <= SERVICE_PART
    assert calls <= ROUTE_PART
    check_lengths_untrusted(of_services(**{name: size + calls for name, size in most.items()}), LIMITS)


def test_what_is_kept_of_a_service_that_is_not_there_is_its_open_calls() -> None:
    route = Route("nowhere", 0, lambda _packet: None, lambda: 0)
    full = Struct("<IH").pack(0, MAX_UNANSWERED) + b"".join(Struct("<I").pack(each) for each in range(MAX_UNANSWERED))
    route.restore(full, None)
    assert len(route.save()) <= len(full) <= ROUTE_PART


def test_what_a_program_can_have_waiting_for_it_fits() -> None:
    windows = ORIGIN_STREAMS * STREAM_WINDOW_MOST + PEER_STREAMS * PEER_WINDOW
    assert windows + MAILBOX_BYTES + OUTBOX_BYTES <= UNSENT_PART
    check_lengths_untrusted(lengths(unsent=UNSENT_PART), LIMITS)


@given(st.builds(Limits, memory=st.sampled_from([65_536, 64 * MIB, 4096 * MIB]), files=st.integers(0, 1024 * MIB)))
def test_whatever_a_program_of_these_limits_can_leave_fits_and_a_byte_more_does_not(limits: Limits) -> None:
    check_lengths_untrusted(lengths(limits.memory, state_max(limits)), limits)
    assert why(lengths(limits.memory + 1), limits).endswith(f"has at most {limits.memory}.")
    assert why(lengths(0, state_max(limits) + 1), limits).endswith(f"has at most {state_max(limits)}.")


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (of_services(origin=SERVICE_PART + 1), "131073 bytes of services' state; a program of its limits has at most"),
        (of_services(mine=OWN_SERVICE_PART + 1), "4194305 bytes of services' state"),
        (of_services(a=OWN_SERVICE_PART, b=OWN_SERVICE_PART, c=OWN_SERVICE_PART, d=OWN_SERVICE_PART, e=1), "16777217"),
        (lengths(unsent=UNSENT_PART + 1), "41943041 bytes of input; "),
        (of_services(**{f"n{each}": 0 for each in range(MAX_SERVICES + 1)}), "is of 257 services; a program has at"),
    ],
)
def test_more_than_that_is_refused_and_the_text_says_how_much(found: list[tuple[str, int]], text: str) -> None:
    assert text in why(found)
    assert 4 * OWN_SERVICE_PART == SERVICES_PART


@pytest.mark.parametrize("length", [0, ROUTE_PART, ROUTE_PART + 1, 64 * MIB])
def test_a_file_has_of_a_service_that_is_not_here_its_open_calls_at_most(length: int) -> None:
    found = of_services(origin=66_000, nowhere=length)
    check_services_untrusted(found, {"origin", "nowhere"})
    if length <= ROUTE_PART:
        check_services_untrusted(found, BUILTIN)
        return
    with pytest.raises(StateRefused, match="has something of a service that this host does not have"):
        check_services_untrusted(found, BUILTIN)


def test_a_file_names_no_service_longer_than_a_program_can() -> None:
    check_services_untrusted(of_services(**{"n" * MAX_NAME: 0}), BUILTIN)
    with pytest.raises(StateRefused):
        check_services_untrusted(of_services(**{"n" * (MAX_NAME + 1): 0}), BUILTIN)


def test_what_is_read_is_counted_until_nobody_has_it() -> None:
    quotas = Quotas()
    held = Held(quotas, ADA, 8 * MIB)
    also = held
    assert quotas.used(ADA).memory == 8 * MIB - HELD_FREE
    del held
    assert quotas.used(ADA).memory == 8 * MIB - HELD_FREE
    del also
    assert quotas.accounts == 0


def test_an_instance_pays_for_what_is_its_own() -> None:
    quotas = Quotas()
    held = Held(quotas, ADA, 8 * MIB)
    held.cover(4 * MIB)
    assert quotas.used(ADA).memory == 4 * MIB - HELD_FREE
    held.cover(64 * MIB)
    assert quotas.used(ADA).memory == 0
    assert Held(quotas, ADA, 8 * MIB, covered=8 * MIB) is not None
    assert quotas.accounts == 0


def test_a_little_is_not_counted() -> None:
    quotas = Quotas(QuotaBounds(principal=Amounts(memory=0)))
    Held(quotas, ADA, HELD_FREE)
    with pytest.raises(Refusal) as refused:
        Held(quotas, ADA, HELD_FREE + 1)
    assert refused.value.code == "quota-memory"
    assert quotas.accounts == 0
