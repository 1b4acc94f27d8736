"""Which blocks a CAR of a path holds: those of the way, then what is meant; each once, and nothing besides."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipfsdata import fixture, imported, vector

from ipfs.addresses import Address
from ipfs.car import CarReader
from ipfs.carorder import blocks_of
from ipfs.cid import DAG_CBOR, DAG_PB, IDENTITY, RAW, Cid, cid_of
from ipfs.dagpb import Link, encode_block, encode_file
from ipfs.importer import PROFILES, Profile, directory
from ipfs.offer import ALL, ENTITY, ROOT_ONLY, Span
from ipfs.troubles import IpfsError, TooLarge

SMALL = Profile(1, raw_leaves=True, chunk=10, width=3)
FILE, FILE_BLOCKS = imported(vector(95), SMALL)  # ten leaves, nodes of three: 16 blocks
OTHER, OTHER_BLOCKS = imported(b"other", SMALL)
INNER, INNER_BLOCK = directory({"file": FILE, "other": OTHER}, SMALL)
OUTER, OUTER_BLOCK = directory({"inner": INNER, "z": OTHER}, SMALL)
ALL_BLOCKS = {**FILE_BLOCKS, **OTHER_BLOCKS, INNER.cid: INNER_BLOCK, OUTER.cid: OUTER_BLOCK}


def order(blocks: dict[Cid, bytes], address: Address, scope: str = ALL, span: Span | None = None) -> list[Cid]:
    question, found = blocks_of(address, scope, span), list[Cid]()
    try:
        wanted = next(question)
        while True:
            found.append(wanted)
            wanted = question.send(blocks[wanted] if wanted.inline is None else wanted.inline)
    except StopIteration:
        return found


def test_a_file_alone_is_all_of_its_blocks_depth_first() -> None:
    found = order(FILE_BLOCKS, Address(FILE.cid))
    assert found[0] == FILE.cid
    assert sorted(map(str, found)) == sorted(map(str, FILE_BLOCKS))
    leaves = [FILE_BLOCKS[cid] for cid in found if cid.codec == RAW]
    assert b"".join(leaves) == vector(95)


def test_before_the_end_of_a_path_come_the_blocks_of_its_way() -> None:
    address = Address(OUTER.cid, ("inner", "file"))
    assert order(ALL_BLOCKS, address, ROOT_ONLY) == [OUTER.cid, INNER.cid, FILE.cid]
    assert order(ALL_BLOCKS, address, ENTITY) == [OUTER.cid, INNER.cid, *order(FILE_BLOCKS, Address(FILE.cid))]
    assert order(ALL_BLOCKS, Address(OUTER.cid, ("inner",)), ENTITY) == [OUTER.cid, INNER.cid]


def test_all_of_a_directory_is_everything_below_and_nothing_twice() -> None:
    found = order(ALL_BLOCKS, Address(OUTER.cid))
    assert len(found) == len(set(found)) == len(ALL_BLOCKS)
    assert found[:3] == [OUTER.cid, INNER.cid, FILE.cid]
    assert found[-1] == OTHER.cid


@pytest.mark.parametrize("path", [("no",), ("inner", "no", "more"), ("z", "below")])
def test_a_name_that_is_not_there_is_proved_by_the_blocks_up_to_it(path: tuple[str, ...]) -> None:
    found = order(ALL_BLOCKS, Address(OUTER.cid, path))
    assert found == {"no": [OUTER.cid], "inner": [OUTER.cid, INNER.cid], "z": [OUTER.cid, OTHER.cid]}[path[0]]


@given(st.integers(-120, 120), st.none() | st.integers(-120, 120))
def test_of_a_part_of_a_file_exactly_the_leaves_that_overlap_it_come(first: int, last: int | None) -> None:
    span = Span(first, last)
    found = order(FILE_BLOCKS, Address(FILE.cid), ENTITY, span)
    leaves = [FILE_BLOCKS[cid] for cid in found if cid.codec == RAW]
    meant = span.within(95)
    whole = [vector(95)[at : at + 10] for at in range(0, 95, 10) if meant and at < meant.stop and at + 10 > meant.start]
    assert leaves == whole
    assert found[0] == FILE.cid


def test_bytes_of_what_is_no_file_are_passed_over() -> None:
    assert order(ALL_BLOCKS, Address(INNER.cid), ENTITY, Span(3, 4)) == [INNER.cid]


def test_of_other_codecs_an_entity_is_the_block() -> None:
    block = b"\xa1ax\xf6"
    cid = cid_of(DAG_CBOR, block)
    assert order({cid: block}, Address(cid), ENTITY) == [cid]
    nonsense = cid_of(DAG_PB, encode_block(b"nonsense", ()))
    assert order({nonsense: encode_block(b"nonsense", ())}, Address(nonsense), ENTITY) == [nonsense]


def test_the_parts_of_a_large_directory_are_an_entity_but_not_its_files() -> None:
    reader, blocks = CarReader(), dict[Cid, bytes]()
    blocks.update(
        reader.feed(fixture("gateway-conformance/trustless_gateway_car/single-layer-hamt-with-multi-block-files.car"))
    )
    assert reader.roots
    root = reader.roots[0]
    listing = order(blocks, Address(root), ENTITY)
    assert 1 < len(listing) < len(order(blocks, Address(root), ALL))
    assert all(cid.codec == DAG_PB for cid in listing)


def test_a_repeated_part_is_walked_once() -> None:
    """What doubles at each of thirty levels has a thousand million leaves, and thirty-one blocks."""
    data = bytes(10)
    cid, size = cid_of(RAW, data), len(data)
    blocks = {cid: data}
    for _ in range(30):
        size *= 2
        block = encode_block(encode_file(size, [size // 2] * 2), [Link("", cid, 0)] * 2)
        cid = cid_of(DAG_PB, block)
        blocks[cid] = block
    for scope in (ALL, ENTITY):
        assert len(order(blocks, Address(cid), scope)) == 31


def test_a_file_that_is_deeper_than_files_are_is_given_up() -> None:
    data = b"x"
    cid, blocks = cid_of(RAW, data), {cid_of(RAW, data): data}
    for _ in range(40):
        block = encode_block(encode_file(1, [1]), [Link("", cid, 0)])
        blocks[cid := cid_of(DAG_PB, block)] = block
    with pytest.raises(TooLarge):
        order(blocks, Address(cid), ENTITY)


@pytest.mark.parametrize("data", [b"", b"\x08\x04\x12\x05INNER", b"\x08\x01\x08\x01"])
def test_a_way_over_what_is_no_directory_ends_with_the_proof_of_it(data: bytes) -> None:
    """Of no kind at all, a symbolic link, one that says two things."""
    cid = cid_of(DAG_PB, block := encode_block(data, [Link("x", INNER.cid, 0)]))
    for scope in (ALL, ENTITY, ROOT_ONLY):
        assert order({**ALL_BLOCKS, cid: block}, Address(cid, ("x",)), scope) == [cid]


def test_an_identity_root_is_asked_for_like_any() -> None:
    cid = Cid(1, RAW, IDENTITY, b"inside")
    assert order({}, Address(cid)) == order({}, Address(cid), ENTITY) == [cid]


@settings(max_examples=200)
@given(st.binary(max_size=60), st.sampled_from([ALL, ENTITY, ROOT_ONLY]))
def test_any_block_has_an_order_or_a_fault_of_ours(data: bytes, scope: str) -> None:
    cid = cid_of(DAG_PB, data)
    try:
        found = order({cid: data}, Address(cid), scope)
    except (IpfsError, KeyError):  # a link to a block that is not here
        return
    assert found == [cid]


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_is_read_in_order(name: str) -> None:
    root, blocks = imported(vector(3_000_000), PROFILES[name])
    assert set(order(blocks, Address(root.cid), ENTITY)) == set(blocks)
