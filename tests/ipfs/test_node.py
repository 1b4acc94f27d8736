"""Content given to a node: every block under the same name, then a pin; who does otherwise is not believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakenode import FakeNode, node_running
from ipfsdata import imported, vector

from ipfs.addresses import LOCAL_GATEWAY, Address, Source
from ipfs.blockstore import BlockStore
from ipfs.caps import Budget
from ipfs.cid import IDENTITY, RAW, Cid, cid_of
from ipfs.content import read
from ipfs.fetching import open_fetcher
from ipfs.importer import PROFILES
from ipfs.node import NodeRpc, is_older
from ipfs.publishing import publish
from ipfs.troubles import BadName, SourceFailed, Unavailable, Unsupported, Unverified
from ipfs.web import Patience, open_web

if TYPE_CHECKING:
    from pathlib import Path

DATA = vector(600_000)
ROOT, BLOCKS = imported(DATA)


def filled(folder: Path) -> BlockStore:
    store = BlockStore(folder)
    store.put(BLOCKS.items())
    return store


@pytest.mark.parametrize("profile", ["kubo-v1", "unixfs-v0-2015"])
async def test_what_is_pushed_here_is_pinned_there_and_read_back_by_another(profile: str, tmp_path: Path) -> None:
    root, blocks = imported(DATA, PROFILES[profile])
    store = BlockStore(tmp_path / "mine")
    store.put(blocks.items())
    async with node_running() as node:
        told: list[tuple[int, int]] = []
        assert await publish(store, node.source, root.cid, told=lambda *each: told.append(each)) == len(blocks)
        assert told[-1] == (root.cumulative, root.cumulative)
        assert len(told) == len(blocks)
        assert node.pinned == [str(root.cid)]
        assert sorted(node.blocks) == sorted(cid.key for cid in blocks)
        other = BlockStore(tmp_path / "other")
        async with open_fetcher(other, [node.source], Budget(), print) as fetcher:
            assert await read(fetcher, Address(root.cid), 1 << 20) == DATA


async def test_nothing_is_sent_while_a_block_is_missing_here(tmp_path: Path) -> None:
    store = filled(tmp_path)
    leaf = next(cid for cid in BLOCKS if cid.codec == RAW)
    store.remove([leaf.key])
    async with node_running() as node:
        with pytest.raises(Unavailable):
            await publish(store, node.source, ROOT.cid)
        assert node.asked == []


async def test_only_a_node_takes_content(tmp_path: Path) -> None:
    with pytest.raises(BadName, match="Only a node takes content"):
        await publish(filled(tmp_path), Source(LOCAL_GATEWAY, "http://127.0.0.1:1"), ROOT.cid)


@pytest.mark.parametrize(
    ("what", "said", "fault"),
    [
        ("block/put", b'{"Key": "%s"}' % str(cid_of(RAW, b"other")).encode(), Unverified),
        ("block/put", b'{"Key": "nonsense"}', SourceFailed),
        ("block/put", b'{"Key": 7}', SourceFailed),
        ("block/put", b"no JSON", SourceFailed),
        ("block/put", b"[" * 60_000, SourceFailed),
        ("block/put", b"[]", SourceFailed),
        ("block/put", b" " * 70_000, SourceFailed),
        ("pin/add", b'{"Pins": []}', SourceFailed),
        ("pin/add", b'{"Pins": "all"}', SourceFailed),
        ("pin/add", b'{"Pins": ["%s"]}' % str(cid_of(RAW, b"other")).encode(), SourceFailed),
        ("pin/add", b"{}", SourceFailed),
    ],
)
async def test_a_node_that_answers_otherwise_is_not_believed(
    what: str, said: bytes, fault: type[Exception], tmp_path: Path
) -> None:
    async with node_running() as node:
        node.lies[what] = said
        with pytest.raises(fault):
            await publish(filled(tmp_path), node.source, ROOT.cid)


async def version(node: FakeNode) -> str:
    async with open_web(node.source, Patience()) as web:
        return await NodeRpc(web, Patience()).version()


async def test_a_node_says_its_version_in_bounded_and_printable_text() -> None:
    async with node_running() as node:
        assert await version(node) == "0.43.1"
        node.lies["version"] = b'{"Version": "\\u001b[31m' + b"9" * 100 + b'"}'
        assert await version(node) == "[31m" + "9" * 55
        node.lies["version"] = b"{}"
        with pytest.raises(SourceFailed, match="does not say its version"):
            await version(node)


async def test_a_block_that_no_node_knows_how_to_name_is_not_sent() -> None:
    async with node_running() as node, open_web(node.source, Patience()) as web:
        with pytest.raises(Unsupported):
            await NodeRpc(web, Patience()).put(Cid(1, RAW, IDENTITY, b"x"), b"x")
        assert node.asked == []


async def test_a_node_that_is_too_old_is_told_by_its_version_where_it_fails(tmp_path: Path) -> None:
    store, root = BlockStore(tmp_path), imported(b"mine")[0].cid
    store.put(imported(b"mine")[1].items())
    async with node_running() as node:
        for said, told in (
            (b'{"Version": "0.22.0"}', " It is version 0.22.0; Kubo 0.39 or a later one is meant."),
            (b'{"Version": "0.43.1"}', ""),
            (b"junk", ""),
        ):
            node.lies = {"pin/add": b"{}", "version": said}
            with pytest.raises(SourceFailed) as fault:
                await publish(store, node.source, root)
            assert fault.value.text == "The node does not say that it keeps it." + told
        node.lies = {"version": b'{"Version": "0.22.0"}'}
        assert await publish(store, node.source, root) == 1  # one that does it is not judged by its age


@pytest.mark.parametrize("version", ["0.38.9", "0.4.23", "0.18.1", "0.38"])
def test_what_came_before_the_oldest_that_is_meant_is_older(version: str) -> None:
    assert is_older(version)


@pytest.mark.parametrize("version", ["0.39.0", "0.40.1-rc2", "1.0", "10.1", "", "rainbow", "v0.1", "0", ".1"])
def test_what_is_not_older_or_says_no_version_is_let_be(version: str) -> None:
    assert not is_older(version)
