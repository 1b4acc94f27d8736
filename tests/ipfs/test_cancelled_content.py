"""Whoever gives up, before any step of anything that waits, leaves a store that is whole and free, and can go on."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
import trio
from fakenode import FakeNode, node_running
from hostilegateway import Hostile, serving
from ipfsdata import imported, vector
from stepwise import cancelled_at

from gatebus.host.contentsource import ContentSource
from ipfs.adding import add
from ipfs.addresses import LOCAL_GATEWAY, NODE, Address, Source
from ipfs.blockstore import BlockStore
from ipfs.caps import Budget
from ipfs.content import complete, listed, read
from ipfs.fetching import open_fetcher
from ipfs.importer import Profile, directory, symlink
from ipfs.pins import Pins
from ipfs.publishing import publish
from ipfs.saving import save

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from ipfs.cid import Cid

SMALL = Profile(1, raw_leaves=True, chunk=4096, width=2)
DATA = vector(8_000)
FILE, BLOCKS = imported(DATA, SMALL)
LINK, LINK_BLOCK = symlink(b"prog", SMALL)
FOLDER, FOLDER_BLOCK = directory({"prog": FILE, "way": LINK}, SMALL)
ALL = {**BLOCKS, LINK.cid: LINK_BLOCK, FOLDER.cid: FOLDER_BLOCK}
ADDRESS = Address(FOLDER.cid, ("prog",))


def whole(folder: Path) -> None:
    """Nothing half is here, and nobody holds it."""
    store = BlockStore(folder)
    assert not list(folder.glob("**/*.unfinished"))
    for cid, block in ALL.items():
        assert store.get(cid) in (None, block)
    with store.alone():
        pass


async def at_every_step(folder: Path, work: Callable[[Path], Awaitable[object]]) -> int:
    """Each time in a new store, and then again, to its end, in the same one. How many steps there were."""
    for step in count(1):
        place = folder / str(step)
        BlockStore(place)
        cancelled = await cancelled_at(step, lambda place=place: work(place))  # type: ignore[misc]
        whole(place)
        if not cancelled:
            return step
        if step % 16 == 0:
            await work(place)
            whole(place)
    raise AssertionError


async def test_a_fetch_block_by_block(tmp_path: Path) -> None:
    async with serving(server := Hostile(ALL, "no car")):

        async def work(place: Path) -> None:
            sources = [Source(LOCAL_GATEWAY, server.url)]
            async with open_fetcher(BlockStore(place), sources, Budget(), pytest.fail) as fetcher:
                assert await read(fetcher, ADDRESS, 1 << 20) == DATA

        assert await at_every_step(tmp_path, work) > 20


async def test_a_fetch_from_a_node_and_a_listing(tmp_path: Path) -> None:
    async with serving(server := Hostile(ALL)):

        async def work(place: Path) -> None:
            async with open_fetcher(BlockStore(place), [Source(NODE, server.url)], Budget(), pytest.fail) as fetcher:
                assert [each.name for each in await listed(fetcher, Address(FOLDER.cid))] == ["prog", "way"]
                assert await complete(fetcher, FOLDER.cid) == len(ALL)

        assert await at_every_step(tmp_path, work) > 20


async def test_a_race_of_two_sources(tmp_path: Path) -> None:
    slow, quick = Hostile(ALL, "silent"), Hostile(ALL, "no car")
    async with serving(slow, quick):

        async def work(place: Path) -> None:
            sources = [Source(LOCAL_GATEWAY, each.url) for each in (slow, quick)]
            async with open_fetcher(BlockStore(place), sources, Budget(), pytest.fail) as fetcher:
                fetcher.head_start = 0.0
                assert await fetcher.get(FOLDER.cid) == FOLDER_BLOCK

        assert await at_every_step(tmp_path, work) > 5


async def test_saving_a_directory_leaves_all_of_it_or_nothing(tmp_path: Path) -> None:
    async with serving(server := Hostile(ALL)):

        async def work(place: Path) -> None:
            sources, target = [Source(LOCAL_GATEWAY, server.url)], place.with_name(f"{place.name} saved")
            async with open_fetcher(BlockStore(place), sources, Budget(), pytest.fail) as fetcher:
                try:
                    if not target.exists():
                        await save(fetcher, FOLDER.cid, target, pytest.fail)
                finally:
                    assert not target.exists() or (target / "way").read_bytes() == DATA

        assert await at_every_step(tmp_path, work) > 20
    assert not list(tmp_path.glob("*.unfinished"))


async def test_adding_a_directory(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "prog").write_bytes(DATA)
    (tmp_path / "mine" / "way").symlink_to("prog")

    async def work(place: Path) -> None:
        store = BlockStore(place)
        with store.shared():
            assert (await add(store, tmp_path / "mine", SMALL)).cid == FOLDER.cid

    assert await at_every_step(tmp_path, work) > 5


async def test_giving_it_to_a_node_pins_nothing_that_is_not_all_there(tmp_path: Path) -> None:
    async with node_running() as node:

        async def work(place: Path) -> None:
            await trio.to_thread.run_sync(BlockStore(place).keep, ALL.items())
            node.blocks.clear()
            node.pinned.clear()
            try:
                assert await publish(BlockStore(place), node.source, FOLDER.cid) == len(ALL)
            finally:
                assert not node.pinned or has_all(node)

        assert await at_every_step(tmp_path, work) > 20


def has_all(node: FakeNode) -> bool:
    return {cid.key for cid in ALL} <= set(node.blocks)


async def test_a_host_that_fetches_and_keeps_it(tmp_path: Path) -> None:
    async with serving(server := Hostile(ALL)):

        async def work(place: Path) -> None:
            source = ContentSource(place, [Source(LOCAL_GATEWAY, server.url)], 1 << 40, pytest.fail)
            try:
                assert await source.fetch(str(ADDRESS), 1 << 20, "me") == DATA
                await source.keep(str(ADDRESS), b"?" * 32)
            finally:
                assert pinned(place) in ([], [FILE.cid])

        assert await at_every_step(tmp_path, work) > 20


def pinned(place: Path) -> list[Cid]:
    return Pins(BlockStore(place)).all()
