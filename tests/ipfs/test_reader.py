"""Names and bytes out of blocks: files, paths, large directories, and trees that were made to waste our time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipfsdata import answered, imported, vector

from ipfs.caps import Budget
from ipfs.cid import DAG_PB, IDENTITY, RAW, Cid, cid_of
from ipfs.dagpb import Link, encode_block, encode_file
from ipfs.hamt import MURMUR3, murmur3, prefixes
from ipfs.importer import Profile, directory
from ipfs.reader import FileWalk, list_directory, resolve
from ipfs.troubles import Malformed, NoEntry, TooLarge, Unsupported

TINY = Profile(1, raw_leaves=True, chunk=10, width=3)
LEAF = cid_of(RAW, b"leaf")
LARGE = Budget()


def block_of(data: bytes, *links: Link) -> tuple[Cid, bytes]:
    block = encode_block(data, links)
    return cid_of(DAG_PB, block), block


def read(cid: Cid, blocks: dict[Cid, bytes], budget: Budget = LARGE) -> bytes:
    walk, out = FileWalk(cid, budget), []
    while (wanted := walk.wanted) is not None:
        out.append(walk.give(blocks[wanted] if wanted.inline is None else wanted.inline))
    return b"".join(out)


@settings(max_examples=40)
@given(st.integers(0, 2000), st.booleans())
def test_what_was_imported_is_read_back(size: int, raw: bool) -> None:
    root, blocks = imported(vector(size), Profile(1, raw_leaves=raw, chunk=10, width=3))
    assert read(root.cid, blocks) == vector(size)


def test_what_is_wanted_next_is_known_before_it_is_read() -> None:
    root, blocks = imported(vector(30), TINY)
    walk = FileWalk(root.cid, LARGE)
    assert walk.ahead(8) == [root.cid]
    walk.give(blocks[root.cid])
    assert walk.size == 30
    assert [blocks[cid] for cid in walk.ahead(8)] == [vector(30)[at : at + 10] for at in (0, 10, 20)]
    assert len(walk.ahead(2)) == 2


def test_an_identity_cid_is_a_file_by_itself() -> None:
    assert read(Cid(1, RAW, IDENTITY, b"tiny"), {}) == b"tiny"


def test_a_part_that_is_shorter_than_the_file_says_is_refused() -> None:
    cid, block = block_of(encode_file(5, [5]), Link("", LEAF, 4))
    with pytest.raises(Malformed, match="not as long as the file says"):
        read(cid, {cid: block, LEAF: b"leaf"})


def test_a_part_that_is_a_directory_is_refused() -> None:
    inner, inner_block = directory({}, TINY)
    cid, block = block_of(encode_file(0, [0]), Link("", inner.cid, 4))
    with pytest.raises(Malformed, match="A part of a file is no file"):
        read(cid, {cid: block, inner.cid: inner_block})


def test_a_directory_is_not_read_as_a_file() -> None:
    root, block = directory({}, TINY)
    with pytest.raises(NoEntry, match=r"It is a directory\. Name a file in it"):
        read(root.cid, {root.cid: block})


def test_a_file_larger_than_the_budget_is_refused_before_its_parts_are_fetched() -> None:
    root, blocks = imported(vector(300), TINY)
    walk = FileWalk(root.cid, Budget(bytes=299))
    with pytest.raises(TooLarge, match="larger than the 299 bytes"):
        walk.give(blocks[root.cid])


def test_a_file_of_too_many_blocks_is_refused() -> None:
    root, blocks = imported(vector(300), TINY)
    with pytest.raises(TooLarge, match="more than the 20 blocks that this request may read"):
        read(root.cid, blocks, Budget(blocks=20))


def test_parts_that_are_their_own_names_count_and_are_refused_before_they_are_walked() -> None:
    empty = Cid(1, RAW, IDENTITY, b"")
    cid, block = block_of(encode_file(0, [0] * 20), *[Link("", empty, 0)] * 20)
    assert read(cid, {cid: block}, Budget(blocks=21)) == b""
    walk = FileWalk(cid, Budget(blocks=20))
    with pytest.raises(TooLarge, match="more than the 20 blocks that this request may read"):
        walk.give(block)
    assert walk.wanted is None


def test_a_chain_of_nodes_is_refused_where_it_is_too_deep() -> None:
    cid, blocks = LEAF, {LEAF: b"leaf"}
    for _ in range(40):
        cid, block = block_of(encode_file(4, [4]), Link("", cid, 4))
        blocks[cid] = block
    with pytest.raises(TooLarge, match="more than 32 levels of blocks"):
        read(cid, blocks)


def test_a_small_dag_that_doubles_at_each_level_is_refused_at_once() -> None:
    """A bomb: 31 blocks that are 2**30 leaves."""
    cid, blocks, size = LEAF, {LEAF: b"leaf"}, 4
    for _ in range(30):
        cid, block = block_of(encode_file(2 * size, [size, size]), Link("", cid, 4), Link("", cid, 4))
        blocks[cid], size = block, 2 * size
    with pytest.raises(TooLarge, match="larger than"):
        read(cid, blocks)


def test_empty_parts_that_double_at_each_level_end_at_the_number_of_blocks() -> None:
    cid, blocks = cid_of(RAW, b""), {cid_of(RAW, b""): b""}
    for _ in range(30):
        cid, block = block_of(encode_file(0, [0, 0]), Link("", cid, 4), Link("", cid, 4))
        blocks[cid] = block
    with pytest.raises(TooLarge, match="more than the 1000 blocks that this request may read"):
        read(cid, blocks, Budget(blocks=1000))


def tree() -> tuple[Cid, dict[Cid, bytes]]:
    leaf, blocks = imported(b"leaf", TINY)
    below, below_block = directory({"file": leaf}, TINY)
    link, link_block = block_of(b"\x08\x04\x12\x04file")
    block = encode_block(b"\x08\x01", [Link("link", link, 4), Link("sub", below.cid, 4)])
    cid = cid_of(DAG_PB, block)
    return cid, {**blocks, below.cid: below_block, link: link_block, cid: block}


def test_a_path_leads_to_a_file() -> None:
    root, blocks = tree()
    assert answered(resolve(root, ("sub", "file")), blocks) == LEAF
    assert answered(resolve(root, ()), blocks) == root
    assert [entry.name for entry in answered(list_directory(root, LARGE), blocks)] == ["link", "sub"]


@pytest.mark.parametrize(
    ("path", "error", "text"),
    [
        (("sub", "other"), NoEntry, "There is no other in the directory"),
        (("sub", "file", "more"), NoEntry, "goes on below a file"),
        (("link", "more"), Unsupported, "symbolic link"),
    ],
)
def test_a_path_that_leads_nowhere_says_so(path: tuple[str, ...], error: type[Exception], text: str) -> None:
    root, blocks = tree()
    with pytest.raises(error, match=text):
        answered(resolve(root, path), blocks)


def test_a_symbolic_link_is_not_read_as_a_file() -> None:
    root, blocks = tree()
    with pytest.raises(Unsupported, match="symbolic link"):
        read(answered(resolve(root, ("link",)), blocks), blocks)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a\\b", "a\0", "a\x1b[2J"])
def test_a_directory_with_a_name_that_leads_outside_is_refused(name: str) -> None:
    cid, block = block_of(b"\x08\x01", Link(name, LEAF, 4))
    with pytest.raises(Malformed, match="a name that no file may have"):
        answered(list_directory(cid, LARGE), {cid: block})


def test_a_directory_that_has_a_name_twice_is_refused() -> None:
    cid, block = block_of(b"\x08\x01", Link("a", LEAF, 4), Link("a", cid_of(RAW, b"other"), 4))
    with pytest.raises(Malformed, match="a name twice"):
        answered(list_directory(cid, LARGE), {cid: block})
    with pytest.raises(Malformed, match="a name twice"):
        answered(resolve(cid, ("a",)), {cid: block})


def test_a_directory_with_more_names_than_allowed_is_refused() -> None:
    cid, block = block_of(b"\x08\x01", *[Link(str(number), LEAF, 4) for number in range(10)])
    with pytest.raises(TooLarge, match="more than 9 names"):
        answered(list_directory(cid, Budget(entries=9)), {cid: block})


def shard(links: list[Link], fanout: int = 256, hash_: int = MURMUR3) -> tuple[Cid, bytes]:
    bits = sum(1 << int(link.name[:2], 16) for link in links)
    data = bits.to_bytes(32).lstrip(b"\0")
    widths = {256: b"\x80\x02", 128: b"\x80\x01"}
    return block_of(
        b"\x08\x05\x12" + bytes([len(data)]) + data + b"\x28" + bytes([hash_]) + b"\x30" + widths[fanout], *links
    )


def test_a_name_is_found_in_a_large_directory_of_two_levels() -> None:
    first, second = (next_ for next_, _ in zip(prefixes("prog.wasm", 256), range(2), strict=False))
    below, below_block = shard([Link(second + "prog.wasm", LEAF, 4)])
    root, root_block = shard([Link(first, below, 4)])
    blocks = {root: root_block, below: below_block}
    assert answered(resolve(root, ("prog.wasm",)), blocks) == LEAF
    assert [entry.name for entry in answered(list_directory(root, LARGE), blocks)] == ["prog.wasm"]
    with pytest.raises(NoEntry, match="There is no other in the directory"):
        answered(resolve(root, ("other",)), blocks)


def test_a_large_directory_that_contains_itself_by_a_trick_of_depth_ends() -> None:
    cid, block = shard([Link("00", LEAF, 4)])
    blocks = {cid: block}
    for _ in range(40):
        cid, block = shard([Link("00", cid, 4)])
        blocks[cid] = block
    with pytest.raises(TooLarge, match="more than 32 levels of blocks"):
        answered(list_directory(cid, LARGE), blocks)


@pytest.mark.parametrize(("fanout", "hash_", "error"), [(128, MURMUR3, Malformed), (256, 0x12, Unsupported)])
def test_a_large_directory_of_mixed_parts_is_refused(fanout: int, hash_: int, error: type[Exception]) -> None:
    below, below_block = shard([Link("01a", LEAF, 4)], fanout, hash_)
    root, root_block = shard([Link("00", below, 4)])
    with pytest.raises(error):
        answered(list_directory(root, LARGE), {root: root_block, below: below_block})


@pytest.mark.parametrize(
    ("data", "hashed"),
    [
        (b"", 0),
        (b"hello", 0xCBD8A7B341BD9B02),
        (b"hello, world", 0x342FAC623A5EBC8E),
        (b"19 Jan 2038 at 3:14:07 AM", 0xB89E5988B737AFFC),
        (b"The quick brown fox jumps over the lazy dog.", 0xCD99481F9EE902C9),
    ],
)
def test_the_hash_of_names_is_murmur3(data: bytes, hashed: int) -> None:
    """The vectors that the Go package spaolacci/murmur3, which Kubo uses, is tested with."""
    assert murmur3(data) == hashed


def test_names_whose_hash_is_used_up_are_malformed() -> None:
    with pytest.raises(Malformed, match="deeper than its hash is long"):
        list(prefixes("a", 256))
