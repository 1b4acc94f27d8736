"""gatebus.protocol.strictcbor: what the protocol allows of CBOR, against the library that writes it."""

from __future__ import annotations

import math
import struct

import cbor2
import pytest
from buswords import depth, values
from hypothesis import given
from hypothesis import strategies as st

from gatebus.bounds import CBOR_DEPTH, CBOR_ITEMS, CBOR_ITEMS_IN_ALL
from gatebus.protocol.breaches import RemoteFault
from gatebus.protocol.strictcbor import decode_untrusted


def fault(data: bytes) -> str:
    with pytest.raises(RemoteFault) as caught:
        decode_untrusted(data)
    return caught.value.text


def same(a: object, b: object) -> bool:
    """Equal, and of the same types: 1, 1.0 and True are three things."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return a == b


@given(values)
def test_what_the_library_writes_is_read(value: object) -> None:
    assert same(decode_untrusted(cbor2.dumps(value)), value)


@given(values.map(cbor2.dumps), st.data())
def test_what_is_read_of_broken_bytes_the_library_reads_alike(data: bytes, drawn: st.DataObject) -> None:
    changed = bytearray(data)
    for _ in range(drawn.draw(st.integers(1, 3))):
        at = drawn.draw(st.integers(0, len(changed) - 1))
        changed[at] ^= 1 << drawn.draw(st.integers(0, 7))
    try:
        value = decode_untrusted(bytes(changed))
    except RemoteFault:
        return
    assert same(cbor2.loads(bytes(changed)), value)


@given(values)
def test_no_part_of_a_value_is_a_value(value: object) -> None:
    data = cbor2.dumps(value)
    for size in range(len(data)):
        assert fault(data[:size]) == "A message ends in the middle of a value."
    assert "bytes behind its end" in fault(data + b"\0")


@pytest.mark.parametrize("number", [0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1])
def test_numbers_have_one_form(number: int) -> None:
    for major, value in ((0, number), (1, ~number)):
        shortest = cbor2.dumps(value)
        assert decode_untrusted(shortest) == value
        for low, layout in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
            size = struct.calcsize(layout)
            if size > len(shortest) - 1:
                longer = bytes([major << 5 | low]) + number.to_bytes(size, "big")
                assert fault(longer) == "A number or length is not in its shortest form."


@pytest.mark.parametrize("data", ["5800", "7817" + "61" * 23, "980100", "b80161610000"])
def test_lengths_have_one_form(data: str) -> None:
    assert fault(bytes.fromhex(data)) == "A number or length is not in its shortest form."


@pytest.mark.parametrize("data", ["5f4161ff", "7f6161ff", "9f00ff", "bf616100ff", "1c", "3d", "5e", "ff"])
def test_lengths_are_definite(data: str) -> None:
    assert "indefinite" in fault(bytes.fromhex(data)) or "simple value" in fault(bytes.fromhex(data))


@pytest.mark.parametrize("data", ["c074323031332d30332d3231", "c249010000000000000000", "d8234161", "d9d9f700"])
def test_tags_are_not_spoken(data: str) -> None:
    assert fault(bytes.fromhex(data)) == "A message has a CBOR tag. This protocol uses none."


@pytest.mark.parametrize("data", ["e0", "f0", "f3", "f7", "f818", "f8ff"])
def test_simple_values_are_false_true_and_null(data: str) -> None:
    assert fault(bytes.fromhex(data)) == "A message has a simple value other than false, true and null."


@pytest.mark.parametrize(
    ("data", "number"), [("f93c00", 1.0), ("f90001", 2.0**-24), ("fa47c35000", 1e5), ("fb3ff199999999999a", 1.1)]
)
def test_floats_of_any_width_are_read(data: str, number: float) -> None:
    assert decode_untrusted(bytes.fromhex(data)) == number


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_numbers_are_finite(number: float) -> None:
    for layout, first in ((">e", 0xF9), (">f", 0xFA), (">d", 0xFB)):
        text = "A message has a number that is infinite or not a number."
        assert fault(bytes([first]) + struct.pack(layout, number)) == text


@pytest.mark.parametrize("data", ["a10001", "a1f500", "a1416100", "a180f6", "a2616100616101"])
def test_keys_are_texts_each_once(data: str) -> None:
    assert fault(bytes.fromhex(data)) == "The keys of a map must be texts, each once."


@pytest.mark.parametrize("data", ["61ff", "62c080", "63eda080", "64f4908080"])
def test_texts_are_utf_8(data: str) -> None:
    assert fault(bytes.fromhex(data)) == "A text in a message is not UTF-8."


@pytest.mark.parametrize("first", [b"\x81", b"\xa1\x60"])
def test_nesting_ends_at_its_bound(first: bytes) -> None:
    assert depth(decode_untrusted(first * CBOR_DEPTH + b"\0")) == CBOR_DEPTH
    assert fault(first * (CBOR_DEPTH + 1) + b"\0") == "A message is nested deeper than 8 levels."
    assert fault(first * 60_000 + b"\0") == "A message is nested deeper than 8 levels."


def test_the_number_of_items_ends_at_its_bound() -> None:
    assert decode_untrusted(cbor2.dumps([0] * CBOR_ITEMS)) == [0] * CBOR_ITEMS
    text = "A map or array in a message has more than 1024 items."
    assert fault(cbor2.dumps([0] * (CBOR_ITEMS + 1))) == text
    assert fault(cbor2.dumps({str(number): 0 for number in range(CBOR_ITEMS + 1)})) == text
    assert fault(bytes.fromhex("9bffffffffffffffff")) == text
    assert fault(bytes.fromhex("bbffffffffffffffff")) == text


def test_the_number_of_values_in_all_ends_at_its_bound() -> None:
    rows = CBOR_ITEMS_IN_ALL // 513
    assert len(cbor2.dumps(decode_untrusted(cbor2.dumps([[0] * 512] * rows)))) > 512 * rows
    assert fault(cbor2.dumps([[0] * 512] * (rows + 1))) == "A message has more than 8192 values."


def test_a_length_beyond_the_message_costs_nothing() -> None:
    assert fault(bytes.fromhex("5bffffffffffffffff")) == "A message ends in the middle of a value."
