"""What is kept of streams: it comes back as it was, and nothing that cannot be is believed."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.faults import StateRefused
from gatebus.host.lives.streamwords import AT_THE_DOOR, StreamKept, streams_bytes, streams_untrusted

GOOD = StreamKept(
    0, b"n" * 16, "key:x", False, False, 10, 13, b"owed", None, False, 20, 18, 500, None, False, b"ab", 10, 100
)


@st.composite
def kept(draw: st.DrawFn) -> StreamKept:
    owed, pending = draw(st.binary(max_size=50)), draw(st.binary(max_size=50))
    taken, consumed = draw(st.integers(0, 2**50)), draw(st.integers(0, 2**50))
    given_before = draw(st.integers(0, len(pending)))
    received = consumed + len(pending) - given_before
    notes = st.none() | st.integers(-(2**31), 2**31 - 1)
    return StreamKept(
        draw(st.integers(AT_THE_DOOR, 31)), draw(st.binary(min_size=16, max_size=16)), draw(st.text(max_size=20)),
        draw(st.booleans()), draw(st.booleans()), taken, taken + draw(st.integers(0, len(owed))), owed, draw(notes),
        not owed and draw(st.booleans()), received, consumed, received + draw(st.integers(0, 2**31 - 1)), draw(notes),
        draw(st.booleans()), pending, draw(st.integers(0, taken)), draw(st.integers(len(owed), 1 << 20)),
    )  # fmt: skip


@given(st.lists(kept(), max_size=4, unique_by=lambda each: each.name))
def test_what_was_kept_comes_back(streams: list[StreamKept]) -> None:
    streams = [replace(each, number=AT_THE_DOOR) for each in streams]
    assert streams_untrusted(streams_bytes(streams)) == streams


def test_nothing_is_no_stream() -> None:
    assert streams_untrusted(b"") == []
    assert streams_untrusted(streams_bytes([])) == []


def test_what_a_copy_was_given_is_what_is_pending_and_did_not_come() -> None:
    assert GOOD.given == 0
    assert replace(GOOD, received=19).given == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"number": -2}, {"number": 32}, {"name": b"short"}, {"owner": "x" * 129}, {"name": b"", "call": True},
        {"taken": -1}, {"sent": 9}, {"sent": 15}, {"kept": b"x" * 101}, {"bound": 3}, {"bound": 1 << 21},
        {"note": 1 << 31}, {"note": -(1 << 31) - 1}, {"unread": True}, {"received": 17}, {"received": 1 << 53},
        {"consumed": 21}, {"edge": 19}, {"edge": 20 + (1 << 31)}, {"finished": 1 << 40}, {"told": 15}, {"told": -1},
    ],
)  # fmt: skip
def test_counts_that_do_not_fit_each_other_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(StateRefused, match="What the snapshot says of its streams is malformed"):
        streams_untrusted(streams_bytes([replace(GOOD, **changed)]))


def test_two_streams_of_one_name_or_number_are_refused() -> None:
    for other in (replace(GOOD, number=1), replace(GOOD, name=b"m" * 16)):
        with pytest.raises(StateRefused):
            streams_untrusted(streams_bytes([GOOD, other]))
    both = [GOOD, replace(GOOD, number=1, name=b"m" * 16)]
    assert streams_untrusted(streams_bytes(both)) == both


@pytest.mark.parametrize("place", range(18))
def test_a_value_of_another_type_is_refused(place: int) -> None:
    row = list(astuple(GOOD))
    row[place] = [1] if row[place] is None else None if not isinstance(row[place], bool) else 1
    if place in (8, 13):
        row[place] = "note"
    with pytest.raises(StateRefused):
        streams_untrusted(cbor2.dumps([row]))


@given(st.integers(0, len(streams_bytes([GOOD])) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_something_that_can_be(at: int, bits: int) -> None:
    data = bytearray(streams_bytes([GOOD]))
    data[at] ^= bits
    try:
        streams = streams_untrusted(bytes(data))
    except StateRefused:
        return
    assert streams_untrusted(streams_bytes(streams)) == streams


@given(st.binary(max_size=200))
def test_whatever_comes_is_streams_or_refused(data: bytes) -> None:
    try:
        streams = streams_untrusted(data)
    except StateRefused:
        return
    assert streams_untrusted(streams_bytes(streams)) == streams
