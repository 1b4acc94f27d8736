"""What ended programs left: by account, answered first, the oldest first, never the newest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest

from gatebus.accountbounds import LEFTOVER_COST
from gatebus.host.endedstreams import Leftovers

if TYPE_CHECKING:
    from gatebus.host.busstreams import BusStream

MOST = 10 * LEFTOVER_COST


@dataclass(eq=False)
class FakeStream:
    answered: bool = False


def stream(*, answered: bool = False) -> BusStream:
    return cast("BusStream", FakeStream(answered))


@pytest.fixture
def leftovers() -> Leftovers:
    return Leftovers(MOST)


def test_as_long_as_there_is_room_nobody_goes(leftovers: Leftovers) -> None:
    assert [leftovers.put("a", stream(), 0) for _ in range(10)] == [[]] * 10
    assert leftovers.held("a") == MOST


def test_the_oldest_goes_first(leftovers: Leftovers) -> None:
    streams = [stream() for _ in range(12)]
    gone = [leftovers.put("a", each, 0) for each in streams]
    assert gone[10:] == [[streams[0]], [streams[1]]]
    assert leftovers.held("a") == MOST


def test_who_was_answered_goes_before_who_was_not(leftovers: Leftovers) -> None:
    waiting, answered = stream(), stream(answered=True)
    leftovers.put("a", waiting, 0)
    leftovers.put("a", answered, 0)
    assert leftovers.put("a", stream(), MOST - 2 * LEFTOVER_COST) == [answered]


def test_the_newest_stays_however_large_it_is(leftovers: Leftovers) -> None:
    first, large = stream(), stream()
    leftovers.put("a", first, 0)
    assert leftovers.put("a", large, 2 * MOST) == [first]
    assert leftovers.held("a") == 2 * MOST + LEFTOVER_COST


def test_one_account_takes_nothing_from_another(leftovers: Leftovers) -> None:
    leftovers.put("a", stream(), MOST)
    assert leftovers.put("b", stream(), MOST) == []


def test_what_is_put_again_counts_once_with_what_it_has_now(leftovers: Leftovers) -> None:
    each = stream()
    leftovers.put("a", each, 1_000)
    leftovers.put("a", each, 10)
    assert leftovers.held("a") == LEFTOVER_COST + 10


def test_what_is_removed_leaves_nothing(leftovers: Leftovers) -> None:
    each = stream()
    leftovers.put("a", each, 1_000)
    leftovers.remove("a", each)
    leftovers.remove("a", each)
    assert leftovers.held("a") == 0
