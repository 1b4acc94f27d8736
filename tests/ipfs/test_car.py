"""CAR files: out and in again, and every way to write a bad one."""

from __future__ import annotations

from contextlib import suppress

import ipld_car
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import varint

from ipfs.caps import BLOCK_MAX, CAR_HEADER_MAX, CAR_ROOTS_MAX
from ipfs.car import CarReader, car_header, car_section
from ipfs.cid import IDENTITY, RAW, Cid, cid_of
from ipfs.troubles import IpfsError, Malformed, Unsupported, Unverified

BLOCKS = [b"one", b"two" * 8, b""]
CIDS = [cid_of(RAW, block) for block in BLOCKS]
WHOLE = car_header(CIDS[:1]) + b"".join(map(car_section, CIDS, BLOCKS))


def read(data: bytes, piece: int = 1 << 20) -> tuple[tuple[Cid, ...] | None, list[tuple[Cid, bytes]]]:
    reader, found = CarReader(), []
    for at in range(0, len(data), piece):
        found += reader.feed(data[at : at + piece])
    reader.finish()
    return reader.roots, found


@given(st.integers(1, len(WHOLE)))
def test_a_car_is_read_in_pieces_of_any_size(piece: int) -> None:
    assert read(WHOLE, piece) == ((CIDS[0],), list(zip(CIDS, BLOCKS, strict=True)))


def test_the_library_reads_what_we_write_and_writes_what_we_write() -> None:
    roots, blocks = ipld_car.decode(memoryview(WHOLE))
    assert [bytes(root) for root in roots] == [bytes(CIDS[0])]
    assert [bytes(block) for _, block in blocks] == BLOCKS
    assert bytes(ipld_car.encode(roots, blocks)) == WHOLE


def test_a_car_that_is_cut_anywhere_but_between_blocks_is_noticed() -> None:
    ends = [len(car_header(CIDS[:1]))]
    for cid, block in zip(CIDS, BLOCKS, strict=True):
        ends.append(ends[-1] + len(car_section(cid, block)))
    for end in range(len(WHOLE)):
        if end in ends:
            assert len(read(WHOLE[:end])[1]) == ends.index(end)
        else:
            with pytest.raises(Malformed, match="The CAR is cut short"):
                read(WHOLE[:end])


def test_a_flipped_bit_behind_the_header_is_always_noticed() -> None:
    """But for the codec, which says how to read a block and not what it is: it is part of the CID that is asked for."""
    for at in range(len(car_header(CIDS[:1])), len(WHOLE)):
        for bit in range(8):
            changed = WHOLE[:at] + bytes([WHOLE[at] ^ 1 << bit]) + WHOLE[at + 1 :]
            try:
                _, blocks = read(changed)
            except IpfsError:
                continue
            assert [block for _, block in blocks] == BLOCKS
            assert [cid for cid, _ in blocks] != CIDS


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (b"", Malformed, "cut short"),
        (b"\x00" + WHOLE, Malformed, "empty piece"),
        (b"\xff" * 20, Malformed, "a length that is none"),
        (b"\x81\x00" + WHOLE, Malformed, "a length that is none"),
        (b"\x01\xff", Malformed, "It is no CAR"),
        (b"\x01\x01", Malformed, "It is no CAR"),
        (b"\x0a\xa1gversion\x02", Unsupported, "write it as version 1"),
        (b"\x0a\xa1gversion\x01", Malformed, "does not say its roots"),
        (varint.encode(CAR_HEADER_MAX + 1), Malformed, "larger than blocks may be"),
        (varint.encode(2000) + b"\x81" * 2000, Malformed, "It is no CAR"),
        (car_header([]) + varint.encode(BLOCK_MAX + 1000), Malformed, "larger than blocks may be"),
        (car_header([]) + b"\x02\x01\x55", Malformed, "cut short or too long"),
        (car_header([]) + car_section(CIDS[0], b"two"), Unverified, "not what the CID says"),
        (car_header([]) + car_section(Cid(1, RAW, 0x11, bytes(20)), b"two"), Unsupported, "hash 0x11"),
    ],
)
def test_a_bad_car_is_refused_with_a_sentence(data: bytes, error: type[IpfsError], text: str) -> None:
    with pytest.raises(error, match=text):
        read(data)


def test_a_car_that_names_more_roots_than_anybody_asks_for_is_refused() -> None:
    many = [cid_of(RAW, b"%d" % each) for each in range(CAR_ROOTS_MAX + 1)]
    assert read(car_header(many[1:])) == (tuple(many[1:]), [])
    with pytest.raises(Malformed, match="It is no CAR"):
        read(car_header(many))


def test_a_car_without_roots_and_blocks_is_one() -> None:
    assert read(car_header([])) == ((), [])


def test_identity_blocks_are_taken_if_they_are_right() -> None:
    cid = Cid(1, RAW, IDENTITY, b"in")
    assert read(car_header([cid]) + car_section(cid, b"in"))[1] == [(cid, b"in")]


def test_nothing_is_held_of_a_piece_that_is_announced_as_too_large() -> None:
    reader = CarReader()
    with pytest.raises(Malformed, match="larger than blocks may be"):
        list(reader.feed(car_header([]) + varint.encode(1 << 40) + b"x" * 100))


@given(st.binary(max_size=400))
def test_any_bytes_are_a_car_or_a_refusal(data: bytes) -> None:
    with suppress(IpfsError):
        assert read(data)[0] is not None
