"""How deep things lie: what is kept can be got, what is added can be saved, and the same sentence says why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dag_cbor
import pytest
from multiformats import CID

from ipfs.adding import add
from ipfs.blockstore import BlockStore
from ipfs.caps import DEPTH_MAX, Budget
from ipfs.cid import DAG_CBOR, DAG_PB, RAW, Cid, cid_of
from ipfs.content import complete
from ipfs.dagpb import Link, encode_block, encode_file
from ipfs.fetching import Fetcher
from ipfs.importer import PROFILES
from ipfs.levels import TOP, Level, below_untrusted
from ipfs.saving import save
from ipfs.troubles import TooLarge

if TYPE_CHECKING:
    from pathlib import Path

LEAF = b"x"
FILE = cid_of(RAW, LEAF)
DEEP = f"The directory has more than {DEPTH_MAX} levels."


@pytest.fixture
def store(tmp_path: Path) -> BlockStore:
    store = BlockStore(tmp_path / "store")
    store.put([(FILE, LEAF)])
    return store


def kept(store: BlockStore, block: bytes, codec: int = DAG_PB) -> Cid:
    cid = cid_of(codec, block)
    store.keep([(cid, block)])
    return cid


def nested(store: BlockStore, levels: int, inner: Cid = FILE) -> Cid:
    """`inner` below that many directories."""
    for _ in range(levels):
        inner = kept(store, encode_block(b"\x08\x01", [Link("d", inner, 0)]))
    return inner


def tower(store: BlockStore, levels: int) -> Cid:
    """A file of one byte with that many levels of blocks below its root."""
    cid = FILE
    for _ in range(levels):
        cid = kept(store, encode_block(encode_file(1, [1]), [Link("", cid, 0)]))
    return cid


@pytest.mark.parametrize("levels", [1, DEPTH_MAX - 1, DEPTH_MAX])
async def test_what_can_be_kept_can_be_got(store: BlockStore, tmp_path: Path, levels: int) -> None:
    root = nested(store, levels)
    assert await complete(Fetcher(store), root) == levels + 1
    await save(Fetcher(store), root, tmp_path / "out", str)
    assert (tmp_path / "out").joinpath(*["d"] * levels).read_bytes() == LEAF


@pytest.mark.parametrize("levels", [DEPTH_MAX + 1, 200])
async def test_what_cannot_be_got_is_not_kept_and_both_say_why(store: BlockStore, tmp_path: Path, levels: int) -> None:
    root = nested(store, levels)
    with pytest.raises(TooLarge) as kept_not:
        await complete(Fetcher(store), root)
    with pytest.raises(TooLarge) as got_not:
        await save(Fetcher(store), root, tmp_path / "out", str)
    assert kept_not.value.text == got_not.value.text == DEEP


async def test_what_can_be_added_can_be_got_and_the_next_level_is_refused(store: BlockStore, tmp_path: Path) -> None:
    inner = tmp_path / "in"
    for _ in range(DEPTH_MAX - 1):
        inner /= "d"
    inner.mkdir(parents=True)
    (inner / "file").write_bytes(b"deep")
    root = await add(store, tmp_path / "in", PROFILES["kubo-v1"])
    await save(Fetcher(store), root.cid, tmp_path / "out", str)
    assert len(list((tmp_path / "out").rglob("*"))) == DEPTH_MAX
    (inner / "d").mkdir()
    (inner / "d" / "file").write_bytes(b"too deep")
    with pytest.raises(TooLarge, match=DEEP):
        await add(store, tmp_path / "in", PROFILES["kubo-v1"])


@pytest.mark.parametrize("turn", [0, 1])
async def test_the_longest_way_counts_whichever_is_looked_at_first(store: BlockStore, turn: int) -> None:
    """The same directory near the root and far from it."""
    inner = nested(store, 10)
    far = nested(store, DEPTH_MAX - 10, inner)
    links = [Link("a", inner, 0), Link("b", far, 0)]
    root = kept(store, encode_block(b"\x08\x01", links[::-1] if turn else links))
    with pytest.raises(TooLarge, match=DEEP):
        await complete(Fetcher(store), root)
    near = nested(store, DEPTH_MAX - 11, inner)
    root = kept(store, encode_block(b"\x08\x01", [Link("a", inner, 0), Link("b", near, 0)]))
    assert await complete(Fetcher(store), root) == DEPTH_MAX + 1


async def test_levels_of_a_file_count_by_themselves_and_have_their_bound(store: BlockStore, tmp_path: Path) -> None:
    root = nested(store, DEPTH_MAX, tower(store, DEPTH_MAX))
    assert await complete(Fetcher(store), root) == 2 * DEPTH_MAX + 1
    await save(Fetcher(store), root, tmp_path / "out", str)
    with pytest.raises(TooLarge, match="has more than 32 levels of blocks"):
        await complete(Fetcher(store), tower(store, DEPTH_MAX + 1))


async def test_looks_are_bounded_where_every_way_is_a_little_longer(store: BlockStore) -> None:
    """Each level names the next one and the one after it: blocks are few, ways to them many."""
    levels = [FILE, nested(store, 1)]
    for _ in range(28):
        links = [Link("a", levels[-2], 0), Link("b", levels[-1], 0)]
        levels.append(kept(store, encode_block(b"\x08\x01", links)))
    assert await complete(Fetcher(store, budget=Budget(blocks=30 * 32)), levels[-1]) == 30
    with pytest.raises(TooLarge, match="blocks that this request may fetch"):
        await complete(Fetcher(store, budget=Budget(blocks=29)), levels[-1])


async def test_what_is_no_file_is_kept_however_long_its_chain_is(store: BlockStore) -> None:
    cid = FILE
    for _ in range(100):
        cid = kept(store, dag_cbor.encode({"next": CID.decode(bytes(cid))}), DAG_CBOR)
    assert await complete(Fetcher(store), cid) == 101
    bare = kept(store, encode_block(b"no file of UnixFS", [Link("x", cid, 0)]))
    assert await complete(Fetcher(store), bare) == 102


def test_a_large_directory_tells_its_parts_from_its_entries() -> None:
    part, entry = Link("00", FILE, 0), Link("01name", FILE, 0)
    block = encode_block(b"\x08\x05\x12\x01\x03\x28\x22\x30\x80\x02", [part, entry])
    found = below_untrusted(cid_of(DAG_PB, block), block, Level(3, 1))
    assert found == [(FILE, Level(3, 2)), (FILE, Level(4, 0))]


def test_of_two_ways_the_deeper_one_covers_and_both_join_to_what_covers_them() -> None:
    one, other = Level(3, 1), Level(2, 5)
    assert not one.covers(other)
    assert not other.covers(one)
    assert one.joined(other) == Level(3, 5)
    assert one.joined(other).covers(one)
    assert one.covers(one)
    assert one.covers(TOP)
