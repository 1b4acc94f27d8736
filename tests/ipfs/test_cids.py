"""CIDs from outside: what is one, what is none, which hashes are trusted, and that a changed byte is noticed."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import CID

from ipfs.cid import (
    BLAKE2B_256,
    DAG_PB,
    IDENTITY,
    RAW,
    SHA2_256,
    SHA2_512,
    Cid,
    cid_of,
    decode_cid_untrusted,
    parse_cid_untrusted,
    verify_untrusted,
)
from ipfs.troubles import BadName, Malformed, Unsupported, Unverified

BLOCK = b"some bytes"
HASHES = {
    SHA2_256: hashlib.sha256(BLOCK).digest(),
    SHA2_512: hashlib.sha512(BLOCK).digest(),
    BLAKE2B_256: hashlib.blake2b(BLOCK, digest_size=32).digest(),
    IDENTITY: BLOCK,
}


@pytest.mark.parametrize("name", HASHES)
def test_the_right_bytes_are_accepted_and_any_others_refused(name: int) -> None:
    cid = Cid(1, RAW, name, HASHES[name])
    verify_untrusted(cid, BLOCK)
    for wrong in (b"", BLOCK + b"\0", BLOCK[:-1], b"Some bytes"):
        with pytest.raises(Unverified, match="not what the CID says"):
            verify_untrusted(cid, wrong)


@pytest.mark.parametrize("name", HASHES)
def test_our_text_and_bytes_are_those_of_the_library(name: int) -> None:
    cid = Cid(1, RAW, name, HASHES[name])
    theirs = CID("base32", 1, RAW, (name, HASHES[name]))
    assert (str(cid), bytes(cid)) == (str(theirs), bytes(theirs))
    assert decode_cid_untrusted(bytes(cid) + b"more") == (cid, len(bytes(cid)))


def test_an_identity_cid_carries_its_block() -> None:
    assert Cid(1, RAW, IDENTITY, b"abc").inline == b"abc"
    assert cid_of(RAW, b"abc").inline is None


@pytest.mark.parametrize("base", ["base58btc", "base16", "base36", "base64url", "base32upper"])
def test_a_cid_may_be_written_in_other_bases(base: str) -> None:
    cid = cid_of(DAG_PB, BLOCK)
    assert parse_cid_untrusted(CID.decode(bytes(cid)).encode(base)) == cid


def test_version_0_and_version_1_of_the_same_block_have_one_key() -> None:
    old, new = cid_of(DAG_PB, BLOCK, 0), cid_of(DAG_PB, BLOCK, 1)
    assert old != new
    assert old.key == new.key
    assert parse_cid_untrusted(str(old)) == old


GOOD = str(cid_of(RAW, BLOCK))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Qm",
        "b",
        "hello",
        GOOD[:-1],
        GOOD + "aa",
        GOOD[:20],
        "Qm" + "0" * 44,
        "é" * 46,
        "b" + "a" * 500,
        "z" + GOOD,
        "\0" * 46,
        "../" + GOOD,
        "Qm" + "1" * 44,
    ],
)
def test_what_is_no_cid_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(BadName, match=r"^It is no CID"):
        parse_cid_untrusted(text)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "cut short or too long"),
        (b"\x12\x20short", "cut short"),
        (b"\x02\x55\x12\x20" + bytes(32), "version 2"),
        (b"\x01\x55\x12\x1f" + bytes(31), "shortened"),
        (b"\x01\x55\x12\x21" + bytes(33), "lengthened"),
        (b"\x01\x55\x12\x20" + bytes(31), "cut short"),
        (b"\x01\x55\x00\x81\x01" + bytes(129), "a hash of 129 bytes"),
        (b"\x01\xd5\x80\x00\x12\x20" + bytes(32), "too long"),
        (b"\x01" + b"\xff" * 20, "too long"),
    ],
)
def test_bytes_that_are_no_cid_are_refused(data: bytes, text: str) -> None:
    with pytest.raises(Malformed, match=text):
        decode_cid_untrusted(data)


def test_weak_hashes_are_not_trusted() -> None:
    sha1 = Cid(1, RAW, 0x11, hashlib.sha1(BLOCK).digest())
    with pytest.raises(Unsupported, match="The CID uses hash 0x11; SHA2-256"):
        verify_untrusted(sha1, BLOCK)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_cid_or_malformed(data: bytes) -> None:
    with suppress(Malformed):
        cid, size = decode_cid_untrusted(data)
        assert bytes(cid) == data[:size]


@given(st.text(max_size=80))
def test_any_text_is_a_cid_or_no_name(text: str) -> None:
    with suppress(BadName):
        assert str(parse_cid_untrusted(text))
