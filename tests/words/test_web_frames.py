"""The usual websocket frame, against `websockets`' own encoder; cut anywhere, with anything behind it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from gatebus.web.frames import (
    HEAD_MOST,
    Scratch,
    binary_head,
    masked_binary,
    measure_untrusted,
    take_masked_untrusted,
    take_plain_untrusted,
)

MOST = 70_000
SIZES = (0, 1, 125, 126, 127, 4095, 4096, 65_535, 65_536, MOST)
PAYLOADS = st.one_of(st.binary(max_size=200), st.sampled_from(SIZES).map(lambda size: bytes([size % 256]) * size))


def scratch_with(data: bytes) -> Scratch:
    scratch = Scratch(len(data) + 10)
    scratch.view[: len(data)] = data
    return scratch


def framed(payload: bytes, *, mask: bool, kind: Opcode = Opcode.BINARY, fin: bool = True) -> bytes:
    return Frame(kind, payload, fin).serialize(mask=mask)


def take(data: bytes, *, mask: bool, position: int = 0, end: int | None = None) -> tuple[list[bytes], int]:
    taking = take_masked_untrusted if mask else take_plain_untrusted
    return taking(scratch_with(data), position, len(data) if end is None else end, MOST)


@given(st.lists(PAYLOADS, max_size=5), st.booleans())
def test_whole_frames_are_taken_in_order(payloads: list[bytes], mask: bool) -> None:
    data = b"".join(framed(payload, mask=mask) for payload in payloads)
    assert take(data, mask=mask) == (payloads, len(data))


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_a_frame_that_is_not_whole_is_left_where_it_is(size: int, mask: bool) -> None:
    first, second = framed(b"first", mask=mask), framed(bytes(size), mask=mask)
    for cut in {0, 1, 2, 3, 4, 5, 6, 9, 10, 13, 14, len(second) - 1}:
        if cut < len(second):
            assert take(first + second[:cut], mask=mask) == ([b"first"], len(first))


@pytest.mark.parametrize("mask", [True, False])
def test_what_lies_behind_the_end_is_never_read(mask: bool) -> None:
    data = framed(b"old", mask=mask)
    assert take(data, mask=mask, end=len(data) - 1) == ([], 0)
    assert take(data, mask=mask, end=0) == ([], 0)


@pytest.mark.parametrize("mask", [True, False])
def test_taking_begins_in_the_middle(mask: bool) -> None:
    data = b"xyz" + framed(b"one", mask=mask)
    assert take(data, mask=mask, position=3) == ([b"one"], len(data))


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize(
    "frame",
    [
        (Opcode.TEXT, b"text", True),
        (Opcode.BINARY, b"half", False),
        (Opcode.CONT, b"half", True),
        (Opcode.PING, b"", True),
        (Opcode.PONG, b"x", True),
        (Opcode.CLOSE, b"\x03\xe8", True),
    ],
)
def test_every_other_frame_is_left_to_the_library(frame: tuple[Opcode, bytes, bool], mask: bool) -> None:
    kind, payload, fin = frame
    usual = framed(b"usual", mask=mask)
    assert take(usual + framed(payload, mask=mask, kind=kind, fin=fin), mask=mask) == ([b"usual"], len(usual))


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("bit", [0x10, 0x20, 0x40])
def test_reserved_bits_are_left_to_the_library(bit: int, mask: bool) -> None:
    frame = bytearray(framed(b"x", mask=mask))
    frame[0] |= bit
    assert take(bytes(frame), mask=mask) == ([], 0)


@pytest.mark.parametrize("mask", [True, False])
def test_wrong_masking_and_too_much_are_left_to_the_library(mask: bool) -> None:
    assert take(framed(b"wrong side", mask=not mask), mask=mask) == ([], 0)
    assert take(framed(bytes(MOST + 1), mask=mask), mask=mask) == ([], 0)
    huge = bytes((0x82, 0xFF if mask else 0x7F)) + (1 << 63).to_bytes(8, "big") + bytes(100)
    assert take(huge, mask=mask) == ([], 0)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_taken_or_left(data: bytes, mask: bool) -> None:
    messages, position = take(data, mask=mask)
    assert sum(map(len, messages)) <= position <= len(data)
    if position < len(data):
        assert take(data, mask=mask, position=position) == ([], position)


@given(PAYLOADS, st.booleans(), st.integers(0, HEAD_MOST))
def test_a_head_is_measured_when_it_is_whole(payload: bytes, mask: bool, cut: int) -> None:
    frame = framed(payload, mask=mask)
    head = len(frame) - len(payload)
    measured = measure_untrusted(frame[:cut])
    lengths_end = head - (4 if mask else 0)
    assert measured == ((head, len(payload)) if min(cut, len(frame)) >= lengths_end else None)


@given(PAYLOADS)
def test_frames_are_written_as_the_library_writes_them(payload: bytes) -> None:
    assert binary_head(len(payload)) + payload == framed(payload, mask=False)
    written = masked_binary(payload, b"\x01\x02\x03\x04")
    assert take(written, mask=True) == ([payload], len(written))
    assert len(written) == len(framed(payload, mask=True))
