"""group: programs that were saved and restored: who they are then, and who has their place meanwhile."""

from __future__ import annotations

from struct import pack

import pytest
from peerworld import GROUP, Guest, members

from gatebus.bounds import GROUPS_JOINED, OUTBOX_BYTES
from gatebus.faults import Violation
from gatebus.peers.neighbourhood import Neighbourhood
from gatebus.peers.shorttexts import texts

WATCH = 1
JOINED, LEFT, DIRECT, LOST, ANEW = 1, 2, 5, 6, 7
ENDED = pack("<HH", 1, 0)


@pytest.fixture
def around() -> Neighbourhood:
    return Neighbourhood()


def test_saved_and_restored_it_leaves_and_comes_back_as_somebody_else(around: Neighbourhood) -> None:
    one, two = members(around, "one", "two", flags=WATCH)
    told = [packet.content for packet in two.saved_and_restored(around)]
    assert one.heard() == [(LEFT, 0, 2, ENDED), (JOINED, 0, 3, texts(b"two", b""))]
    assert told == [pack("<HHI", ANEW, 0, 3), pack("<HHI", JOINED, 0, 1) + texts(b"one", b"")]
    one.tell(b"welcome back", number=3)
    assert two.heard() == [(DIRECT, 0, 1, b"welcome back")]


def test_what_a_saved_program_had_not_heard_is_counted_as_lost(around: Neighbourhood) -> None:
    one, two = members(around, "one", "two")
    two.board._outbox = 10
    for _ in range(5):
        one.tell(b"unheard")
    told = [packet.content for packet in two.saved_and_restored(around)]
    assert told == [pack("<HHI", ANEW, 0, 3), pack("<HHI", LOST, 0, 0) + pack("<I", 4)]


def replaced(around: Neighbourhood) -> tuple[Guest, Guest]:
    """(One that was saved and restored, the other one that has its name meanwhile.)"""
    (one,) = members(around, "one")
    saved = one.board.save()
    one.die()
    other = Guest(around, "two")
    other.join(b"room", name=b"one")
    return restored(around, saved), other


def restored(around: Neighbourhood, saved: list[tuple[str, bytes]]) -> Guest:
    again = Guest(around, "one")
    again.board = again._board(OUTBOX_BYTES)
    again.board.restore(saved)
    return again


def of_the_group(guest: Guest) -> list[bytes]:
    return [packet.content for packet in guest.read() if packet.code == GROUP]


def test_whose_name_is_taken_meanwhile_is_told_so(around: Neighbourhood) -> None:
    one, _ = replaced(around)
    assert of_the_group(one) == [pack("<HHI", ANEW, 0, 0)]
    assert one.send(b"x")[0] == 8


def test_what_it_says_before_it_knows_goes_nowhere_and_ends_nobody(around: Neighbourhood) -> None:
    one, other = replaced(around)
    one.tell(b"x")
    assert other.heard() == []
    one.read()
    one.call(GROUP, pack("<HH", 2, 0))
    with pytest.raises(Violation):
        one.tell(b"it has left")


def test_a_handle_that_was_lost_is_the_last_to_be_given_again(around: Neighbourhood) -> None:
    one, _ = replaced(around)
    one.read()
    handles = [one.join(b"group %d" % number)[1] for number in range(GROUPS_JOINED)]
    assert handles == [*range(1, GROUPS_JOINED), 0]
    one.tell(b"x", handle=0)


def test_it_comes_back_to_its_group_at_the_next_time_if_its_name_is_free(around: Neighbourhood) -> None:
    one, other = replaced(around)
    one.read()
    saved = one.board.save()
    one.die()
    other.die()
    again = restored(around, saved)
    assert of_the_group(again) == [pack("<HHI", ANEW, 0, 1)]
    assert again.send(b"x") == (0, 0, 0)
