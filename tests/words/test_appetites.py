"""gatebus.host.appetites: who takes more than the others; never whoever is alone or does as the others do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gatebus.accountbounds import APPETITE_SECONDS, CONTEST_SECONDS, GREEDY_USE, START_COST_SECONDS
from gatebus.host.appetites import Appetites

SECOND = 1.0


def calls(appetites: Appetites, account: str, until: float, *, cost: float, rate: int) -> None:
    """In the second before `until`, at an even pace."""
    for number in range(rate):
        now = until - SECOND + number / rate
        appetites.began(account, now)
        appetites.spent(account, cost - START_COST_SECONDS, now)


def second(appetites: Appetites, until: float, **uses: float) -> None:
    """Each account uses so much of one processor for a second, 100 programs each."""
    for account, use in uses.items():
        calls(appetites, account, until, cost=use / 100, rate=100)


def test_whoever_is_alone_is_never_greedy() -> None:
    appetites = Appetites()
    for until in range(1, 10):
        second(appetites, until, alice=2.0)
    assert not appetites.is_greedy("alice", 9.0)


def test_who_takes_all_is_greedy_as_soon_as_somebody_else_wants_anything() -> None:
    appetites = Appetites()
    second(appetites, 1, alice=1.5)
    appetites.began("bob", 1.0)
    assert appetites.is_greedy("alice", 1.0)
    assert not appetites.is_greedy("bob", 1.0)


def test_of_two_that_do_the_same_neither_is() -> None:
    appetites = Appetites()
    for until in range(1, 5):
        second(appetites, until, alice=0.9, bob=0.9)
    assert not appetites.is_greedy("alice", 4.0)
    assert not appetites.is_greedy("bob", 4.0)


def test_who_uses_little_is_not_however_little_the_others_use() -> None:
    appetites = Appetites()
    for until in range(1, 10):
        second(appetites, until, alice=GREEDY_USE * 0.9, bob=0.01)
    assert not appetites.is_greedy("alice", 9.0)


def test_it_stays_so_until_it_uses_less_than_the_others() -> None:
    appetites = Appetites()
    second(appetites, 1, alice=1.5, bob=0.3)
    assert appetites.is_greedy("alice", 1.0)
    for until in range(2, 8):
        second(appetites, until, alice=0.4, bob=0.3)
    assert appetites.is_greedy("alice", 7.0), "what it uses now would not have made it greedy"
    for until in range(8, 14):
        second(appetites, until, alice=0.2, bob=0.3)
    assert not appetites.is_greedy("alice", 13.0)


def test_many_short_starts_count_by_what_the_host_does_for_each() -> None:
    appetites = Appetites()
    for number in range(1_000):
        appetites.began("alice", number / 1_000)
        appetites.spent("alice", 0.0, number / 1_000)
    appetites.began("bob", 1.0)
    assert 1_000 * START_COST_SECONDS > GREEDY_USE * APPETITE_SECONDS * 0.9
    assert not appetites.is_greedy("alice", 1.0), "half a second's worth is at the edge"
    second(appetites, 2, alice=1.0)
    assert appetites.is_greedy("alice", 2.0)


def test_others_count_as_long_as_they_have_begun_something_lately() -> None:
    appetites = Appetites()
    appetites.began("bob", 0.0)
    second(appetites, CONTEST_SECONDS - 1, alice=1.5)
    assert appetites.is_greedy("alice", CONTEST_SECONDS - 1)
    second(appetites, CONTEST_SECONDS + 2, alice=1.5)
    assert not appetites.is_greedy("alice", CONTEST_SECONDS + 2)


def test_nobody_is_asked_about_who_never_began() -> None:
    appetites = Appetites()
    appetites.spent("ghost", 5.0, 0.0)
    appetites.began("bob", 0.0)
    assert not appetites.is_greedy("ghost", 0.0)


STEPS = st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 2), st.floats(0, 5)), max_size=60)


@given(STEPS)
def test_not_everybody_is_greedy_at_once(steps: list[tuple[str, float, float]]) -> None:
    """At least one account, the one that has had least, is not."""
    appetites, now = Appetites(), 0.0
    for account, seconds, pause in steps:
        now += pause
        appetites.began(account, now)
        appetites.spent(account, seconds, now)
        assert not all(appetites.is_greedy(each, now) for each in "abcd")


@given(STEPS)
def test_what_is_remembered_is_of_who_began_lately(steps: list[tuple[str, float, float]]) -> None:
    appetites, now, began = Appetites(), 0.0, dict[str, float]()
    for account, _seconds, pause in steps:
        now += pause
        appetites.began(account, now)
        began[account] = now
    lately = {account for account, since in began.items() if since + CONTEST_SECONDS >= now}
    assert set(appetites._lately) == lately
