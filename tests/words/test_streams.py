"""gatebus.protocol.streams: what is counted, kept, sent again and credited."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.bounds import DATA_BYTES, RETAINED_BYTES
from gatebus.protocol import LocalProtocolError
from gatebus.protocol.breaches import RemoteFault
from gatebus.protocol.streams import Inflow, Outflow


def writing(window: int, bound: int = RETAINED_BYTES) -> Outflow:
    out = Outflow(bound=bound)
    out.begin(0, window)
    return out


def pieces(out: Outflow) -> list[bytes]:
    found = []
    while (piece := out.take()) is not None:
        found.append(piece)
    return found


def test_nothing_is_sent_before_the_receiver_has_said_its_window() -> None:
    out = Outflow()
    out.append(b"x")
    assert out.take() is None
    out.begin(0, 1)
    assert out.take() == b"x"


def test_no_more_is_sent_than_the_window_and_credit_lets_more_go() -> None:
    out = writing(4)
    out.append(b"abcdef")
    assert pieces(out) == [b"abcd"]
    out.credited(1, 4)
    assert pieces(out) == [b"e"]
    out.credited(5, 4)
    assert pieces(out) == [b"f"]


def test_small_pieces_leave_as_one_message_and_large_ones_as_several() -> None:
    out = writing(RETAINED_BYTES)
    for piece in (b"a", b"b", b"c"):
        out.append(piece)
    out.append(bytes(DATA_BYTES + 1))
    assert pieces(out) == [b"abc", bytes(DATA_BYTES), bytes(1)]


def test_bytes_that_come_one_by_one_cost_little_more_than_themselves() -> None:
    """Waiting for the receiver, and sent one by one: neither may cost an object for each."""
    count = 1 << 14
    tracemalloc.start()
    waiting, sent = writing(0), writing(RETAINED_BYTES)
    for number in range(count):
        byte = bytes((number & 0xFF,))
        waiting.append(byte)
        sent.append(byte)
        assert sent.take() == byte
    held, _most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 4 * 2 * count
    sent.resume(0, RETAINED_BYTES)
    assert b"".join(pieces(sent)) == bytes(range(256)) * (count >> 8)


def test_what_was_handed_out_does_not_change_when_more_comes() -> None:
    out = writing(RETAINED_BYTES)
    taken = []
    for letter in (b"a", b"b", b"c"):
        out.append(letter)
        out.append(letter)
        taken.append(out.take())
    assert taken == [b"aa", b"bb", b"cc"]
    out.resume(1, RETAINED_BYTES)
    again = out.take()
    out.append(b"d")
    assert again == b"abbcc"
    out.credited(4, RETAINED_BYTES)
    out.resume(5, RETAINED_BYTES)
    assert pieces(out) == [b"cd"]


@given(
    st.lists(st.tuples(st.sampled_from(["append", "take", "credit", "resume"]), st.integers(0, 3_000)), max_size=60),
)
def test_joined_or_not_a_stream_carries_what_was_written(steps: list[tuple[str, int]]) -> None:
    out, written, seen = Outflow(), bytearray(), bytearray()
    out.begin(0, 2_000)
    for step, number in steps:
        if step == "append":
            piece = bytes((len(written) + at) % 251 for at in range(min(number, out.room)))
            out.append(piece)
            written += piece
        elif step == "take" and (piece := out.take()) is not None:
            seen[out.sent - len(piece) : out.sent] = piece
        elif step == "credit":
            out.credited(min(out.sent, out.taken + number), 2_000)
        elif step == "resume":
            out.resume(min(out.sent, out.taken + number), 2_000)
    assert seen == written[: len(seen)]
    assert out.owed == written[out.taken :]
    assert out.held == len(written) - out.taken


def test_what_is_not_taken_is_kept_and_what_is_taken_is_not() -> None:
    out = writing(100, bound=100)
    out.append(bytes(100))
    assert out.room == 0
    pieces(out)
    assert (out.held, out.room) == (100, 0)
    out.credited(60, 40)
    assert (out.held, out.room) == (40, 60)
    assert out.holds(60)
    assert out.holds(100)
    assert not out.holds(59)
    assert not out.holds(101)


def test_more_than_there_is_room_for_is_our_own_bug() -> None:
    out = writing(10, bound=10)
    with pytest.raises(LocalProtocolError) as caught:
        out.append(bytes(11))
    assert caught.value.text == "More bytes were given to a stream than it has room for."


def test_a_stream_that_has_ended_takes_no_more() -> None:
    out = writing(10)
    out.append(b"x")
    out.end(3)
    out.end(4)
    assert (out.room, out.note) == (0, 3)
    with pytest.raises(LocalProtocolError) as caught:
        out.append(b"y")
    assert caught.value.text == "A stream is written to after its end."


def test_the_end_is_due_when_everything_is_sent_and_only_then() -> None:
    out = writing(1)
    out.append(b"ab")
    out.end()
    assert pieces(out) == [b"a"]
    assert not out.end_is_due()
    out.credited(1, 1)
    assert pieces(out) == [b"b"]
    assert out.end_is_due()
    out.end_sent = True
    assert not out.end_is_due()
    assert not out.over
    out.credited(2, 1)
    assert out.over


def test_after_a_stop_nothing_is_kept_sent_or_refused() -> None:
    out = writing(100)
    out.append(b"abc")
    out.stop()
    out.append(b"def")
    assert (out.take(), out.held, out.room, out.over) == (None, 0, 0, True)


def test_credit_for_bytes_that_were_never_sent_is_a_fault() -> None:
    out = writing(10)
    out.append(b"abc")
    out.take()
    with pytest.raises(RemoteFault) as caught:
        out.credited(4, 10)
    assert caught.value.text == "Credit says that more was taken than was sent."


def test_old_credit_changes_nothing() -> None:
    out = writing(10)
    out.append(bytes(10))
    out.take()
    out.credited(8, 10)
    edge, held = out.edge, out.held
    for taken, window in ((0, 0), (8, 0), (7, 11), (8, 10), (3, 5)):
        out.credited(taken, window)
        assert (out.taken, out.edge, out.held) == (8, edge, held)


def test_a_window_is_never_larger_than_what_we_keep() -> None:
    out = writing(1 << 31, bound=10)
    assert out.edge == 10
    out.credited(0, 1 << 31)
    assert out.edge == 10


def test_an_upload_may_begin_where_the_receiver_is_already() -> None:
    out = Outflow()
    out.begin(1000, 5)
    out.append(b"abcdef")
    assert pieces(out) == [b"abcde"]
    out.credited(1005, 5)
    assert pieces(out) == [b"f"]


def test_a_receiver_that_claims_bytes_we_hold_unsent_is_wrong() -> None:
    out = Outflow()
    out.append(b"abc")
    with pytest.raises(RemoteFault) as caught:
        out.begin(1, 10)
    assert caught.value.text == "A stream cannot go on there: those bytes are gone, or were never sent."
    assert caught.value.code == "bad-request"


@given(st.lists(st.binary(max_size=9), max_size=9), st.data())
def test_a_stream_that_is_resumed_anywhere_it_can_be_loses_and_doubles_nothing(
    written: list[bytes], data: st.DataObject
) -> None:
    whole, out, received, taken = b"".join(written), Outflow(), b"", 0
    waiting = list(written)
    for _ in range(40):
        match data.draw(st.sampled_from(("write", "take", "credit", "resume"))):
            case "write" if waiting:
                out.append(waiting.pop(0))
            case "take":
                piece = out.take() or b""
                received += piece[: data.draw(st.integers(0, len(piece))) if data.draw(st.booleans()) else None]
                if len(received) < out.sent:  # the link broke in the middle of a message
                    out.resume(len(received), data.draw(st.integers(0, 20)))
            case "credit":
                taken = data.draw(st.integers(taken, len(received)))
                out.credited(taken, data.draw(st.integers(0, 20)))
            case "resume":
                taken = len(received)
                out.resume(taken, data.draw(st.integers(0, 20)))
    while waiting:
        out.append(waiting.pop(0))
    out.resume(len(received), len(whole))
    received += b"".join(pieces(out))
    assert received == whole
    out.credited(len(whole), 0)
    assert out.held == 0


def reading(window: int) -> Inflow:
    into = Inflow()
    into.begin(0, window)
    return into


def test_what_comes_is_within_the_window_or_a_fault() -> None:
    into = reading(4)
    into.arrived(3)
    into.arrived(1)
    with pytest.raises(RemoteFault) as caught:
        into.arrived(1)
    assert caught.value.text == "More data came than the window allows. Wait for credit."
    assert into.received == 4


def test_credit_is_due_a_quarter_window_after_it_was_last_given() -> None:
    into = reading(100)
    into.arrived(100)
    into.consume(24)
    assert not into.credit_is_due()
    into.consume(1)
    assert into.credit_is_due()
    assert into.credit() == (25, 100)
    assert not into.credit_is_due()
    into.arrived(25)
    with pytest.raises(RemoteFault):
        into.arrived(1)


def test_credit_is_due_a_quarter_of_what_the_sender_keeps_where_that_is_less() -> None:
    into = reading(100)
    into.kept = 40
    into.arrived(40)
    into.consume(9)
    assert not into.credit_is_due()
    into.consume(1)
    assert into.credit_is_due()
    assert into.credit() == (10, 100)
    assert not into.credit_is_due()
    into.kept = 1000  # more than a window changes nothing
    into.consume(24)
    assert not into.credit_is_due()
    into.consume(1)
    assert into.credit_is_due()


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 2_000), st.integers(1, 50))
def test_whatever_the_window_and_what_is_kept_everything_comes(window: int, kept: int, size: int, bite: int) -> None:
    out, into, left, come = Outflow(0, kept), reading(window), bytes(size), 0
    out.begin(0, window)
    into.kept = kept
    while come < size:
        before = (len(left), come, into.edge)
        piece = left[: min(out.room, bite)]
        out.append(piece)
        left = left[len(piece) :]
        while (sent := out.take()) is not None:
            into.arrived(len(sent))
            into.consume(len(sent))
            come += len(sent)
        if into.credit_is_due():
            out.credited(*into.credit())
        assert (len(left), come, into.edge) != before, "both wait"


def test_no_credit_is_due_for_a_stream_that_nobody_writes_or_reads_any_more() -> None:
    for stop in (True, False):
        into = reading(4)
        into.arrived(4)
        if stop:
            into.stop()
        else:
            into.end(0)
            into.consume(4)
        assert not into.credit_is_due()


def test_what_comes_after_a_stop_is_counted_and_consumed_at_once() -> None:
    into = reading(4)
    into.stop()
    into.arrived(4)
    assert into.consumed == 4
    with pytest.raises(RemoteFault):
        into.arrived(1)


def test_consuming_more_than_has_come_is_our_own_bug() -> None:
    into = reading(4)
    into.arrived(2)
    with pytest.raises(LocalProtocolError) as caught:
        into.consume(3)
    assert caught.value.text == "More bytes were consumed than have come."


def test_after_its_end_a_stream_has_no_data_and_no_second_end() -> None:
    into = reading(4)
    into.end(9)
    for late in (lambda: into.arrived(1), lambda: into.arrived(0)):
        with pytest.raises(RemoteFault) as caught:
            late()
        assert caught.value.text == "Data came after the end of its stream."
    with pytest.raises(RemoteFault) as caught:
        into.end(0)
    assert caught.value.text == "A stream ended twice."
    assert into.finished == 9


def test_on_a_new_link_the_end_may_be_said_again_but_no_data_with_it() -> None:
    into = reading(4)
    into.end(9)
    into.resume()
    with pytest.raises(RemoteFault):
        into.arrived(1)
    into.end(9)
    assert into.finished == 9


def test_what_came_is_ours_on_a_new_link_though_nobody_has_read_it() -> None:
    into = reading(10)
    into.arrived(7)
    into.consume(2)
    assert into.resume() == (7, 5)
    into.arrived(5)
    with pytest.raises(RemoteFault):
        into.arrived(1)


STEPS = st.sampled_from(("write", "send", "read", "credit", "lose"))


@given(st.lists(st.tuples(STEPS, st.integers(0, 30)), max_size=60))
def test_a_writer_and_a_reader_never_break_each_others_rules(steps: list[tuple[str, int]]) -> None:
    out, into, under_way, came, written = Outflow(bound=64), reading(32), b"", b"", 0
    out.begin(0, 32)
    for what, size in steps:
        if what == "write":
            data = bytes((written + at) & 255 for at in range(min(size, out.room)))
            written += len(data)
            out.append(data)
        elif what == "send":
            under_way += out.take() or b""
        elif what == "read":
            into.arrived(len(under_way))
            came, under_way = came + under_way, b""
            into.consume(min(size, into.received - into.consumed))
        elif what == "credit" and into.credit_is_due():
            out.credited(*into.credit())
        elif what == "lose":
            under_way = b""
            out.resume(*into.resume())
    under_way += out.take() or b""
    into.arrived(len(under_way))
    came += under_way
    assert came == bytes(at & 255 for at in range(len(came)))
    assert out.held <= 64
