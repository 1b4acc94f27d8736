"""Adding, reading and saving over a store on disk, without any network."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from ipfsdata import fixture, vector

from ipfs.adding import add
from ipfs.addresses import Address
from ipfs.blockstore import BlockStore
from ipfs.caps import Budget
from ipfs.car import CarReader
from ipfs.cid import DAG_PB, cid_of
from ipfs.content import about, complete, listed, read
from ipfs.dagpb import Link, encode_block
from ipfs.fetching import Fetcher
from ipfs.importer import PROFILES, Profile
from ipfs.saving import save
from ipfs.troubles import BadName, Malformed, NoEntry, StoreFailed, TooLarge, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

KUBO_V1 = PROFILES["kubo-v1"]


@pytest.fixture
def store(tmp_path: Path) -> BlockStore:
    return BlockStore(tmp_path / "store")


def loaded(store: BlockStore, name: str) -> Address:
    reader = CarReader()
    store.put(reader.feed(fixture(name)))
    assert reader.roots
    return Address(reader.roots[0])


def tree(folder: Path) -> Path:
    """The directory of the reference's vector."""
    (folder / "dir" / "sub").mkdir(parents=True)
    (folder / "dir" / "a.txt").write_bytes(vector(1))
    (folder / "dir" / "main.wasm").write_bytes(vector(1048576))
    (folder / "dir" / "sub" / "min.wasm").write_bytes(b"\0asm\x01\0\0\0")
    return folder / "dir"


async def test_a_directory_that_is_added_has_kubos_cid_and_comes_back_the_same(
    store: BlockStore, tmp_path: Path
) -> None:
    root = await add(store, tree(tmp_path), KUBO_V1)
    assert str(root.cid) == "bafybeibx67mjitgrw4jvepk3z5yd2h2pyw76yv4sppbnp3slobqalihn6q"
    fetcher = Fetcher(store)
    assert [entry.name for entry in await listed(fetcher, Address(root.cid))] == ["a.txt", "main.wasm", "sub"]
    assert await read(fetcher, Address(root.cid, ("main.wasm",)), 1 << 21) == vector(1048576)
    await save(fetcher, root.cid, tmp_path / "back", str)
    there = {path.relative_to(tmp_path / "back") for path in (tmp_path / "back").rglob("*")}
    assert there == {path.relative_to(tmp_path / "dir") for path in (tmp_path / "dir").rglob("*")}
    assert (tmp_path / "back" / "main.wasm").read_bytes() == vector(1048576)
    assert await complete(fetcher, root.cid) == 9
    assert (await about(fetcher, Address(root.cid, ("main.wasm",)))).size == 1048576


async def test_a_target_that_is_there_is_never_touched(store: BlockStore, tmp_path: Path) -> None:
    root = await add(store, tree(tmp_path), KUBO_V1)
    (tmp_path / "mine").write_bytes(b"mine")
    with pytest.raises(BadName, match=r"/mine is there already\. Name a new target\.$"):
        await save(Fetcher(store), root.cid, tmp_path / "mine", str)
    assert (tmp_path / "mine").read_bytes() == b"mine"


@pytest.mark.parametrize(("name", "written"), [("outside-root", 0), ("inside-root", 0)])
async def test_names_that_lead_outside_write_nothing_anywhere(
    store: BlockStore, tmp_path: Path, name: str, written: int
) -> None:
    root = loaded(store, f"gateway-conformance/path_gateway_tar/{name}.car")
    (tmp_path / "below").mkdir()
    with pytest.raises(Malformed, match="a name that no file may have"):
        await save(Fetcher(store), root.cid, tmp_path / "below" / "out", str)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["below", "store"]
    assert len(list((tmp_path / "below").iterdir())) == written


async def test_a_file_with_a_missing_block_leaves_nothing_half(store: BlockStore, tmp_path: Path) -> None:
    root = loaded(store, "gateway-conformance/trustless_gateway_car/file-3k-and-3-blocks-missing-block.car")
    with pytest.raises(Unavailable, match="is not here"):
        await save(Fetcher(store), root.cid, tmp_path / "out", str)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


async def test_a_symbolic_link_of_others_is_made_where_it_stays_inside(store: BlockStore, tmp_path: Path) -> None:
    root, told = loaded(store, "gateway-conformance/path_gateway_unixfs/symlink.car"), list[str]()
    await save(Fetcher(store), root.cid, tmp_path / "out", told.append)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bar", "foo"]
    assert (tmp_path / "out" / "bar").is_symlink()
    assert (tmp_path / "out" / "bar").read_bytes() == (tmp_path / "out" / "foo").read_bytes()
    assert told == []


async def test_a_large_directory_of_others_is_saved_whole(store: BlockStore, tmp_path: Path) -> None:
    root = loaded(store, "boxo/directory-with-multilayer-hamt-and-multiblock-files.car")
    await save(Fetcher(store), root.cid, tmp_path / "out", str)
    assert sum(path.is_file() for path in (tmp_path / "out").rglob("*")) == 6


@pytest.mark.parametrize("budget", [Budget(entries=3), Budget(bytes=1000)])
async def test_a_directory_larger_than_the_budget_is_not_saved(
    store: BlockStore, tmp_path: Path, budget: Budget
) -> None:
    root = await add(store, tree(tmp_path), KUBO_V1)
    with pytest.raises(TooLarge):
        await save(Fetcher(store, (), budget), root.cid, tmp_path / "out", str)
    assert not (tmp_path / "out").exists()


async def test_a_directory_that_holds_itself_many_times_is_not_saved_without_end(
    store: BlockStore, tmp_path: Path
) -> None:
    cid = cid_of(DAG_PB, block := encode_block(b"\x08\x01", ()))
    store.put([(cid, block)])
    for _ in range(9):
        block = encode_block(b"\x08\x01", [Link("a", cid, 0), Link("b", cid, 0)])
        store.put([(cid := cid_of(DAG_PB, block), block)])
    with pytest.raises(TooLarge, match="more than the 200 names that this request may save"):
        await save(Fetcher(store, (), Budget(entries=200)), cid, tmp_path / "out", str)


async def test_what_cannot_be_added_is_named_with_its_way(store: BlockStore, tmp_path: Path) -> None:
    folder = tree(tmp_path)
    os.mkfifo(folder / "sub" / "pipe")
    with pytest.raises(BadName) as fault:
        await add(store, folder, KUBO_V1)
    what = "It is a pipe, a device or a socket; only files, directories and links in them are added."
    assert fault.value.text == f"{folder}/sub/pipe: {what}"
    (folder / "sub" / "pipe").rename(tmp_path / "pipe")
    (folder / "sub" / "two\nlines").write_bytes(b"")
    with pytest.raises(BadName, match=r"/sub/two lines: A name contains characters that cannot be shown\.$"):
        await add(store, folder, KUBO_V1)
    with pytest.raises(StoreFailed, match=r"/nothing: It cannot be read: no such file or directory\.$"):
        await add(store, tmp_path / "nothing", KUBO_V1)
    with pytest.raises(StoreFailed) as fault_of_long:
        await add(store, tmp_path / ("x" * 200), KUBO_V1)
    assert fault_of_long.value.text == f"...{'x' * 120}: It cannot be read: no such file or directory."


async def test_a_file_is_no_directory_and_a_directory_no_file(store: BlockStore, tmp_path: Path) -> None:
    root = await add(store, tree(tmp_path), Profile(0, raw_leaves=False, chunk=200_000, width=4))
    with pytest.raises(NoEntry, match="It is a file, no directory"):
        await listed(Fetcher(store), Address(root.cid, ("a.txt",)))
    with pytest.raises(NoEntry, match="It is a directory"):
        await read(Fetcher(store), Address(root.cid), 100)
    with pytest.raises(TooLarge, match="larger than the 10 bytes"):
        await read(Fetcher(store), Address(root.cid, ("main.wasm",)), 10)
