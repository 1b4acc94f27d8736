"""Blocks of files and directories whose hash is right and whose content lies."""

from __future__ import annotations

from contextlib import suppress

import dag_cbor
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_dag_pb import PBNode, encode
from multiformats import CID

from ipfs import uvarint
from ipfs.caps import BLOCK_MAX, CBOR_LINKS_MAX, LINKS_MAX, VALUES_MAX
from ipfs.cid import DAG_CBOR, DAG_PB, RAW, Cid, cid_of
from ipfs.dagpb import (
    DIRECTORY,
    EMPTY_DIRECTORY,
    FILE,
    SHARD,
    Link,
    cumulative_untrusted,
    decode_block_untrusted,
    encode_block,
    encode_file,
    linked_untrusted,
)
from ipfs.troubles import Malformed, Unsupported

LEAF = cid_of(RAW, b"leaf")


def read(data: bytes, *links: Link) -> object:
    block = encode_block(data, links)
    return decode_block_untrusted(cid_of(DAG_PB, block), block)


def link(name: str = "", size: int = 4) -> Link:
    return Link(name, LEAF, size)


def test_a_file_of_one_link_is_read() -> None:
    block = encode_block(encode_file(4, [4]), [link()])
    node = decode_block_untrusted(cid_of(DAG_PB, block), block)
    assert (node.kind, node.size, node.parts, node.links) == (FILE, 4, (4,), (link(),))


def test_a_raw_block_is_its_bytes() -> None:
    assert decode_block_untrusted(LEAF, b"leaf").data == b"leaf"


def test_packed_sizes_are_read_as_well() -> None:
    node = decode_block_untrusted(
        cid_of(DAG_PB, b""), encode_block(b"\x08\x02\x18\x08\x22\x02\x04\x04", [link(), link()])
    )
    assert node.parts == (4, 4)


def test_mode_and_time_and_later_fields_are_passed_over() -> None:
    node = decode_block_untrusted(
        cid_of(DAG_PB, b""), encode_block(EMPTY_DIRECTORY + b"\x38\xed\x03\x42\x02\x08\x01", ())
    )
    assert node.kind == DIRECTORY


@pytest.mark.parametrize(
    ("data", "links", "text"),
    [
        (b"", 0, "does not say what it is"),
        (b"\x08\x02\x08\x02", 0, "the same twice"),
        (b"\x08\x02\x12\x01a\x12\x01b", 0, "two contents"),
        (b"\x0a\x01\x02", 0, "wrong type"),
        (b"\x08\x02\x10\x01", 0, "wrong type"),
        (b"\x08\x02\x12\x05ab", 0, "cut short"),
        (b"\x08\x02\x18", 0, "cut short or too long"),
        (b"\x08\x02\x18" + b"\xff" * 8 + b"\x7f", 0, "too large"),
        (b"\x0b", 0, "unknown type"),
        (encode_file(4, []), 0, "not that of its parts"),
        (encode_file(5, [4]), 1, "not that of its parts"),
        (encode_file(4, [4]), 0, "do not fit together"),
        (encode_file(0, []), 1, "do not fit together"),
        (encode_file(8, [4, 4]), 1, "do not fit together"),
        (b"\x08\x05\x12\x01\x01\x28\x22\x30\x07", 1, "impossible width"),
        (b"\x08\x05\x12\x01\x01\x28\x22\x30\x80\x10", 1, "impossible width"),
        (b"\x08\x05\x12\x01\x03\x28\x22\x30\x08", 1, "map does not fit"),
        (b"\x08\x05\x12\x02\x01\x00\x28\x22\x30\x08", 1, "map does not fit"),
    ],
)
def test_a_message_that_lies_is_refused(data: bytes, links: int, text: str) -> None:
    with pytest.raises(Malformed, match=text):
        read(data, *[link()] * links)


@pytest.mark.parametrize("kind", [3, 6, 99])
def test_kinds_that_are_no_files_are_not_read(kind: int) -> None:
    with pytest.raises(Unsupported, match=f"neither a file nor a directory .UnixFS type {kind}."):
        read(bytes([8, kind]))


def test_a_codec_that_is_no_file_is_not_read() -> None:
    with pytest.raises(Unsupported, match="codec 0x71"):
        decode_block_untrusted(Cid(1, DAG_CBOR, 0x12, bytes(32)), b"\xa0")


def test_a_block_without_a_message_is_no_file() -> None:
    with pytest.raises(Malformed, match="no part of a file"):
        decode_block_untrusted(cid_of(DAG_PB, b""), b"")


@pytest.mark.parametrize(
    "block",
    [b"\xff", b"\x0a\x05ab", b"\x12\x02\x0a\x00", b"\x12\x04\x12\x02\xff\xfe", b"\x0a\x00\x0a\x00", b"\x1a\x00"],
)
def test_what_is_no_dag_pb_is_refused(block: bytes) -> None:
    with pytest.raises(Malformed):
        decode_block_untrusted(cid_of(DAG_PB, block), block)


def test_bytes_behind_a_links_cid_are_refused() -> None:
    inner = bytes(LEAF) + b"x"
    block = bytes([0x12, len(inner) + 2, 0x0A, len(inner)]) + inner
    with pytest.raises(Malformed, match="bytes behind its CID"):
        linked_untrusted(cid_of(DAG_PB, block), block)


def test_a_block_that_is_too_large_is_not_even_looked_at() -> None:
    with pytest.raises(Malformed, match="larger than blocks may be"):
        linked_untrusted(cid_of(DAG_PB, b""), bytes(BLOCK_MAX + 1))


def links_to_leaf(count: int) -> bytes:
    cid = bytes(LEAF)
    return (bytes([0x12, len(cid) + 2, 0x0A, len(cid)]) + cid) * count


def test_a_block_has_as_many_links_as_the_limit_and_not_one_more() -> None:
    most = links_to_leaf(LINKS_MAX)
    assert len(linked_untrusted(cid_of(DAG_PB, most), most)) == LINKS_MAX
    for count in (LINKS_MAX + 1, 40_000):
        block = links_to_leaf(count)
        with pytest.raises(Malformed, match="too many links"):
            linked_untrusted(cid_of(DAG_PB, block), block)


def test_too_many_links_are_refused_before_any_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipfs.dagpb.decode_node", pytest.fail)
    for front in (b"", b"\x0a\x00"):
        block = front + links_to_leaf(40_000)
        with pytest.raises(Malformed, match="too many links"):
            linked_untrusted(cid_of(DAG_PB, block), block)
    longer = b"\x0a\x80\x00" + links_to_leaf(40_000)  # a length that the decoder reads and the count does not
    with pytest.raises(Malformed, match="no dag-pb"):
        linked_untrusted(cid_of(DAG_PB, longer), longer)


@pytest.mark.parametrize("message", [b"\x20\x00", b"\x38\x00"])
def test_too_many_fields_are_refused(message: bytes) -> None:
    packed = b"\x22" + uvarint.encode(10_000) + bytes(10_000)
    for each in (b"\x08\x02" + message * 10_000, b"\x08\x02" + packed):
        block = encode_block(each, ())
        with pytest.raises(Malformed, match="too many fields"):
            decode_block_untrusted(cid_of(DAG_PB, block), block)


def test_how_much_lies_below_a_block_is_what_its_author_says() -> None:
    block = encode_block(b"\x08\x01", [Link("a", cid_of(RAW, b"a"), 5), Link("b", cid_of(RAW, b"b"), 7)])
    assert cumulative_untrusted(cid_of(DAG_PB, block), block) == len(block) + 12
    assert cumulative_untrusted(cid_of(RAW, b"abc"), b"abc") == 3
    most = encode_block(b"\x08\x01", [Link("a", cid_of(RAW, b"a"), 1 << 62), Link("b", cid_of(RAW, b"b"), 1 << 62)])
    assert cumulative_untrusted(cid_of(DAG_PB, most), most) == 1 << 62


def test_links_of_dag_cbor_are_found_and_those_of_raw_blocks_are_none() -> None:
    block = b"\xa1aa\x81\xd8\x2a\x58\x25\x00" + bytes(LEAF)
    assert linked_untrusted(cid_of(DAG_CBOR, block), block) == (LEAF,)
    assert linked_untrusted(LEAF, b"leaf") == ()


@pytest.mark.parametrize("block", [b"\xa1", b"\x82\x60", b"\xd8\x2a\x40", b"\x5f\x40\xff"])
def test_what_is_no_dag_cbor_is_refused(block: bytes) -> None:
    with pytest.raises(Malformed, match="no dag-cbor"):
        linked_untrusted(cid_of(DAG_CBOR, block), block)


@pytest.mark.parametrize("value", [b"\0", b"\x80", b"\xa0", b"\x40", b"\x60", b"\xf6"])
def test_a_block_that_says_two_million_values_is_refused_before_one_of_them_is_made(
    value: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dag_cbor, "decode", lambda _block: pytest.fail("it was decoded"))
    block = b"\x9a" + (2_000_000).to_bytes(4) + value * 2_000_000
    with pytest.raises(Malformed, match="A block has too many values"):
        linked_untrusted(cid_of(DAG_CBOR, block), block)


def cbor_list(count: int, value: bytes) -> bytes:
    return b"\x99" + count.to_bytes(2) + value * count


CBOR_LINK = b"\xd8\x2a\x58\x25\0" + bytes(LEAF)


def test_as_many_links_as_a_list_of_a_snapshot_has_are_found() -> None:
    block = cbor_list(CBOR_LINKS_MAX, CBOR_LINK)
    assert linked_untrusted(cid_of(DAG_CBOR, block), block) == (LEAF,) * CBOR_LINKS_MAX


@pytest.mark.parametrize(
    ("most", "value", "text"), [(VALUES_MAX - 1, b"\0", "values"), (CBOR_LINKS_MAX, CBOR_LINK, "links")]
)
def test_one_more_than_the_bound_is_refused(
    most: int, value: bytes, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dag_cbor, "decode", lambda _block: [])
    fits, more = cbor_list(most, value), cbor_list(most + 1, value)
    assert len(linked_untrusted(cid_of(DAG_CBOR, fits), fits)) == (most if value == CBOR_LINK else 0)
    with pytest.raises(Malformed, match=f"A block has too many {text}"):
        linked_untrusted(cid_of(DAG_CBOR, more), more)


def test_large_contents_are_one_value_however_their_bytes_look() -> None:
    block = dag_cbor.encode({"bytes": bytes(1_000_000), "text": "x" * 300_000, "link": CID.decode(bytes(LEAF))})
    assert linked_untrusted(cid_of(DAG_CBOR, block), block) == (LEAF,)


@given(st.binary(max_size=300))
def test_a_leaf_is_written_as_the_library_writes_it(data: bytes) -> None:
    assert encode_block(data, ()) == bytes(encode(PBNode(data, [])))


@given(st.binary(max_size=120))
def test_any_message_is_a_node_or_a_refusal(data: bytes) -> None:
    with suppress(Malformed, Unsupported):
        read(data)


@given(st.binary(max_size=200), st.sampled_from([DAG_PB, DAG_CBOR]))
def test_any_block_has_links_or_is_refused(block: bytes, codec: int) -> None:
    with suppress(Malformed, Unsupported):
        linked_untrusted(Cid(1, codec, 0x12, bytes(32)), block)


def test_every_byte_of_a_directory_can_be_any_other_without_an_unforeseen_error() -> None:
    block = encode_block(b"\x08\x05\x12\x01\x01\x28\x22\x30\x08", [link("0a")])
    assert decode_block_untrusted(cid_of(DAG_PB, block), block).kind == SHARD
    for at in range(len(block)):
        for bit in range(8):
            changed = block[:at] + bytes([block[at] ^ 1 << bit]) + block[at + 1 :]
            with suppress(Malformed, Unsupported):
                decode_block_untrusted(cid_of(DAG_PB, changed), changed)
