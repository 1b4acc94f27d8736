"""Blocks by the package ipfshttpclient: believed no more than others, and given up as soon as nobody waits."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

import pytest
import trio
from fakenode import FakeNode, node_running
from hostilegateway import Hostile, serving
from ipfsdata import imported, vector

from ipfs.addresses import THREAD_NODE, Address, Source
from ipfs.blockstore import BlockStore
from ipfs.caps import Budget
from ipfs.content import read
from ipfs.fetching import open_fetcher
from ipfs.threadnode import _place, open_thread_node
from ipfs.troubles import IpfsError, SourceFailed, SourceRefused, Unavailable, Unverified
from ipfs.web import Patience

if TYPE_CHECKING:
    from pathlib import Path

DATA = vector(600_000)
ROOT, BLOCKS = imported(DATA)
HASTY, PATIENT = Patience(silence=0.3, block=0.5), Patience(silence=200, block=200)
SLOW = ("drip", "silent")  # only there it is time that ends it


def holding(node: FakeNode) -> Source:
    node.blocks.update((cid.key, block) for cid, block in BLOCKS.items())
    return Source(THREAD_NODE, node.source.url)


async def test_a_file_is_read_and_no_version_is_too_new(tmp_path: Path) -> None:
    async with node_running() as node:
        source = holding(node)
        async with open_fetcher(BlockStore(tmp_path), [source], Budget(), pytest.fail) as fetcher:
            assert await read(fetcher, Address(ROOT.cid), 1 << 20) == DATA
    assert set(node.asked) == {"block/get"}


@pytest.mark.parametrize(
    ("lie", "fault", "text"),
    [
        ("flip", Unverified, "The bytes are not what the CID says."),
        ("truncate", Unverified, "The bytes are not what the CID says."),
        ("cut", SourceFailed, "The source does not have it, or did not answer properly."),
        ("endless", SourceFailed, "The source sends more than was asked for."),
        ("redirect", SourceRefused, "The source sends us elsewhere; redirects are not followed."),
        ("no http", SourceFailed, "The source does not have it, or did not answer properly."),
        ("compressed", SourceFailed, "The source does not have it, or did not answer properly."),
        ("drip", SourceFailed, "The source d"),
        ("silent", SourceFailed, "The source d"),
    ],
)
async def test_a_node_that_lies_or_is_slow_is_not_believed(lie: str, fault: type[IpfsError], text: str) -> None:
    server = Hostile(BLOCKS, lie)
    patience = HASTY if lie in SLOW else PATIENT
    async with serving(server), open_thread_node(Source(THREAD_NODE, server.url), patience) as node:
        with pytest.raises(fault) as raised:
            await node.block(ROOT.cid)
    assert raised.value.text.startswith(text)


async def test_a_block_that_is_not_there_is_no_fault_of_ours(tmp_path: Path) -> None:
    async with serving(server := Hostile({})):
        source = Source(THREAD_NODE, server.url)
        async with open_fetcher(BlockStore(tmp_path), [source], Budget(), pytest.fail) as fetcher:
            with pytest.raises(Unavailable, match="does not have it"):
                await fetcher.get(ROOT.cid)


async def test_whoever_gives_up_does_not_wait_for_the_thread(tmp_path: Path) -> None:
    """The thread has minutes; whoever waited for it would be found by the test's own limit."""
    server = Hostile(BLOCKS, "silent")
    async with serving(server), open_thread_node(Source(THREAD_NODE, server.url), PATIENT) as node:
        with trio.fail_after(100), trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.block, ROOT.cid)
                await server.was_asked.wait()
                scope.cancel()
    assert scope.cancelled_caught


async def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "ipfshttpclient":
            raise ImportError
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(SourceRefused, match=r"pip install 'gatebus\[ipfshttpclient\]'"):
        async with open_fetcher(BlockStore(tmp_path), [Source(THREAD_NODE, "http://x")], Budget(), print):
            raise AssertionError


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://127.0.0.1:5001", ("/ip4/127.0.0.1/tcp/5001/http", "api/v0")),
        ("http://[::1]:5001", ("/ip6/::1/tcp/5001/http", "api/v0")),
        ("https://node.example", ("/dns/node.example/tcp/443/https", "api/v0")),
        ("http://node.example/below", ("/dns/node.example/tcp/80/http", "below/api/v0")),
    ],
)
def test_a_url_is_written_as_the_package_wants_it(url: str, place: tuple[str, str]) -> None:
    assert _place(url) == place
