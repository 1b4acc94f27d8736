"""`gatebus snapshot --ipfs` and `gatebus restore ipfs://CID`: from one host to another, by content alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import trio
from hostilegateway import Hostile
from hostilegateway import serving as gateways
from hostprocess import gatebus, serving
from ipfsdata import imported
from liveworld import CHAIN, chained
from multiformats import multibase

from ipfs.addresses import parse_address_untrusted
from ipfs.blockstore import BlockStore
from ipfs.cid import parse_cid_untrusted
from ipfs.pins import Pins, below

if TYPE_CHECKING:
    from pathlib import Path

TAKEN_FOR_A_FILE = "It is a stopped program, no file. `gatebus restore ipfs://{}` lets it go on."
HOST = ("--listen", "127.0.0.1:0", "--stop-seconds", "0")


def says(home: Path, *line: str, stdin: bytes = b"", **variables: str) -> bytes:
    done = gatebus(home, *line, stdin=stdin, **variables)
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout


def kept(home: Path, cid: str) -> dict[bytes, bytes]:
    """Multihash -> block of everything that the pin keeps."""
    store = BlockStore(home / ".local" / "share" / "gatebus" / "ipfs")
    root = parse_address_untrusted(f"ipfs://{cid}").cid
    assert root in Pins(store).all()
    files = {bytes.fromhex(path.name): path for path in (store.folder / "blocks").glob("*/*")}
    return {key: files[key].read_bytes() for key in below(store, root, lambda: None)}


def stopped_twice(home: Path) -> tuple[dict[bytes, bytes], str]:
    """A program at a host that is gone afterwards: the blocks of two snapshots of it, and the second one's CID."""
    (home / "chain.wat").write_bytes(CHAIN)
    with serving(home, *HOST):
        instance = says(home, "launch", "--transient", str(home / "chain.wat")).decode().strip()
        first = says(home, "snapshot", "--ipfs", instance).decode().strip()
        second = says(home, "snapshot", "--ipfs", instance).decode().strip()
    one, two = kept(home, first), kept(home, second)
    assert first != second
    assert len(one.keys() & two.keys()) >= len(two) // 2  # what did not change is the same block
    return two, second


async def test_a_program_goes_on_at_a_host_that_has_never_heard_of_it(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    blocks, cid = await trio.to_thread.run_sync(stopped_twice, one)
    server = Hostile({})
    server.blocks = blocks

    def story() -> None:
        source = {"GATEBUS_IPFS_SOURCES": f"local+{server.url}"}
        with serving(other, *HOST):
            for named in (f"ipfs://{cid}", multibase.encode(bytes(parse_cid_untrusted(cid)), "base58btc")):
                instance = says(other, "restore", named, **source).decode().strip()
                assert says(other, "io", instance, stdin=b"hello") == chained(b"hello")
        for line in (("stat",), ("ls",), ("cat",), ("get",)):
            done = gatebus(other, "ipfs", *line, cid, "--offline")
            assert (done.returncode, done.stdout) == (125, b"")
            assert done.stderr.decode() == f"gatebus: {cid}: {TAKEN_FOR_A_FILE.format(cid)}\n"
        done = gatebus(other, "run", f"ipfs://{cid}", GATEBUS_IPFS_SOURCES="")
        assert TAKEN_FOR_A_FILE.format(cid) in done.stderr.decode()

    async with gateways(server):
        await trio.to_thread.run_sync(story)


async def test_a_gateway_that_lies_brings_nothing_to_the_host(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    blocks, cid = await trio.to_thread.run_sync(stopped_twice, one)
    server = Hostile({}, "flip")
    server.blocks = blocks

    def story() -> None:
        with serving(other, *HOST):
            done = gatebus(other, "restore", f"ipfs://{cid}", GATEBUS_IPFS_SOURCES=f"local+{server.url}")
            assert (done.returncode, done.stdout) == (125, b"")
            assert re.match(rb"gatebus: .", done.stderr)
            assert says(other, "snapshots", "--json") == b"[]\n"

    async with gateways(server):
        await trio.to_thread.run_sync(story)


def test_what_is_wrong_here_is_found_before_a_snapshot_is_taken(tmp_path: Path) -> None:
    (tmp_path / "chain.wat").write_bytes(CHAIN)
    with serving(tmp_path, *HOST):
        instance = says(tmp_path, "launch", "--transient", str(tmp_path / "chain.wat")).decode().strip()
        for variables in ({"GATEBUS_IPFS_STORE": "/proc/nope"}, {"GATEBUS_IPFS_SOURCES": "bogus"}):
            done = gatebus(tmp_path, "snapshot", "--ipfs", instance, **variables)
            assert (done.returncode, done.stdout) == (125, b""), done
            assert b"unforeseen" not in done.stderr
        assert says(tmp_path, "snapshots", "--json") == b"[]\n"
        down = {"GATEBUS_IPFS_SOURCES": "node+http://127.0.0.1:1"}
        done = gatebus(tmp_path, "snapshot", "--ipfs", instance, **down)
        assert done.returncode == 125
        assert kept(tmp_path, done.stdout.decode().strip())
        assert done.stderr.startswith(b"gatebus: It is kept in your store, but a node did not take it: ")
        path = gatebus(
            tmp_path, "restore", "ipfs://bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy/prog.wasm"
        )
        assert path.stderr.endswith(
            b"/prog.wasm: A snapshot is named by its CID alone: leave out what stands behind it.\n"
        )


async def test_content_that_is_something_else_is_not_fetched(tmp_path: Path) -> None:
    root, blocks = imported(b"x" * 1_000_000)
    server = Hostile(blocks)

    def story() -> None:
        with serving(tmp_path, *HOST):
            done = gatebus(tmp_path, "restore", str(root.cid), GATEBUS_IPFS_SOURCES=f"local+{server.url}")
            assert (done.returncode, done.stdout) == (125, b"")
            assert b"This content is no snapshot" in done.stderr
            assert len(server.asked) == 1
            mistyped = gatebus(tmp_path, "restore", f"{str(root.cid)[:-1]}")
            assert mistyped.stderr.decode() == (
                f"gatebus: None of your snapshots begins with {str(root.cid)[:40]}, or has it as a tag. "
                "`gatebus snapshots` lists them. It is no CID either, or one that was mistyped.\n"
            )

    async with gateways(server):
        await trio.to_thread.run_sync(story)
