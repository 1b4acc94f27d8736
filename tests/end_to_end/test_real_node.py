"""With a real IPFS node (Kubo) on loopback, off line: added there and run here, pushed here and read there."""

from __future__ import annotations

import os
import urllib.request
from typing import TYPE_CHECKING

import pytest
from command_programs import HELLO
from hostprocess import PATIENCE, gatebus, serving
from ipfsdata import vector
from liveworld import CHAIN, chained
from realnode import Kubo, kubo_running

from ipfs.adding import add
from ipfs.addresses import LOCAL_GATEWAY, NODE, Address, Source
from ipfs.blockstore import BlockStore
from ipfs.caps import Budget
from ipfs.cid import parse_cid_untrusted
from ipfs.content import listed, read
from ipfs.fetching import open_fetcher
from ipfs.importer import PROFILES
from ipfs.node import NodeRpc
from ipfs.publishing import publish
from ipfs.troubles import NoEntry, Unavailable
from ipfs.web import Patience, open_web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# How `ipfs add` is asked for what our profiles are called.
ASKED = {
    "unixfs-v0-2015": (),
    "kubo-v1": ("--cid-version=1", "--chunker=size-262144", "--max-file-links=174"),
    "unixfs-v1-2025": ("--cid-version=1", "--chunker=size-1048576", "--max-file-links=1024"),
}
HOST = ("--listen", "127.0.0.1:0", "--stop-seconds", "0")
SIZES = (0, 1, 262_144, 262_145, 3_000_000)


@pytest.fixture(scope="module")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubo]:
    with kubo_running(tmp_path_factory.mktemp("kubo")) as node:
        yield node


def both(kubo: Kubo) -> list[Source]:
    return [Source(LOCAL_GATEWAY, kubo.gateway), Source(NODE, kubo.rpc)]


def program(kubo: Kubo) -> str:
    return kubo.command("add", "-Q", "--cid-version=1", stdin=HELLO.encode()).decode().strip()


@pytest.mark.parametrize("place", ["local+{0.gateway}", "node+{0.rpc}", "ipfshttpclient+{0.rpc}"])
def test_a_program_that_was_added_there_runs_here(kubo: Kubo, place: str, tmp_path: Path) -> None:
    line = ("run", "--source", place.format(kubo), f"ipfs://{program(kubo)}")
    done = gatebus(tmp_path, *line)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hello, world\n", b"")


def test_a_host_runs_what_was_added_there(kubo: Kubo, tmp_path: Path) -> None:
    with serving(tmp_path, "--listen", "127.0.0.1:0", "--fetch-gateways", f"local+{kubo.gateway}"):
        done = gatebus(tmp_path, "call", f"ipfs://{program(kubo)}")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hello, world\n", b"")


def test_the_node_takes_a_car_of_our_gateway_and_has_all_of_it_then(kubo: Kubo, tmp_path: Path) -> None:
    data, store = vector(3_000_000), tmp_path / "blocks"
    (tmp_path / "file").write_bytes(data)
    cid = (
        gatebus(tmp_path, "ipfs", "add", str(tmp_path / "file"), GATEBUS_IPFS_STORE=str(store)).stdout.decode().strip()
    )
    line = ("--listen", "127.0.0.1:0", "--gateway-serve", "true", "--gateway-store", str(store))
    with (
        serving(tmp_path, *line) as host,
        urllib.request.urlopen(f"http://{host.address()}/ipfs/{cid}?format=car", timeout=PATIENCE) as answer,
    ):
        car = answer.read()
    assert kubo.command("dag", "import", "--stats", stdin=car).decode().startswith(f"Pinned root\t{cid}\tsuccess\n")
    assert kubo.command("cat", cid) == data
    assert kubo.command("dag", "export", cid) == car  # to the last byte


def test_what_is_pushed_here_is_read_and_kept_there(kubo: Kubo, tmp_path: Path) -> None:
    data = vector(3 << 20)
    (tmp_path / "file").write_bytes(data)
    done = gatebus(tmp_path, "push", "--ipfs", str(tmp_path / "file"), GATEBUS_IPFS_SOURCES=f"node+{kubo.rpc}")
    assert (done.returncode, done.stderr) == (0, b"")
    cid = done.stdout.decode().strip()
    assert kubo.command("cat", cid) == data
    assert kubo.command("pin", "ls", "--type=recursive", cid).decode().split() == [cid, "recursive"]


def test_a_stopped_program_is_kept_by_the_node_and_goes_on_at_hosts_that_ask_its_rpc_or_its_gateway(
    kubo: Kubo, tmp_path: Path
) -> None:
    (tmp_path / "chain.wat").write_bytes(CHAIN)
    with serving(tmp_path, *HOST):
        launched = gatebus(tmp_path, "launch", "--transient", str(tmp_path / "chain.wat"))
        taken = gatebus(
            tmp_path,
            "snapshot",
            "--ipfs",
            launched.stdout.decode().strip(),
            GATEBUS_IPFS_SOURCES=f"node+{kubo.rpc}",
        )
    assert (taken.returncode, taken.stderr) == (0, b"")
    cid = taken.stdout.decode().strip()
    assert kubo.command("pin", "ls", "--type=recursive", cid).decode().split() == [cid, "recursive"]
    other = tmp_path / "other"
    other.mkdir()
    with serving(other, *HOST):
        for number, source in enumerate((f"node+{kubo.rpc}", f"local+{kubo.gateway}")):
            place = {"GATEBUS_IPFS_SOURCES": source, "GATEBUS_IPFS_STORE": str(tmp_path / f"store {number}")}
            restored = gatebus(other, "restore", f"ipfs://{cid}", **place)
            assert (restored.returncode, restored.stderr) == (0, b"")
            said = gatebus(other, "io", restored.stdout.decode().strip(), stdin=b"hello")
            assert (said.returncode, said.stdout) == (0, chained(b"hello"))


@pytest.mark.parametrize("name", PROFILES)
async def test_a_file_is_called_the_same_here_and_there(kubo: Kubo, name: str, tmp_path: Path) -> None:
    store = BlockStore(tmp_path / "store")
    for size in SIZES:
        (tmp_path / "file").write_bytes(vector(size))
        ours = (await add(store, tmp_path / "file", PROFILES[name])).cid
        assert kubo.command("add", "-Q", "-n", *ASKED[name], stdin=vector(size)).decode().strip() == str(ours)


async def test_a_tree_is_called_the_same_and_given_to_the_node_whole(kubo: Kubo, tmp_path: Path) -> None:
    place = tmp_path / "tree" / "below"
    place.mkdir(parents=True)
    (place / "main.wasm").write_bytes(vector(700_000))
    (place.parent / "\N{GREEK SMALL LETTER MU}.txt").write_bytes(b"a name")
    (place / "link").symlink_to("../\N{GREEK SMALL LETTER MU}.txt")
    (place.parent / "out").symlink_to("/etc/passwd")
    store = BlockStore(tmp_path / "store")
    root = (await add(store, tmp_path / "tree", PROFILES["kubo-v1"])).cid
    there = kubo.command("add", "-Q", "-r", "-n", "--cid-version=1", str(tmp_path / "tree"))
    assert there.decode().strip() == str(root)
    await publish(store, Source(NODE, kubo.rpc), root)
    assert kubo.command("cat", f"{root}/below/main.wasm") == vector(700_000)


@pytest.mark.parametrize("place", [0, 1])
async def test_every_file_of_a_large_directory_is_found_here(kubo: Kubo, place: int, tmp_path: Path) -> None:
    """One that Kubo has cut into parts by the hashes of the names (HAMT), which we only read."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        (folder / f"file {number}").write_bytes(b"%d" % number)
    asked = ("--cid-version=1", "--max-directory-links=8", "--max-hamt-fanout=8", str(folder))
    root = parse_cid_untrusted(kubo.command("add", "-Q", "-r", *asked).strip())
    async with open_fetcher(BlockStore(tmp_path / "store"), [both(kubo)[place]], Budget(), print) as fetcher:
        assert {each.name for each in await listed(fetcher, Address(root))} == set(os.listdir(folder))
        assert fetcher.fetched_blocks > 8  # else it was one block, and nothing is shown
        assert await read(fetcher, Address(root, ("file 41",)), 100) == b"41"
        with pytest.raises(NoEntry):
            await read(fetcher, Address(root, ("file 60",)), 100)


async def test_a_large_file_comes_as_one_car_and_is_what_was_added(kubo: Kubo, tmp_path: Path) -> None:
    data = vector(9_000_000)
    root = parse_cid_untrusted(kubo.command("add", "-Q", stdin=data).strip())
    async with open_fetcher(BlockStore(tmp_path / "store"), both(kubo)[:1], Budget(), print) as fetcher:
        assert await read(fetcher, Address(root), len(data)) == data
    assert fetcher.fetched_blocks == 37  # 35 leaves; the node above them alone, and once more in the CAR


async def test_what_the_node_does_not_have_is_said_at_once(kubo: Kubo, tmp_path: Path) -> None:
    missing = parse_cid_untrusted("bafkreieturf3xfwhkeqy4taa2r46jqkdlajcuoe2zsqwebnr4tinyx4uoy")
    with pytest.raises(Unavailable, match=r"does not have it \(status (404|500)\)"):
        async with open_fetcher(BlockStore(tmp_path / "store"), both(kubo), Budget(), print) as fetcher:
            await read(fetcher, Address(missing), 100)


async def test_the_node_says_its_version(kubo: Kubo) -> None:
    patience = Patience()
    async with open_web(Source(NODE, kubo.rpc), patience) as web:
        said = await NodeRpc(web, patience).version()
    assert f"ipfs version {said}\n" == kubo.command("version").decode()
