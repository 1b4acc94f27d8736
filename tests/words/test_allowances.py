"""What a host fetches for each account in an hour: it runs out, comes back evenly, and is nobody else's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.host.allowances import Allowances
from gatebus.host.refusals import Refusal

HOUR = 3600.0


def test_at_first_everything_is_left_but_never_more_than_is_wanted() -> None:
    allowances = Allowances(1000)
    assert allowances.left("alice", 300, 0.0) == 300
    assert allowances.left("alice", 5000, 0.0) == 1000


def test_what_is_used_up_is_refused_with_the_number_and_what_to_do() -> None:
    allowances = Allowances(1000)
    allowances.spend("alice", 1000, 0.0)
    with pytest.raises(Refusal) as refused:
        allowances.left("alice", 1, 0.0)
    assert refused.value.code == "busy"
    assert refused.value.text == "This host has fetched its 1000 bytes an hour for you. Try again later, or upload it."
    assert allowances.left("bob", 1, 0.0) == 1


def test_it_comes_back_evenly_and_not_at_the_turn_of_an_hour() -> None:
    allowances = Allowances(1000)
    allowances.spend("alice", 1000, 0.0)
    assert allowances.left("alice", 5000, HOUR / 4) == 250
    allowances.spend("alice", 250, HOUR / 4)
    assert allowances.left("alice", 5000, HOUR / 2) == 250
    assert allowances.left("alice", 5000, 2 * HOUR) == 1000


def test_more_than_was_left_is_a_debt() -> None:
    allowances = Allowances(1000)
    allowances.spend("alice", 2000, 0.0)
    with pytest.raises(Refusal):
        allowances.left("alice", 1, HOUR)
    assert allowances.left("alice", 1000, 1.5 * HOUR) == 500


def test_whoever_has_used_nothing_for_an_hour_is_forgotten() -> None:
    allowances = Allowances(1000)
    for number in range(100):
        allowances.spend(f"key:{number}", 1000, 0.0)
    allowances.spend("late", 1, HOUR)
    assert list(allowances._used) == ["late"]
    allowances.spend("nothing", 0, HOUR)
    assert list(allowances._used) == ["late"]


@given(
    st.integers(1, 10**9),
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 10**9), st.floats(0, HOUR)), max_size=30),
)
def test_nobody_gets_more_than_the_hour_has_and_what_is_left_is_never_nothing(
    hourly: int, spent: list[tuple[str, int, float]]
) -> None:
    allowances, now, got = Allowances(hourly), 0.0, {"a": 0.0, "b": 0.0}
    for account, wanted, pause in spent:
        now += pause
        try:
            left = allowances.left(account, wanted + 1, now)
        except Refusal:
            continue
        assert 1 <= left <= min(hourly, wanted + 1)
        allowances.spend(account, left, now)
        got[account] += left
    for total in got.values():
        assert total <= hourly * (1 + now / HOUR) * (1 + 1e-9) + 1
