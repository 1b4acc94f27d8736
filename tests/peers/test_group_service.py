"""group: joining, leaving, who is told what and how often, messages, mailboxes that overflow, deaths, saving."""

from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peerworld import GROUP, Guest, letter, members

from gatebus.bounds import (
    GROUP_MEMBERS,
    GROUP_MESSAGE,
    GROUP_NAME,
    GROUPS,
    GROUPS_JOINED,
    LETTER_COST,
    MAILBOX_BYTES,
    OUTBOX_BYTES,
)
from gatebus.faults import StateRefused, Violation
from gatebus.peers.neighbourhood import Neighbourhood
from gatebus.peers.shorttexts import texts, texts_untrusted
from sandbox.packets import CALL, CONTENT_MAX, FLOW, INFO, encode

WATCH, ECHO = 1, 2
JOINED, LEFT, MESSAGE, DIRECT, LOST, ANEW = 1, 2, 4, 5, 6, 7
BY_ITSELF, ENDED = pack("<HH", 0, 0), pack("<HH", 1, 0)


@pytest.fixture
def around() -> Neighbourhood:
    return Neighbourhood()


def test_who_watches_is_told_of_those_who_are_there_come_and_go(around: Neighbourhood) -> None:
    one, two, three = (Guest(around, name) for name in ("one", "two", "three"))
    assert one.join(b"room", WATCH, about=b"host") == (0, 0, 1, 0)
    assert two.join(b"room", WATCH, b"Two", b"x") == (0, 0, 2, 1)
    assert [packet.content for packet in two.others] == [pack("<HHI", JOINED, 0, 1) + texts(b"one", b"host")]
    assert one.heard() == [(JOINED, 0, 2, texts(b"Two", b"x"))]
    three.join(b"room")
    assert three.others == []
    assert one.heard() == two.heard() == [(JOINED, 0, 3, texts(b"three", b""))]
    assert three.call(GROUP, pack("<HH", 2, 0)) == bytes(4)
    assert one.heard() == [(LEFT, 0, 3, BY_ITSELF)]
    two.die()
    assert one.heard() == [(LEFT, 0, 2, ENDED)]
    assert three.heard() == []


def test_a_message_to_all_reaches_the_others_with_its_senders_number(around: Neighbourhood) -> None:
    one, two, three = members(around, "one", "two", "three")
    two.tell(b"hello")
    assert one.heard() == three.heard() == [(MESSAGE, 0, 2, b"hello")]
    assert two.heard() == []
    assert two.send(b"again") == (0, 2, 0)


def test_who_wants_an_echo_hears_itself_in_the_order_of_all(around: Neighbourhood) -> None:
    one, two = members(around, "one", "two", flags=ECHO)
    one.tell(b"a")
    two.tell(b"b")
    one.tell(b"c")
    assert one.heard() == two.heard() == [(MESSAGE, 0, 1, b"a"), (MESSAGE, 0, 2, b"b"), (MESSAGE, 0, 1, b"c")]


def test_a_message_to_one_reaches_that_one(around: Neighbourhood) -> None:
    one, two, three = members(around, "one", "two", "three")
    one.tell(b"psst", number=3)
    assert three.heard() == [(DIRECT, 0, 1, b"psst")]
    assert two.heard() == []
    assert one.send(b"psst", number=2) == (0, 1, 0)
    one.tell(b"note to myself", number=1)
    assert one.heard() == [(DIRECT, 0, 1, b"note to myself")]
    assert one.send(b"psst", number=4) == (9, 0, 0)
    one.tell(b"whoever you were", number=99)


def test_a_list_has_numbers_and_names(around: Neighbourhood) -> None:
    one, _two = members(around, "one", "two")
    reply = one.call(GROUP, pack("<HH", 3, 0))
    assert reply == pack("<hH", 0, 2) + pack("<I", 1) + texts(b"one") + pack("<I", 2) + texts(b"two")
    assert one.call(GROUP, pack("<HH", 3, 1)) == pack("<hH", 8, 0)


def test_names_are_unique_in_a_group_and_free_again_afterwards(around: Neighbourhood) -> None:
    one, two = Guest(around, "one"), Guest(around, "two")
    assert one.join(b"room", name=b"alice") == (0, 0, 1, 0)
    assert two.join(b"room", name=b"alice") == (2, 0, 0, 0)
    one.die()
    assert two.join(b"room", name=b"alice") == (0, 0, 1, 0)


def test_somebody_who_comes_back_has_another_number(around: Neighbourhood) -> None:
    one, two = members(around, "one", "two", flags=WATCH)
    two.call(GROUP, pack("<HH", 2, 0))
    assert two.join(b"room") == (0, 0, 3, 1)
    assert one.heard() == [(LEFT, 0, 2, BY_ITSELF), (JOINED, 0, 3, texts(b"two", b""))]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (pack("<HH", 1, 0), 1),
        (pack("<HH", 1, 0) + b"\4room\0", 1),
        (pack("<HH", 1, 4) + texts(b"room", b"", b""), 1),
        (pack("<HH", 1, 0) + texts(b"", b"", b""), 5),
        (pack("<HH", 1, 0) + texts(b"r" * (GROUP_NAME + 1), b"", b""), 5),
        (pack("<HH", 1, 0) + texts(b"room", b"n" * (GROUP_NAME + 1), b""), 5),
        (pack("<HH", 1, 0) + texts(b"index/principal", b"", b""), 5),
        (b"\1", 1),
        (pack("<HH", 2, 0), 8),
        (pack("<HH", 4, 0), 1),
        (letter(b""), 8),
    ],
)
def test_what_cannot_be_done_has_its_error(around: Neighbourhood, content: bytes, error: int) -> None:
    guest = Guest(around, "guest")
    assert guest.call(GROUP, content)[:2] == pack("<h", error)


def test_an_unknown_operation_gets_an_empty_reply(around: Neighbourhood) -> None:
    guest = Guest(around, "guest")
    assert guest.call(GROUP) == b""
    assert guest.call(GROUP, pack("<HH", 77, 0)) == b""


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        (encode(GROUP, INFO), "An information packet to the service group is not a message."),
        (encode(GROUP, INFO, pack("<HHI", 1, 0, 0)), "An information packet to the service group is not a message."),
        (encode(GROUP, INFO, letter(b"", 0, 1)), "A message is for a group that the program is not in."),
        (
            encode(GROUP, INFO, letter(bytes(GROUP_MESSAGE + 1))),
            f"A message to a group is longer than {GROUP_MESSAGE} bytes. Use a stream.",
        ),
        (encode(GROUP, FLOW, bytes(8)), "The program sent a flow or data packet to a service that has no streams."),
    ],
)
def test_what_may_not_be_said_ends_the_program_and_nobody_else(around: Neighbourhood, packet: bytes, text: str) -> None:
    one, two = members(around, "one", "two", flags=WATCH)
    with pytest.raises(Violation) as caught:
        one.say(packet)
    assert caught.value.text == text
    one.die()
    assert two.heard() == [(LEFT, 0, 1, ENDED)]


def test_the_longest_message_is_taken_and_a_call_with_a_longer_one_has_an_error(around: Neighbourhood) -> None:
    one, two = members(around, "one", "two")
    assert one.send(bytes(GROUP_MESSAGE)) == (0, 1, 0)
    assert one.send(bytes(GROUP_MESSAGE + 1)) == (10, 0, 0)
    assert two.heard() == [(MESSAGE, 0, 1, bytes(GROUP_MESSAGE))]


def test_a_program_may_be_in_several_groups_and_leaving_one_leaves_the_others(around: Neighbourhood) -> None:
    one, two = Guest(around, "one"), Guest(around, "two")
    for guest in (one, two):
        assert [guest.join(name)[1] for name in (b"a", b"b", b"c")] == [0, 1, 2]
    one.call(GROUP, pack("<HH", 2, 1))
    two.tell(b"in a", handle=0)
    two.tell(b"in b", handle=1)
    two.tell(b"in c", handle=2)
    assert one.heard() == [(MESSAGE, 0, 2, b"in a"), (MESSAGE, 2, 2, b"in c")]
    assert one.join(b"d")[1] == 1
    assert one.join(b"a") == (6, 0, 0, 0)


def test_groups_and_members_are_bounded(around: Neighbourhood) -> None:
    one = Guest(around, "one")
    assert [one.join(b"%d" % number)[0] for number in range(GROUPS_JOINED + 1)] == [0] * GROUPS_JOINED + [7]
    made = GROUPS_JOINED
    while made < GROUPS:
        another = Guest(around, f"n{made}")
        for _ in range(GROUPS_JOINED):
            assert another.join(b"%d" % made)[0] == 0
            made += 1
    assert Guest(around, "late").join(b"one more")[0] == 4
    assert Guest(around, "late").join(b"0")[0] == 0


def test_a_full_group_is_full_and_its_list_fits_a_packet(around: Neighbourhood) -> None:
    guests = [Guest(around, "guest") for _ in range(GROUP_MEMBERS + 1)]
    joined = [guest.join(b"room", name=b"%063d" % number)[0] for number, guest in enumerate(guests)]
    assert joined == [0] * GROUP_MEMBERS + [3]
    reply = guests[0].call(GROUP, pack("<HH", 3, 0))
    assert len(reply) == 4 + GROUP_MEMBERS * (4 + 1 + GROUP_NAME) <= CONTENT_MAX


def test_messages_to_who_does_not_read_wait_in_a_mailbox_and_beyond_it_are_dropped_and_counted(
    around: Neighbourhood,
) -> None:
    sender, deaf, other = members(around, "sender", "deaf", "other")
    size = 1000
    taken = dropped = 0
    for number in range(1000):
        error, one_taken, one_dropped = sender.send(number.to_bytes(4, "little") + bytes(size - 4))
        assert (error, one_taken + one_dropped) == (0, 2)
        taken, dropped = taken + one_taken - 1, dropped + one_dropped
        assert len(other.heard()) == 1
    assert deaf.board._size + mailbox(deaf)._size <= OUTBOX_BYTES + MAILBOX_BYTES + size + 16
    assert taken + dropped == 1000
    assert taken >= MAILBOX_BYTES // (size + LETTER_COST)
    heard = deaf.heard()
    assert [number_in(content) for kind, _, _, content in heard if kind == MESSAGE] == list(range(taken))
    assert heard[-1] == (LOST, 0, 0, pack("<I", dropped))
    sender.tell(b"after it")
    assert deaf.heard() == [(MESSAGE, 0, 1, b"after it")]


def mailbox(guest: Guest):  # type: ignore[no-untyped-def]
    return guest.board._routes[GROUP].service._mailbox  # type: ignore[union-attr]


def number_in(content: bytes) -> int:
    return int.from_bytes(content[:4], "little")


def test_the_notice_of_a_loss_stands_where_the_first_lost_message_would_have_stood(around: Neighbourhood) -> None:
    sender, deaf = members(around, "sender", "deaf")
    deaf.board._outbox = 10
    mailbox(deaf)._places = 2 * (1 + LETTER_COST)
    for content in (b"a", b"b", b"c", b"d", b"e"):
        sender.tell(content)
    mailbox(deaf)._places += 1 + LETTER_COST
    sender.tell(b"f")
    told = [(MESSAGE, b"a"), (MESSAGE, b"b"), (MESSAGE, b"c"), (LOST, pack("<I", 2)), (MESSAGE, b"f")]
    assert [(kind, content) for kind, _, _, content in deaf.heard()] == told


def test_empty_messages_fill_a_mailbox_too(around: Neighbourhood) -> None:
    sender, deaf = members(around, "sender", "deaf")
    deaf.board._outbox = 10
    for _ in range(2 * MAILBOX_BYTES // LETTER_COST):
        sender.tell(b"")
    assert len(mailbox(deaf)._waiting) <= MAILBOX_BYTES // LETTER_COST + 1
    assert deaf.heard()[-1][0] == LOST


def test_who_came_and_went_unheard_is_not_mentioned_and_what_it_said_is_counted(around: Neighbourhood) -> None:
    (deaf,) = members(around, "deaf", flags=WATCH)
    deaf.board._outbox = 10
    known = Guest(around, "known")
    known.join(b"room")
    for number in range(3000):
        flapping = Guest(around, f"flapping {number}") if number < 3 else flapping  # noqa: F821
        assert flapping.join(b"room")[0] == 0
        flapping.tell(b"hello")
        flapping.call(GROUP, pack("<HH", 2, 0))
    known.die()
    assert len(mailbox(deaf)._waiting) <= 2
    assert [(kind, content) for kind, _, _, content in deaf.heard()] == [
        (JOINED, texts(b"known", b"")),
        (LOST, pack("<I", 3000)),
        (LEFT, ENDED),
    ]


def test_who_leaves_hears_no_more_of_that_group(around: Neighbourhood) -> None:
    sender, slow = members(around, "sender", "slow", flags=WATCH)
    for guest in (sender, slow):
        guest.join(b"second")
    slow.board._outbox = 10
    sender.tell(b"a", handle=0)
    sender.tell(b"b", handle=0)
    sender.tell(b"c", handle=1)
    slow.say(encode(GROUP, CALL, pack("<HH", 2, 0)))
    contents = [packet.content[8:] for packet in slow.read() if packet.domain == INFO]
    assert contents == [b"a", b"c"]


@given(st.binary(min_size=1, max_size=80))
def test_foreign_state_is_refused(state: bytes) -> None:
    guest = Guest(Neighbourhood(), "guest")
    guest.say(encode(GROUP, CALL))
    service = guest.board._routes[GROUP].service
    assert service is not None
    try:
        service.restore(state)
    except StateRefused as fault:
        assert fault.text == "The saved state of the service group is malformed."  # noqa: PT017
    else:
        assert len(service.save()) == len(state)


STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["join", "leave", "tell", "read", "die"]), st.integers(0, 600)),
    max_size=60,
)


@settings(max_examples=80, deadline=None)
@given(STEPS, st.sampled_from([64, 2000, OUTBOX_BYTES]))
def test_whoever_watches_has_a_true_picture_and_every_message_is_heard_or_counted(
    steps: list[tuple[int, str, int]], outbox: int
) -> None:
    """Some read seldom, some die; nobody is told twice or in the wrong order."""
    around = Neighbourhood()
    guests = {place: Guest(around, f"{place}") for place in range(4)}
    watcher = Guest(around, "watcher", outbox=OUTBOX_BYTES)
    watcher.join(b"room", WATCH)
    watcher.board._outbox = outbox
    numbers: dict[int, int] = {}
    story = Story()
    for place, what, size in steps:
        guest = guests[place]
        guest.read()
        if what == "join" and place not in numbers:
            numbers[place] = guest.join(b"room")[2]
        elif what == "tell" and place in numbers:
            story.sent += 1
            guest.tell(story.sent.to_bytes(4, "little") + bytes(size))
        elif what == "read":
            story.hear(watcher.heard())
        elif what in ("leave", "die") and place in numbers:
            del numbers[place]
            if what == "die":
                guest.die()
                guests[place] = Guest(around, f"{place}")
            else:
                guest.call(GROUP, pack("<HH", 2, 0))
    story.hear(watcher.heard())
    assert story.present == set(numbers.values())
    assert story.heard + story.lost == story.sent


class Story:
    """What the watcher makes of what it hears."""

    def __init__(self) -> None:
        self.present: set[int] = set()
        self.seen: set[int] = set()
        self.sent = self.heard = self.lost = self.last = 0

    def hear(self, told: list[tuple[int, int, int, bytes]]) -> None:
        for kind, _handle, number, content in told:
            if kind == JOINED:
                assert number not in self.seen, "told twice, or a number that came back"
                self.seen.add(number)
                self.present.add(number)
                assert len(texts_untrusted(content, 0, 2)[0]) == 2
            elif kind == LEFT:
                self.present.remove(number)
            elif kind == LOST:
                self.lost += int.from_bytes(content, "little")
            else:
                assert number in self.present, "a message of somebody who is not there"
                assert number_in(content) > self.last, "out of order"
                self.last = number_in(content)
                self.heard += 1
