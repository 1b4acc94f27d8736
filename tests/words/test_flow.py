"""gatebus.flow: credit and the four ends of a stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.bounds import MAX_CREDIT
from gatebus.faults import Violation
from gatebus.flow import (
    Change,
    Chunk,
    Receiving,
    Sending,
    changes_untrusted,
    chunk_untrusted,
    data_content,
    flow_content,
)

i32 = st.integers(-(2**31), 2**31 - 1)


@given(st.lists(st.builds(Change, i32, i32), max_size=20), st.binary(max_size=7))
def test_flow_entries_survive_the_wire_and_a_short_tail_is_ignored(changes: list[Change], tail: bytes) -> None:
    assert changes_untrusted(flow_content(tuple(changes)) + tail) == tuple(changes)


@given(st.builds(Chunk, i32, i32, st.binary(max_size=100)))
def test_a_data_packet_survives_the_wire(chunk: Chunk) -> None:
    assert chunk_untrusted(data_content(chunk)) == chunk


@pytest.mark.parametrize("size", range(8))
def test_a_data_packet_without_stream_and_note_is_a_violation(size: int) -> None:
    with pytest.raises(Violation) as caught:
        chunk_untrusted(bytes(size))
    assert caught.value.text == "A data packet is shorter than its 16 bytes of header, stream and note."


@given(st.binary(max_size=64))
def test_any_flow_content_is_read_without_an_error(content: bytes) -> None:
    assert len(changes_untrusted(content)) == len(content) // 8


def test_credit_adds_up_and_is_spent() -> None:
    sending = Sending()
    sending.grant(10)
    sending.grant(5)
    sending.spend(12)
    assert sending.credit == 3


def test_credit_above_31_bits_is_a_violation() -> None:
    sending = Sending()
    sending.grant(MAX_CREDIT)
    with pytest.raises(Violation) as caught:
        sending.grant(1)
    assert caught.value.text == "A stream was given more than 2^31-1 bytes of credit."


def test_a_closed_reader_takes_nothing_more_and_late_credit_is_ignored() -> None:
    sending = Sending(100)
    sending.grant(0)
    sending.grant(50)
    assert sending.refused
    assert sending.credit == 0


def test_a_note_is_no_credit() -> None:
    sending = Sending(7)
    sending.grant(-3)
    assert (sending.credit, sending.refused) == (7, False)


def test_a_direction_is_over_only_when_writer_and_reader_have_ended() -> None:
    sending, receiving = Sending(), Receiving()
    sending.ended = receiving.stopped = True
    assert not sending.over()
    assert not receiving.over()
    sending.grant(0)
    receiving.accept(0)
    assert sending.over()
    assert receiving.over()


def test_more_data_than_credit_is_a_violation() -> None:
    receiving = Receiving(10)
    receiving.accept(4)
    with pytest.raises(Violation) as caught:
        receiving.accept(7)
    assert caught.value.text == "A data packet has 7 bytes and its stream only 6 bytes of credit."


def test_data_after_the_end_is_a_violation_but_a_second_end_is_not() -> None:
    receiving = Receiving(10)
    receiving.accept(0)
    receiving.accept(0)
    with pytest.raises(Violation) as caught:
        receiving.accept(1)
    assert caught.value.text == "A stream carries data after its end. Send an empty data packet last."


def test_our_own_overdraft_is_a_bug_and_not_sent() -> None:
    with pytest.raises(AssertionError):
        Sending(3).spend(4)


@given(st.lists(st.integers(1, 1000), max_size=30))
def test_credit_is_never_lost_or_made(grants: list[int]) -> None:
    receiving, sending = Receiving(), Sending()
    for size in grants:
        receiving.grant(size)
        sending.grant(size)
        sending.spend(size // 2)
        receiving.accept(size // 2) if size // 2 else None
    assert receiving.credit == sending.credit == sum(size - size // 2 for size in grants)
