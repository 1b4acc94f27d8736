"""What a stopped program has left: parts and maps, there and back; forged ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.faults import StateRefused
from gatebus.host.lives.manners import Policy, Wake
from gatebus.host.lives.remains import (
    Leftover,
    SavedAs,
    described_untrusted,
    leftover_untrusted,
    limits_left,
    limits_map,
    usage_sum,
    usage_told,
    usage_untrusted,
)
from sandbox.limits import Limits
from sandbox.outcome import Usage
from sandbox.packets import encode_data
from sandbox.statewords import at_once
from sandbox.suspended import Suspended
from sandbox.testing import FakeMemory

STOPPED = Suspended("5a" * 32, b"state", FakeMemory(b""))
PACKET = encode_data(0, 0, b"for it")


def test_parts_come_back_in_their_order() -> None:
    left = Leftover(STOPPED, (("origin", b"o"), ("unknown", b""), ("unknown", b"u")), PACKET, b"streams", Usage(1.5))
    about = {"usage": usage_told(left.before)}
    again = at_once(leftover_untrusted(STOPPED, left.parts, about, SavedAs(b"i" * 32)))
    assert again == left
    assert again.saved.id == b"i" * 32


@pytest.mark.parametrize("unsent", [b"x", PACKET[:-1], PACKET + b"\0", b"\xff" * 16])
def test_what_is_no_packet_is_not_sent(unsent: bytes) -> None:
    with pytest.raises(StateRefused, match="is no packet"):
        at_once(leftover_untrusted(STOPPED, (("unsent", unsent),), {}, SavedAs()))


def test_millions_of_packets_are_looked_at_in_pieces() -> None:
    many = PACKET * 10_000
    work = leftover_untrusted(STOPPED, (("unsent", many),), {}, SavedAs())
    assert sum(1 for _ in work) >= len(many) >> 13


def test_a_part_that_is_there_twice_is_refused() -> None:
    with pytest.raises(StateRefused, match="is malformed"):
        at_once(leftover_untrusted(STOPPED, (("streams", b""), ("streams", b"")), {}, SavedAs()))


def test_what_describes_an_instance_comes_back() -> None:
    limits, policy = Limits(memory=1 << 20, wall_time=None), Policy(Wake.ANY, 5.0, 6.0, 7.0, 8)
    about = {"instance": b"i" * 16, "limits": limits_map(limits), "tags": ["a"], "policy": policy.told(), "open": True}
    found = described_untrusted({**about, "window": 1 << 16, "personality": "wasi", "files": True})
    assert (found.instance, found.limits, found.tags, found.policy) == (b"i" * 16, limits, ("a",), policy)
    assert (found.open, found.window, found.personality, found.files) == (True, 1 << 16, "wasi", True)


@pytest.mark.parametrize(
    "about",
    [
        {"instance": 1}, {"limits": {"memory": 1}}, {"limits": {"nonsense": 1}}, {"limits": []}, {"tags": [1]},
        {"tags": ["\0"]}, {"policy": {"wake": "x"}}, {"policy": 7}, {"open": 1}, {"window": "x"}, {"files": None},
        {"personality": b"wasi"},
    ],
)  # fmt: skip
def test_what_describes_no_instance_is_refused(about: dict[str, Any]) -> None:
    with pytest.raises(StateRefused, match="What the snapshot says of its instance is malformed"):
        described_untrusted(about)


@given(st.integers())
def test_a_window_is_one_that_a_host_gives(window: int) -> None:
    assert 16 << 10 <= described_untrusted({"window": window}).window <= 1 << 20


@given(st.dictionaries(st.sampled_from(list(usage_told(Usage()))), st.integers() | st.floats() | st.text() | st.none()))
def test_numbers_that_are_none_cost_nothing(told: dict[str, object]) -> None:
    usage = usage_untrusted(told)
    assert all(value >= 0 for value in usage_told(usage).values())  # type: ignore[operator]
    assert usage_untrusted(usage_told(usage)) == usage


def test_lives_add_up() -> None:
    both = usage_sum(Usage(1.0, 2.0, 30, 40, 5, 6, 7, 8, 9, 10.0), Usage(1.0, 1.0, 50, 20, 1, 1, 1, 1, 1, 1.0))
    assert both == Usage(2.0, 3.0, 50, 40, 6, 7, 8, 9, 10, 11.0)


def test_who_was_stopped_has_no_more_time_than_who_was_not() -> None:
    limits = Limits(cpu_time=10.0, wall_time=100.0)
    left = limits_left(limits, Usage(cpu_user=3.0, cpu_system=1.0, wall=60.0))
    assert left is not None
    assert (left.cpu_time, left.wall_time) == (6.0, 40.0)
    assert limits_left(limits, Usage(cpu_user=10.0)) is None
    assert limits_left(limits, Usage(wall=100.0)) is None
    without = limits_left(Limits(wall_time=None), Usage(wall=1e6))
    assert without is not None
    assert without.wall_time is None
