"""peer and peerindex/principal: who sees whom, connecting, errors, streams, deaths; in Gate's layout."""

from struct import pack

import pytest
from peerworld import INDEX, PEER, PRINCIPAL, Guest, connected, data, flow, notice

from gatebus.bounds import MAX_CREDIT, PEER_MEMBERS, PEER_WINDOW
from gatebus.faults import Violation
from gatebus.peers.neighbourhood import Neighbourhood
from gatebus.peers.shorttexts import texts
from sandbox.packets import DATA, INFO, encode, encode_data

GONE = 1


@pytest.fixture
def around() -> Neighbourhood:
    return Neighbourhood()


def test_the_index_says_who_else_of_the_principal_is_registered(around: Neighbourhood) -> None:
    one, two, three = (Guest(around, name) for name in ("b", "c", "a"))
    assert one.call(INDEX) == pack("<hH", 1, 0)
    for guest in (one, two, three):
        guest.register()
    assert one.listed() == [b"a", b"c"]
    assert three.listed() == [b"b", b"c"]
    two.die()
    assert one.listed() == [b"a"]


def test_registering_twice_is_registering_once(around: Neighbourhood) -> None:
    one, two = Guest(around, "one").register().register(), Guest(around, "two").register()
    assert two.listed() == [b"one"]
    assert one.listed() == [b"two"]


def test_who_is_not_registered_sees_the_others_but_is_not_seen(around: Neighbourhood) -> None:
    one, two = Guest(around, "one").register(), Guest(around, "two")
    assert two.listed() == [b"one"]
    assert one.listed() == []


def test_the_index_is_bounded(around: Neighbourhood) -> None:
    guests = [Guest(around, f"{number:036}").register() for number in range(PEER_MEMBERS + 1)]
    assert len(guests[-1].listed()) == PEER_MEMBERS
    assert len(guests[0].listed()) == PEER_MEMBERS - 1


def test_other_principals_programs_do_not_exist(around: Neighbourhood) -> None:
    mine, theirs = Guest(around, "mine").register(), Guest(around, "theirs", principal="bob").register()
    assert mine.listed() == []
    assert mine.connect(theirs) == 3
    assert mine.join(b"room")[3] == 0
    assert theirs.join(b"room")[3] == 0
    assert mine.send(b"is anybody there?") == (0, 0, 0)
    mine.die()
    assert theirs.read() == []


def test_both_have_to_ask_and_then_the_connection_is_up(around: Neighbourhood) -> None:
    one, other = Guest(around, "one").register(), Guest(around, "other").register()
    assert one.connect(other, b"I speak this") == 0
    assert one.others == []
    assert other.read() == [notice(-1, one, b"I speak this")]
    assert other.connect(one, b"and I that") == 0
    assert other.others == [notice(0, one, b"I speak this")]
    assert one.read() == [notice(0, other, b"and I that")]


def test_numbers_of_streams_are_each_sides_own_and_counted_up(around: Neighbourhood) -> None:
    hub, *spokes = (Guest(around, name).register() for name in ("hub", "a", "b", "c"))
    for number, spoke in enumerate(spokes):
        assert spoke.connect(hub) == 0
        hub.read()
        assert hub.connect(spoke) == 0
        assert hub.others == [notice(number, spoke)]
        assert spoke.read() == [notice(0, hub)]


def test_what_cannot_be_connected_has_its_error(around: Neighbourhood) -> None:
    one, other = Guest(around, "one"), Guest(around, "other").register()
    assert one.connect(other) == 2
    one.register()
    assert one.connect(other, group=b"elsewhere") == 2
    assert one.connect(b"nobody") == 3
    assert one.connect(one) == 4
    assert one.connect(other) == 0
    assert one.connect(other) == 5
    other.read()
    assert other.connect(one) == 0
    one.read()
    assert one.connect(other) == 6
    assert other.connect(one) == 6


def test_who_never_spoke_to_the_service_cannot_be_asked(around: Neighbourhood) -> None:
    one, other = Guest(around, "one").register(), Guest(around, "other")
    other.say(encode(INDEX, INFO))
    assert one.listed() == [b"other"]
    assert one.connect(other) == 3


@pytest.mark.parametrize("content", [b"", b"\0" * 4, b"\0" * 8, b"\0" * 8 + b"\5grou", b"\0" * 8 + texts(b"g", b"n")])
def test_a_malformed_question_is_error_1_and_another_kind_of_call_gets_an_empty_reply(
    around: Neighbourhood, content: bytes
) -> None:
    one = Guest(around, "one").register()
    assert one.call(PEER, content) == pack("<hH", 1, 0)
    assert one.call(PEER, b"\1\0\0\0" + content) == b""


def test_bytes_and_notes_arrive_on_the_others_number(around: Neighbourhood) -> None:
    one, other = connected(around)
    other.grant(0, 100)
    assert one.read() == [flow(0, 100)]
    one.write(0, b"hello", note=7)
    one.write(0, b"one", b"two")
    assert other.read() == [data(0, b"hello", 7), data(0, b"one"), data(0, b"two")]
    other.grant(0, -5)
    assert one.read() == [flow(0, -5)]


def test_no_more_than_the_credit_may_be_sent(around: Neighbourhood) -> None:
    one, other = connected(around)
    other.grant(0, 5)
    one.read()
    one.write(0, b"12345")
    with pytest.raises(Violation) as caught:
        one.write(0, b"6")
    assert caught.value.text == "A stream was sent 1 bytes and has only 0 bytes of credit."


def test_a_writer_is_told_of_a_window_at_once_and_of_more_as_its_bytes_leave(around: Neighbourhood) -> None:
    one, other = connected(around)
    other.grant(0, 10 * PEER_WINDOW)
    assert one.read() == [flow(0, PEER_WINDOW)]
    one.write(0, bytes(PEER_WINDOW // 4 - 1))
    assert one.read() == []
    one.write(0, b"x")
    assert one.read() == [flow(0, PEER_WINDOW // 4)]
    other.read()


def test_more_credit_than_there_can_be_is_a_violation_of_who_gave_it(around: Neighbourhood) -> None:
    _one, other = connected(around)
    other.grant(0, MAX_CREDIT)
    with pytest.raises(Violation):
        other.grant(0, 1)


def test_each_direction_ends_by_itself_and_after_four_ends_the_stream_is_forgotten(around: Neighbourhood) -> None:
    one, other = connected(around)
    one.end(0, note=3)
    assert other.read() == [data(0, b"", 3)]
    one.grant(0, 50)
    assert other.read() == [flow(0, 50)]
    other.write(0, b"still here")
    assert one.read() == [data(0, b"still here")]
    other.grant(0, 0)
    assert one.read() == [flow(0, 0)]
    other.end(0)
    assert one.read() == [data(0, b"")]
    assert one.connect(other) == 6
    one.grant(0, 0)
    assert other.read() == [flow(0, 0)]
    for guest in (one, other):
        with pytest.raises(Violation) as caught:
            guest.end(0)
        assert caught.value.text == "The service peer has no stream 0."


def test_after_the_end_they_may_meet_again_under_new_numbers(around: Neighbourhood) -> None:
    one, other = connected(around)
    for guest in (one, other):
        guest.end(0)
        guest.grant(0, 0)
    one.read(), other.read()
    assert other.connect(one) == 0
    assert one.read() == [notice(-1, other)]
    assert one.connect(other) == 0
    assert one.others == [notice(1, other)]
    assert other.read() == [notice(1, one)]


def test_data_after_the_end_is_a_violation_and_a_second_end_is_nothing(around: Neighbourhood) -> None:
    one, other = connected(around)
    other.grant(0, 9)
    one.read()
    one.end(0)
    one.end(0)
    assert other.read() == [data(0, b"")]
    with pytest.raises(Violation) as caught:
        one.write(0, b"x")
    assert caught.value.text == "A stream carries data after its end. Send an empty data packet last."


def test_what_is_under_way_to_a_reader_that_closed_is_dropped(around: Neighbourhood) -> None:
    one, other = connected(around)
    other.grant(0, 9)
    other.grant(0, 0)
    assert one.read() == [flow(0, 9), flow(0, 0)]
    one.write(0, b"late", b"later")
    assert other.read() == []


def test_a_stream_that_is_not_up_cannot_be_used(around: Neighbourhood) -> None:
    one, other = Guest(around, "one").register(), Guest(around, "other").register()
    one.connect(other)
    with pytest.raises(Violation):
        one.grant(0, 1)


def test_the_death_of_a_peer_is_told_once_as_both_ends_of_the_stream(around: Neighbourhood) -> None:
    one, other = connected(around)
    other.grant(0, 20)
    one.grant(0, 20)
    one.read(), other.read()
    other.write(0, b"last words")
    other.die()
    assert one.read() == [data(0, b"last words"), data(0, b"", GONE), flow(0, 0)]
    one.write(0, b"unheard")
    one.grant(0, 5, 0)
    one.end(0)
    assert one.read() == []
    with pytest.raises(Violation):
        one.end(0)
    assert one.listed() == []


def test_a_death_after_the_end_tells_only_what_was_not_told(around: Neighbourhood) -> None:
    one, other = connected(around)
    other.end(0, note=9)
    assert one.read() == [data(0, b"", 9)]
    other.die()
    assert one.read() == [flow(0, 0)]


def test_who_waits_for_a_peer_that_dies_gets_a_connection_that_is_over(around: Neighbourhood) -> None:
    one, other = Guest(around, "one").register(), Guest(around, "other").register()
    one.connect(other, b"hello?")
    other.die()
    assert one.read() == [notice(0, other), data(0, b"", GONE), flow(0, 0)]
    one.grant(0, 0)
    one.end(0)
    assert one.read() == []


def test_who_was_asked_by_a_program_that_dies_finds_nobody(around: Neighbourhood) -> None:
    one, other = Guest(around, "one").register(), Guest(around, "other").register()
    one.connect(other)
    assert other.read() == [notice(-1, one)]
    one.die()
    assert other.read() == []
    assert other.connect(one) == 3


def test_a_withdrawn_service_is_a_death_to_the_others(around: Neighbourhood) -> None:
    one, other = connected(around)
    third = Guest(around, "third").register()
    third.connect(other)
    other.read()
    other.board.withdraw("peer")
    assert one.read() == [data(0, b"", GONE), flow(0, 0)]
    assert third.read() == [notice(0, other), data(0, b"", GONE), flow(0, 0)]
    assert other.read()[0].code == -1
    assert third.listed() == [b"one", b"other"]
    assert Guest(around, "fourth").register().connect(other) == 3


def test_saved_and_restored_its_streams_have_ended_and_the_other_side_is_told_of_a_death(around: Neighbourhood) -> None:
    one, other = connected(around)
    third = Guest(around, "third").register()
    one.connect(third)
    third.read()
    other.grant(0, 10)
    one.read()
    told = one.saved_and_restored(around)
    assert other.read() == [data(0, b"", GONE), flow(0, 0)]
    assert third.read() == []
    assert told == [data(0, b"", GONE), flow(0, 0), notice(1, third), data(1, b"", GONE), flow(1, 0)]
    one.write(0, b"0123456789")
    for stream in (0, 1):
        one.grant(stream, 0)
        one.end(stream)
    assert one.listed() == [b"other", b"third"]
    assert one.connect(other) == 0
    assert other.read() == [notice(-1, one)]
    other.connect(one)
    assert one.read() == [notice(2, other)]


def test_restored_with_ends_that_were_there_before_nothing_is_told_twice(around: Neighbourhood) -> None:
    one, other = connected(around)
    other.end(0)
    other.grant(0, 0)
    one.read()
    assert one.saved_and_restored(around) == []
    one.end(0)
    one.grant(0, 0)
    with pytest.raises(Violation):
        one.end(0)


def test_a_group_is_a_place_to_connect_in_too(around: Neighbourhood) -> None:
    one, other = Guest(around, "1").register(), Guest(around, "2").register()
    one.join(b"room", name=b"alice")
    other.join(b"room", name=b"bob")
    assert one.connect(b"bob", b"hi", group=b"room") == 0
    (asked,) = other.read()
    assert asked.content == pack("<iI", -1, 0) + texts(b"room", b"alice", b"hi")
    assert other.connect(b"alice", group=b"room") == 0
    assert len(one.read()) == 1
    assert one.connect(b"2", group=PRINCIPAL) == 0


def test_a_batch_for_several_streams_reaches_each_in_order(around: Neighbourhood) -> None:
    hub, a, b = (Guest(around, name).register() for name in ("hub", "a", "b"))
    for spoke in (a, b):
        spoke.connect(hub)
        hub.read()
        hub.connect(spoke)
        spoke.read()
        spoke.grant(0, 1000)
    hub.read()
    hub.say(*[encode_data(PEER, number % 2, bytes([number])) for number in range(20)])
    assert [packet.content[8:] for packet in a.read()] == [bytes([number]) for number in range(0, 20, 2)]
    assert [packet.content[8:] for packet in b.read()] == [bytes([number]) for number in range(1, 20, 2)]


def test_a_reserved_bit_or_index_of_one_program_does_not_reach_another(around: Neighbourhood) -> None:
    one, other = connected(around)
    other.grant(0, 10)
    one.read()
    packet = bytearray(encode_data(PEER, 0, b"x"))
    packet[6] |= 0x30
    packet[7] = 5
    one.say(bytes(packet), bytes(packet))
    assert [(packet.domain, packet.place) for packet in other.read()] == [(DATA, 0)] * 2
