"""Stored programs that their peers wake: who calls them, what they have missed, how much of it is kept."""

from __future__ import annotations

from struct import pack

import pytest
from peerworld import GROUP, PRINCIPAL, Guest, connected

from gatebus.accountbounds import SLEEPERS_BYTES
from gatebus.bounds import GROUP_MEMBERS, GROUP_MESSAGE, LETTER_COST, MAILBOX_BYTES, OUTBOX_BYTES
from gatebus.discovery import request_content
from gatebus.peers.neighbourhood import INDEX, Neighbourhood, Sleeping
from gatebus.route import service_state
from gatebus.services.group import names_untrusted
from sandbox.packets import CALL, CODE_DISCOVERY, encode

MESSAGE, LOST, ANEW = 4, 6, 7
BUSY, NO_PEER = 8, 3


class Bed:
    """A program that is stored, and how often it was called."""

    def __init__(self, around: Neighbourhood, guest: Guest) -> None:
        self.around, self.name, self.calls = around, guest.name.decode(), 0
        self.saved = guest.board.save()
        states = {name: service_state(saved) for name, saved in self.saved}
        names = names_untrusted(states["group"])
        if states["peerindex/principal"]:
            names.append((INDEX, guest.name))
        guest.die()
        self.sleeping: Sleeping = around.sleeps("alice", self.name, names, self._called)

    def _called(self) -> None:
        self.calls += 1

    def woken(self) -> tuple[Guest, list[bytes]]:
        """It goes on, and what it is told in its group."""
        again = Guest(self.around, self.name)
        again.board = again._board(OUTBOX_BYTES)
        again.board.restore(self.saved)
        self.sleeping.over()
        return again, [packet.content for packet in again.read() if packet.code == GROUP]


@pytest.fixture
def around() -> Neighbourhood:
    return Neighbourhood()


def two(around: Neighbourhood) -> tuple[Guest, Bed]:
    """One is there, and the other one, number 2 of their group, is stored."""
    one, other = Guest(around, "one"), Guest(around, "other")
    assert one.join(b"room")[0] == other.join(b"room")[0] == 0
    one.read()
    return one, Bed(around, other)


def said(number: int, content: bytes) -> bytes:
    return pack("<HHI", MESSAGE, 0, number) + content


def test_a_message_to_all_wakes_one_that_is_stored_and_is_told_when_it_is_there(around: Neighbourhood) -> None:
    one, bed = two(around)
    assert one.send(b"wake up") == (0, 1, 0)
    one.tell(b"at last")
    assert bed.calls == 2
    again, told = bed.woken()
    assert told == [pack("<HHI", ANEW, 0, 3), said(1, b"wake up"), said(1, b"at last")]
    one.tell(b"good morning")
    assert again.heard() == [(MESSAGE, 0, 1, b"good morning")]
    assert bed.calls == 2


def test_what_is_said_in_another_group_or_by_somebody_else_s_programs_wakes_nobody(around: Neighbourhood) -> None:
    one, bed = two(around)
    one.join(b"elsewhere")
    one.tell(b"x", handle=1)
    stranger = Guest(around, "stranger", "bob")
    stranger.join(b"room")
    stranger.tell(b"x")
    assert bed.calls == 0


def test_a_message_to_a_member_that_is_gone_is_for_nobody(around: Neighbourhood) -> None:
    one, bed = two(around)
    assert one.send(b"x", number=2) == (9, 0, 0)
    assert bed.calls == 0


def test_who_asks_to_connect_is_told_to_try_later_and_then_can(around: Neighbourhood) -> None:
    one, other = connected(around)
    one.read()
    bed = Bed(around, other)
    one.read()
    assert one.connect(other) == BUSY
    assert bed.calls == 1
    assert one.connect(b"nobody") == NO_PEER
    again, _ = bed.woken()
    assert one.connect(again) == 0


def test_one_that_is_stored_is_not_listed(around: Neighbourhood) -> None:
    one, other = Guest(around, "one").register(), Guest(around, "other").register()
    Bed(around, other)
    assert one.listed() == []
    assert one.connect(b"one", group=PRINCIPAL) == 4


def test_its_group_stays_as_long_as_it_sleeps_so_no_number_comes_again(around: Neighbourhood) -> None:
    one, bed = two(around)
    one.tell(b"x")
    one.die()
    later = Guest(around, "later")
    assert later.join(b"room") == (0, 0, 3, 0)
    later.die()
    assert bed.woken()[1] == [pack("<HHI", ANEW, 0, 4), said(1, b"x")]


def test_when_it_never_goes_on_its_group_is_forgotten(around: Neighbourhood) -> None:
    one, bed = two(around)
    one.die()
    bed.sleeping.over()
    assert Guest(around, "later").join(b"room") == (0, 0, 1, 0)


def test_what_does_not_fit_is_counted_and_wakes_it_all_the_same(around: Neighbourhood) -> None:
    one, bed = two(around)
    fit = MAILBOX_BYTES // (GROUP_MESSAGE + LETTER_COST)
    counts = [one.send(bytes(GROUP_MESSAGE)) for _ in range(fit + 2)]
    assert counts == [(0, 1, 0)] * fit + [(0, 0, 1)] * 2
    assert bed.calls == fit + 2
    again, told = bed.woken()
    assert len(told) == 1 + fit + 1
    assert told[-1] == pack("<HHII", LOST, 0, 0, 2)
    assert again.read() == []


def test_all_of_a_principal_s_have_a_bound_together_and_give_their_room_back(around: Neighbourhood) -> None:
    one = Guest(around, "one")
    one.join(b"room")
    beds = []
    for number in range(SLEEPERS_BYTES // MAILBOX_BYTES + 2):
        guest = Guest(around, f"guest {number}")
        guest.join(b"room")
        beds.append(Bed(around, guest))
    sent = MAILBOX_BYTES // (GROUP_MESSAGE + LETTER_COST)
    *_, last = (one.send(bytes(GROUP_MESSAGE)) for _ in range(sent))
    assert last[2] > 0
    assert sum(last[1:]) == len(beds)
    for bed in beds[1:]:
        bed.sleeping.over()
    assert one.send(b"x") == (0, 1, 0)


def test_more_than_a_group_has_places_are_not_called(around: Neighbourhood) -> None:
    one = Guest(around, "one")
    one.join(b"room")
    asleep = [
        around.sleeps("alice", f"guest {number}", [(b"room", b"%d" % number)], lambda: None)
        for number in range(GROUP_MEMBERS + 5)
    ]
    assert one.send(b"x") == (0, GROUP_MEMBERS, 0)
    assert len(asleep) == GROUP_MEMBERS + 5


def test_a_state_of_somebody_else_has_no_names(around: Neighbourhood) -> None:
    guest = Guest(around, "guest")
    guest.say(encode(CODE_DISCOVERY, CALL, request_content(())))
    assert names_untrusted(b"\xff" * 9) == names_untrusted(b"") == []
