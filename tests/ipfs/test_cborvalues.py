"""Values of dag-cbor as the library reads them, and never deeper than anybody writes them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import dag_cbor
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import CID

from ipfs.caps import NESTED_MAX
from ipfs.cborvalues import NoCbor, decode_cbor_untrusted, linked_in_cbor_untrusted
from ipfs.cid import DAG_CBOR, IDENTITY, RAW, Cid, cid_of, decode_cid_untrusted
from ipfs.troubles import Malformed


def link_to(data: bytes) -> CID:
    """To what has 30 bytes by its name, or carries itself in it."""
    return CID.decode(bytes(cid_of(RAW, data) if len(data) > 9 else Cid(1, DAG_CBOR, IDENTITY, data)))


LEAVES = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.binary() | st.text() | st.floats(0, 1)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
LINKED = st.recursive(
    LEAVES | st.builds(link_to, st.binary()), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
HEADS = [b"\x81", b"\xa1\x60", b"\x82\x01", b"\xa2\x60\x01\x61a"]


@given(VALUES)
def test_shallow_values_are_read_as_the_library_reads_them(value: Any) -> None:
    assert decode_cbor_untrusted(dag_cbor.encode(value)) == value


@given(LINKED)
def test_links_are_where_the_library_has_them_and_in_their_order(value: Any) -> None:
    block = dag_cbor.encode(value)
    found = decode_cbor_untrusted(block)
    in_order: list[Cid] = []
    assert as_ours(dag_cbor.decode(block), in_order) == found
    assert linked_in_cbor_untrusted(block) == tuple(in_order)


def as_ours(value: Any, found: list[Cid]) -> Any:
    match value:
        case CID():
            found.append(decode_cid_untrusted(bytes(value))[0])
            return found[-1]
        case list():
            return [as_ours(each, found) for each in value]
        case dict():
            return {key: as_ours(each, found) for key, each in value.items()}
    return value


LINK = b"\xd8\x2a\x58\x25\0" + bytes(cid_of(RAW, b"leaf"))


@pytest.mark.parametrize(
    "link",
    [
        LINK[:-1],  # cut short
        b"\xd8\x2a",
        b"\xd8\x2a\x40",
        b"\xd8\x2a\x41\0",
        b"\xd8\x2a\x46\0\x01\x55\0\0\0",  # a byte behind the CID
        b"\xd8\x2a\x45\x01\x01\x55\0\0",  # another base
        b"\xd8\x2a\x58\x05\0\x01\x55\0\0",  # a length in more bytes than it needs
        b"\xd8\x2a\x59\0\x25" + LINK[4:],
        b"\xd9\0\x2a" + LINK[2:],
        b"\xd8\x2b" + LINK[2:],
        b"\xca" + LINK[2:],
        b"\xd8\x2a\x65\0\x01\x55\0\0",  # text
        b"\xa1" + LINK + b"\0",  # as a key
        b"\x81" + LINK + LINK,
    ],
)
def test_what_is_no_link_is_refused(link: bytes) -> None:
    for read in (decode_cbor_untrusted, linked_in_cbor_untrusted):
        with pytest.raises(Malformed):
            read(link)


def test_links_are_counted_before_one_of_them_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dag_cbor, "decode", lambda _block: pytest.fail("it was decoded"))
    block = b"\x9a" + (130_000).to_bytes(4) + b"\xd8\x2a\x45\0\x01\x55\0\0" * 130_000
    with pytest.raises(Malformed, match="too many links"):
        decode_cbor_untrusted(block)
    with pytest.raises(Malformed, match="too many links"):
        decode_cbor_untrusted(b"\x82" + LINK + LINK, links=1)


@pytest.mark.parametrize("head", [*HEADS, b"\x9b" + b"\xff" * 8])
def test_values_that_are_nested_deeper_never_reach_the_decoder(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dag_cbor, "decode", lambda _block: pytest.fail("it was decoded"))
    with pytest.raises(Malformed, match="A block has values that are nested too deeply"):
        decode_cbor_untrusted(head * 4_000 + b"\0")


@pytest.mark.parametrize("head", HEADS)
def test_as_many_levels_as_allowed_are_read(head: bytes) -> None:
    decode_cbor_untrusted(head * NESTED_MAX + b"\0")
    with pytest.raises(Malformed, match="nested"):
        decode_cbor_untrusted(head * (NESTED_MAX + 1) + b"\0")


@pytest.mark.parametrize("head", HEADS)
def test_a_level_that_ended_does_not_count(head: bytes) -> None:
    one = head * (NESTED_MAX - 1) + b"\0"
    assert len(decode_cbor_untrusted(b"\x98\x64" + one * 100)) == 100


@given(st.binary(max_size=60))
def test_any_bytes_are_values_or_refused(data: bytes) -> None:
    with suppress(NoCbor):
        dag_cbor.encode(decode_cbor_untrusted(data))
