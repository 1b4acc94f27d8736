"""gatebus.protocol.messages and reading: every message survives the wire, and nothing else is a message."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import cbor2
import pycddl
import pytest
from buswords import MESSAGES, channels, counts, messages, values, windows
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebus.bounds import CHANNEL_MAX, COUNT_MAX, DATA_BYTES, ERROR_TEXT, MESSAGE_BYTES, WINDOW_MAX
from gatebus.protocol.breaches import RemoteFault
from gatebus.protocol.messages import (
    KINDS,
    Accept,
    ClientHello,
    Credit,
    Data,
    Error,
    HostHello,
    Kind,
    Message,
    Open,
    Result,
    credit_bytes,
    data_head,
    data_prefix,
    encode,
)
from gatebus.protocol.reading import parse_untrusted

PAGE = Path(__file__).parents[2] / "gatebus" / "protocol" / "PROTOCOL.md"
(SPECIFICATION,) = re.findall(r"```cddl\n(.*?)```", PAGE.read_text(), re.S)


@cache
def rule(kind: Kind) -> pycddl.Schema:
    """The page's CDDL with one kind of message as its root: the validator panics when it tries several arrays."""
    name = kind.name.lower().replace("_", "-")
    rest = SPECIFICATION[SPECIFICATION.index("\n\n") :]
    return pycddl.Schema(f"root = {name}\n{rest}")


def fault(data: bytes) -> RemoteFault:
    with pytest.raises(RemoteFault) as caught:
        parse_untrusted(data)
    return caught.value


@given(messages)
def test_a_message_survives_the_wire(message: Message) -> None:
    read = parse_untrusted(encode(message))
    assert type(read) is type(message)
    assert read == message


@settings(max_examples=30)
@given(st.data())
@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: str(kind.__name__))
def test_every_message_that_we_write_is_what_the_page_says(kind: type, data: st.DataObject) -> None:
    rule(KINDS[kind]).validate_cbor(encode(data.draw(MESSAGES[kind])))


def test_the_page_lists_every_kind_with_its_number() -> None:
    listed = SPECIFICATION[SPECIFICATION.index("=") + 1 : SPECIFICATION.index("\n\n")]
    names = [name.strip() for name in listed.split("/")]
    assert names == [kind.name.lower().replace("_", "-") for kind in Kind]
    for name, kind in zip(names, Kind, strict=True):
        assert re.search(rf"^{name} += \[{int(kind)}, ", SPECIFICATION, re.M)


@given(values)
def test_the_page_allows_any_value_in_parameters(value: object) -> None:
    rule(Kind.OPEN).validate_cbor(encode(Open(1, "call", {"x": value}, 0)))


@pytest.mark.parametrize(
    "items",
    [[5], [6, 0, b""], [8, 1, "x"], [10, 1, 3, b""], [2, bytes(63)], [4, 1, 2, {}, 0], [12, -1, {"code": "a"}]],
)
def test_what_the_page_does_not_allow_we_do_not_read(items: list[int]) -> None:
    with pytest.raises(pycddl.ValidationError):
        rule(Kind(items[0])).validate_cbor(cbor2.dumps(items))
    fault(cbor2.dumps(items))


@given(channels, st.integers(0, DATA_BYTES), st.sampled_from((b"", b"x", bytes(24), bytes(300))))
def test_data_put_together_by_hand_is_what_the_library_writes(channel: int, size: int, data: bytes) -> None:
    by_hand = data_head(data_prefix(channel), len(data)) + data
    assert by_hand == cbor2.dumps([6, channel, data])
    assert parse_untrusted(by_hand) == Data(channel, data)
    assert data_head(data_prefix(channel), size) == cbor2.dumps([6, channel, bytes(size)])[: -size or None]


@given(channels, counts, windows)
def test_credit_put_together_by_hand_is_what_the_library_writes(channel: int, taken: int, window: int) -> None:
    assert credit_bytes(channel, taken, window) == cbor2.dumps([7, channel, taken, window])
    assert parse_untrusted(credit_bytes(channel, taken, window)) == Credit(channel, taken, window)


@pytest.mark.parametrize("size", [0, 1, 23, 24, 255, 256, 65_535, 65_536])
def test_data_of_any_size_up_to_the_largest_is_read(size: int) -> None:
    for channel in (1, 23, 24, 255, 256, 65_535, 65_536, CHANNEL_MAX):
        assert parse_untrusted(cbor2.dumps([6, channel, bytes(size)])) == Data(channel, bytes(size))


def test_more_data_than_a_message_carries_is_refused() -> None:
    text = "A data message has another size than it says, or carries more than 65536 bytes."
    assert fault(cbor2.dumps([6, 1, bytes(DATA_BYTES + 1)])).text == text
    assert fault(cbor2.dumps([6, 1, b"abc"]) + b"d").text == text
    assert fault(cbor2.dumps([6, 1, b"abc"])[:-1]).text == text


@pytest.mark.parametrize("channel", [0, CHANNEL_MAX + 1])
def test_a_channel_out_of_range_is_refused_by_every_message_of_a_channel(channel: int) -> None:
    assert fault(cbor2.dumps([6, channel, b""])).text == "The number of a channel is between 1 and 4294967295."
    for items in ([4, channel, "x", {}, 0], [5, channel, {}, 0], [7, channel, 0, 0], [8, channel, 0], [9, channel]):
        assert fault(cbor2.dumps(items)).text == "A number is missing or not between 1 and 4294967295."
    for items in ([10, channel, 1, b""], [11, channel, {}], [13, channel]):
        assert fault(cbor2.dumps(items)).text == "A number is missing or not between 1 and 4294967295."


@given(st.sampled_from((6, 7)), st.lists(st.sampled_from((0, 1, 23, 24, 25, 26, 27, 255, 0x40, 0x58, 0x59))))
def test_the_short_way_and_the_long_way_read_the_same(kind: int, rest: list[int]) -> None:
    """Data and credit are read by position; cbor2 and the long way's rules say what that must come to."""
    data = bytes([0x80 + (3 if kind == 6 else 4), kind, *rest])
    try:
        items = cbor2.loads(data)
        expected = items if cbor2.dumps(items) == data and good(items) else None
    except (cbor2.CBORDecodeError, EOFError):
        expected = None
    try:
        read: list[object] | None = [kind, *parse_untrusted(data)]
    except RemoteFault:
        read = None
    assert read == expected


def good(items: list[Any]) -> bool:
    whole = [type(item) is int for item in items]
    if items[0] == 6:
        return whole == [True, True, False] and type(items[2]) is bytes and 0 < items[1] <= CHANNEL_MAX
    return all(whole) and 0 < items[1] <= CHANNEL_MAX and 0 <= items[2] <= COUNT_MAX and 0 <= items[3] <= WINDOW_MAX


HELLO: dict[str, object] = {"versions": [1], "agent": "a", "features": [], "challenge": bytes(32), "key": bytes(32)}
HOST: dict[str, object] = {
    "version": 1, "agent": "a", "features": [], "challenge": bytes(32), "key": bytes(32), "proof": bytes(64),
    "limits": {},
}  # fmt: skip
FAREWELL: dict[str, object] = {"code": "stopping", "text": "x", "within": 1}
# Every other type, and the right type with another size or range.
WRONG: tuple[object, ...] = (
    None, True, -1, 1.5, 1 << 54, "x" * 500, bytes(31), bytes(33), [], [[]], [None], {}, {"a": -1},
)  # fmt: skip
RIGHT_ANYWAY: dict[str, tuple[object, ...]] = {"features": ([],), "limits": ({},)}


@pytest.mark.parametrize(("kind", "fields"), [(0, HELLO), (1, HOST), (16, FAREWELL)])
def test_each_field_of_a_map_is_needed_and_has_one_type(kind: int, fields: dict[str, object]) -> None:
    assert parse_untrusted(cbor2.dumps([kind, fields]))
    for name in fields:
        for wrong in WRONG:
            if wrong not in RIGHT_ANYWAY.get(name, ()):
                fault(cbor2.dumps([kind, fields | {name: wrong}]))
        if (kind, name) != (0, "key"):
            fault(cbor2.dumps([kind, {other: value for other, value in fields.items() if other != name}]))


ITEMS: tuple[list[object], ...] = (
    [2, bytes(64)], [3, {"principal": "x"}], [4, 1, "x", {}, 0], [5, 1, {}, 0], [6, 1, b""], [7, 1, 0, 0], [8, 1, 0],
    [9, 1], [10, 1, 1, b""], [11, 1, {}], [12, 0, {"code": "x", "text": "y"}], [13, 1], [14, 0], [15, 0],
)  # fmt: skip
FITS: dict[int, tuple[object, ...]] = {4: ({"a": -1}, {}), 5: ({"a": -1}, {}), 6: (bytes(31), bytes(33)), 8: (-1,),
                                       10: (bytes(31), bytes(33)), 11: ({"a": -1}, {})}  # fmt: skip


@pytest.mark.parametrize("items", ITEMS, ids=lambda items: Kind(items[0]).name)
def test_each_item_of_a_message_is_needed_and_has_one_type(items: list[object]) -> None:
    assert parse_untrusted(cbor2.dumps(items))
    fault(cbor2.dumps(items[:-1]))
    fault(cbor2.dumps([*items, 0]))
    for at in range(len(items)):
        for wrong in WRONG:
            assert isinstance(items[0], int)
            if not any(wrong is fit or (type(wrong) is type(fit) and wrong == fit) for fit in FITS.get(items[0], ())):
                fault(cbor2.dumps([*items[:at], wrong, *items[at + 1 :]]))


def test_unknown_keys_of_a_hello_are_ignored_so_that_a_version_can_grow() -> None:
    read = parse_untrusted(cbor2.dumps([0, HELLO | {"colour": ["blue"]}]))
    assert read == ClientHello((1,), "a", (), bytes(32), bytes(32))


def test_a_client_without_a_key_names_none() -> None:
    assert b"key" not in encode(ClientHello((1,), "a", (), bytes(32)))
    assert parse_untrusted(encode(ClientHello((1,), "a", (), bytes(32)))) == ClientHello((1,), "a", (), bytes(32), None)


def test_an_error_carries_more_than_code_and_text_and_its_text_is_cut() -> None:
    read = parse_untrusted(encode(Error(1, "refused", "x" * 999, {"reason": "too-deep"})))
    assert read == Error(1, "refused", "x" * ERROR_TEXT, {"reason": "too-deep"})


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xa0", "A message is not a CBOR array."),
        (b"\x80", "A message is not a CBOR array."),
        (b"\x81\x18\x20", "A message has an unknown number."),
        (b"\x81\xf5", "A message has an unknown number."),
        (b"\x81\x09", "A message stop has not 2 items."),
        (b"\x82\x09\x01\x00", "A message has bytes behind its end. Send one CBOR array per websocket message."),
        (b"\x84\x07\x01\x00\x00\x00", "A message has bytes behind its end. Send one CBOR array per websocket message."),
        (b"\x83\x06", "A message ends in the middle of a value."),
        (b"\x84\x07\x01", "A number or length is missing, cut or not in its shortest form."),
    ],
)
def test_what_is_no_message_is_said_in_one_sentence(data: bytes, text: str) -> None:
    assert fault(data).text == text
    assert fault(data).code == "protocol"


def test_a_message_that_is_too_large_is_not_looked_at() -> None:
    caught = fault(encode(Result(1, {"x": bytes(MESSAGE_BYTES)})))
    assert (caught.code, caught.text) == ("too-large", "A message has more than 65600 bytes.")


@given(st.binary(max_size=80))
def test_any_bytes_are_a_message_or_a_fault(data: bytes) -> None:
    try:
        message = parse_untrusted(data)
    except RemoteFault:
        return
    assert parse_untrusted(encode(message)) == message


def test_every_kind_has_one_type() -> None:
    assert sorted(KINDS.values()) == list(Kind)
    assert set(KINDS) == set(MESSAGES)
    assert {Accept, HostHello} < set(KINDS)
