"""What is still wanted below a root: names with blocks inside are read once, counted, and cost nobody much."""

from __future__ import annotations

import pytest

from ipfs import wanted as module
from ipfs.cid import DAG_CBOR, DAG_PB, IDENTITY, RAW, Cid, cid_of
from ipfs.dagpb import Link, encode_block, encode_file, linked_untrusted
from ipfs.troubles import Malformed, TooLarge
from ipfs.wanted import OF_FILES, Terms, Wanted, named_untrusted

ALL, FILES = Terms(100, None), Terms(100, OF_FILES)
LEAF, OTHER = cid_of(RAW, b"leaf"), cid_of(RAW, b"other")
EMPTY = b"\xd8\x2a\x45\0\x01\x55\0\0"


def inline(number: int, *links: Cid) -> Cid:
    """A name with a list inside."""
    items = [b"\xd8\x2a\x58" + bytes([len(bytes(each)) + 1]) + b"\0" + bytes(each) for each in links]
    return Cid(1, DAG_CBOR, IDENTITY, bytes([0x81 + len(items), 0x19]) + (number + 256).to_bytes(2) + b"".join(items))


def naming(*cids: Cid) -> tuple[Cid, bytes]:
    block = encode_block(encode_file(0, [0] * len(cids)), [Link("", each, 0) for each in cids])
    return cid_of(DAG_PB, block), block


def test_what_a_name_carries_is_not_wanted_but_what_that_names_is() -> None:
    root, block = naming(inline(0, LEAF), Cid(1, RAW, IDENTITY, b"mine"), OTHER)
    named = named_untrusted(root, block, ALL)
    assert (set(named.cids.values()), named.inside) == ({LEAF, OTHER}, 1)
    there = Wanted(root, ALL)
    there.take(root, named)
    assert [there.knows(each) for each in (root, LEAF, OTHER)] == [True] * 3
    there.take(LEAF, named_untrusted(LEAF, b"leaf", ALL))
    assert not there.whole
    there.take(OTHER, named_untrusted(OTHER, b"other", ALL))
    assert there.whole


def test_a_root_that_is_its_own_name_is_read_without_being_sent() -> None:
    assert Wanted(Cid(1, RAW, IDENTITY, b"mine"), ALL).whole
    assert Wanted(inline(0, LEAF), ALL).named(LEAF) == LEAF
    with pytest.raises(Malformed):
        Wanted(Cid(1, DAG_CBOR, IDENTITY, b"\xff"), ALL)


def test_a_name_that_comes_a_thousand_times_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(module, "linked_untrusted", lambda *what: read.append(what) or linked_untrusted(*what))
    root, block = naming(*[inline(0, LEAF)] * 1000)
    assert named_untrusted(root, block, ALL).inside == 1
    assert len(read) == 2


def test_names_that_are_read_count_as_blocks_do_in_one_block_and_in_all_together() -> None:
    names = [inline(each) for each in range(101)]
    with pytest.raises(TooLarge, match="more than the 100 blocks that this request may fetch"):
        named_untrusted(*naming(*names), ALL)
    root, block = naming(LEAF, OTHER, *names[:60])
    there = Wanted(root, ALL)
    there.take(root, named_untrusted(root, block, ALL))
    with pytest.raises(TooLarge, match="more than the 100 blocks that this request may fetch"):
        there.take(LEAF, named_untrusted(*naming(*names[60:]), ALL))


def test_of_a_file_nothing_else_is_wanted_or_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the file is told that it is none, at the block itself."""
    strange = cid_of(DAG_CBOR, b"\x80")
    root, block = naming(LEAF, strange, inline(0, OTHER))
    assert set(named_untrusted(root, block, ALL).cids.values()) == {LEAF, OTHER, strange}
    assert named_untrusted(root, block, FILES) == ({LEAF.key: LEAF}, 0)
