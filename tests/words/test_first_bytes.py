"""gatebus.protocol.streams: the first bytes of a stream, which go with its open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.bounds import RETAINED_BYTES
from gatebus.protocol.breaches import RemoteFault
from gatebus.protocol.streams import Outflow


def pieces(out: Outflow) -> list[bytes]:
    found = []
    while (piece := out.take()) is not None:
        found.append(bytes(piece))
    return found


def opened(data: bytes, most: int) -> tuple[Outflow, bytes]:
    out = Outflow()
    out.append(data)
    return out, out.first(most)


def test_what_went_with_the_open_counts_as_sent_and_is_not_sent_again() -> None:
    out, first = opened(b"abcdef", 4)
    assert (first, out.sent, out.taken, out.held) == (b"abcd", 4, 0, 6)
    assert out.take() is None, "nothing more goes before the accept"
    out.begin(4, 10)
    assert (pieces(out), out.held) == ([b"ef"], 2)


def test_what_went_with_an_open_that_was_lost_goes_with_the_next_one() -> None:
    out, first = opened(b"abcdef", 4)
    assert out.first(6) == first + b"ef"
    assert out.first(0) == b""
    out.begin(0, 10)
    assert b"".join(pieces(out)) == b"abcdef"


def test_a_receiver_that_took_less_gets_the_rest_and_then_the_end_again() -> None:
    out, _first = opened(b"abcd", 4)
    out.end()
    out.end_sent = True
    out.begin(1, 10)
    assert not out.end_is_due()
    assert pieces(out) == [b"bcd"]
    assert out.end_is_due()


def test_a_receiver_cannot_have_more_than_went_with_the_open() -> None:
    out, _first = opened(b"abcd", 2)
    with pytest.raises(RemoteFault, match="cannot go on there"):
        out.begin(3, 10)


@given(st.lists(st.binary(max_size=9), max_size=9), st.lists(st.integers(0, 40), min_size=1, max_size=3), st.data())
def test_however_much_goes_first_and_is_taken_every_byte_goes_once(
    written: list[bytes], opens: list[int], data: st.DataObject
) -> None:
    out, whole = Outflow(), b"".join(written)
    for piece in written:
        out.append(piece)
    for most in opens:
        first = out.first(most)
        assert first == whole[:most]
    taken = data.draw(st.integers(0, len(first)))
    out.begin(taken, RETAINED_BYTES)
    assert whole[:taken] + b"".join(pieces(out)) == whole
    out.credited(len(whole), 1)
    assert out.held == 0
