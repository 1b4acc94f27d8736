"""Gateways and nodes that lie: none makes us keep or return a wrong byte, wait without an end, or go elsewhere."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from hostilegateway import JUNK, Hostile, serving
from ipfsdata import imported, vector
from waiting import PATIENCE

from ipfs.addresses import GATEWAY, LOCAL_GATEWAY, NODE, Address, Source
from ipfs.blockstore import BlockStore
from ipfs.caps import BLOCK_MAX, Budget
from ipfs.car import car_section
from ipfs.cid import DAG_CBOR, RAW, Cid, cid_of
from ipfs.content import complete, find, read
from ipfs.fetching import Fetcher, one_fault, open_fetcher
from ipfs.importer import Profile, directory
from ipfs.troubles import BadName, StoreFailed, TooLarge, Unavailable, Unsupported
from ipfs.web import Patience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

DATA = vector(50_000)
PROFILE = Profile(1, raw_leaves=True, chunk=4096, width=4)
ROOT, BLOCKS = imported(DATA, PROFILE)
# With the usual patience an honest server in this process is never late, however busy the machine. These are for the
# liars that can only be waited for: alone, and beside an honest one, which must not be late.
VERY_SHORT, SHORT = Patience(silence=0.4, block=0.6), Patience(silence=3, block=5)
SLOW_LIES = ("drip", "silent")
PATIENT = Patience(silence=PATIENCE, block=PATIENCE)
LIMIT = 1 << 20
CHAFF = [each.to_bytes(2, "big") for each in range(10_000)]


@asynccontextmanager
async def fetching(
    folder: Path,
    *servers: Hostile,
    budget: Budget | None = None,
    kind: str = LOCAL_GATEWAY,
    patience: Patience = Patience(),  # noqa: B008, it is frozen
) -> AsyncIterator[tuple[Fetcher, list[str]]]:
    told: list[str] = []
    with one_fault():
        async with serving(*servers):
            sources = [Source(kind, server.url) for server in servers]
            async with open_fetcher(BlockStore(folder), sources, budget or Budget(), told.append, patience) as fetcher:
                yield fetcher, told


def kept(folder: Path) -> int:
    return BlockStore(folder).contents().blocks


async def test_a_file_comes_as_a_car_and_the_second_time_from_the_disk(tmp_path: Path) -> None:
    server = Hostile(BLOCKS)
    async with fetching(tmp_path, server) as (fetcher, told):
        assert await read(fetcher, Address(ROOT.cid), LIMIT) == DATA
        assert len(server.asked) == 2  # the root, then a CAR
        assert await read(fetcher, Address(ROOT.cid), LIMIT) == DATA
        assert len(server.asked) == 2
        assert told == []


async def test_a_file_comes_block_by_block_where_there_are_no_cars(tmp_path: Path) -> None:
    async with fetching(tmp_path, Hostile(BLOCKS, "no car")) as (fetcher, _):
        assert await read(fetcher, Address(ROOT.cid), LIMIT) == DATA
    assert kept(tmp_path) == len(BLOCKS)


async def test_a_file_comes_from_a_node(tmp_path: Path) -> None:
    server = Hostile(BLOCKS)
    async with fetching(tmp_path, server, kind=NODE) as (fetcher, _):
        assert await read(fetcher, Address(ROOT.cid), LIMIT) == DATA
    assert all(path.startswith("/api/v0/block/get?arg=") for path in server.asked)


NEVER = ["flip", "truncate", "cut", "other", "endless", "drip", "compressed", "no http", "redirect", "silent"]


@pytest.mark.parametrize("lie", NEVER)
@pytest.mark.parametrize("kind", [LOCAL_GATEWAY, NODE])
async def test_a_source_that_lies_gives_nothing_and_nothing_of_it_is_kept(tmp_path: Path, lie: str, kind: str) -> None:
    async with fetching(tmp_path, Hostile(BLOCKS, lie), kind=kind, patience=VERY_SHORT) as (fetcher, _):
        with trio.fail_after(PATIENCE), pytest.raises(Unavailable, match="No source has the block"):
            await read(fetcher, Address(ROOT.cid), LIMIT)
    assert kept(tmp_path) == 0


@pytest.mark.parametrize("lie", NEVER)
async def test_beside_an_honest_source_a_liar_changes_nothing(tmp_path: Path, lie: str) -> None:
    patience = SHORT if lie in SLOW_LIES else Patience()
    async with fetching(tmp_path, Hostile(BLOCKS, lie), Hostile(BLOCKS, "no car"), patience=patience) as (fetcher, _):
        fetcher.head_start = 0.05
        with trio.fail_after(PATIENCE):
            assert await read(fetcher, Address(ROOT.cid), LIMIT) == DATA


class TurnsBad(Hostile):
    """Honest for single blocks, hostile with CARs."""

    async def _answer(self, stream: trio.SocketStream, target: str) -> None:
        wanted, self.lie = self.lie, self.lie if "format=car" in target else ""
        try:
            await super()._answer(stream, target)
        finally:
            self.lie = wanted


@pytest.mark.parametrize(
    "lie", ["truncate", "cut", "other", "endless", "chaff", "drip", "junk", "wrong root", "no http"]
)
async def test_a_hostile_car_costs_only_time(tmp_path: Path, lie: str) -> None:
    server = TurnsBad(BLOCKS, lie)
    async with fetching(tmp_path, server, patience=SHORT if lie in SLOW_LIES else Patience()) as (fetcher, _):
        with trio.fail_after(PATIENCE):
            assert await read(fetcher, Address(ROOT.cid), LIMIT) == DATA
    assert server.cars == 1
    assert not BlockStore(tmp_path).has(cid_of(RAW, JUNK))
    assert kept(tmp_path) == len(BLOCKS)


async def test_a_source_that_sent_wrong_bytes_is_not_asked_again_and_that_is_told(tmp_path: Path) -> None:
    liar = Hostile(BLOCKS, "flip")
    async with fetching(tmp_path, liar, Hostile(BLOCKS)) as (fetcher, told):
        assert await read(fetcher, Address(ROOT.cid), LIMIT) == DATA
        assert len(liar.asked) == 1
        assert told == [f"A source ({liar.url}) sent wrong bytes. It is not asked again."]


async def test_a_block_that_no_source_has_is_named(tmp_path: Path) -> None:
    missing = {cid: block for cid, block in BLOCKS.items() if block != DATA[8192:12288]}
    async with fetching(tmp_path, Hostile(missing)) as (fetcher, _):
        with pytest.raises(Unavailable, match=f"No source has the block {cid_of(RAW, DATA[8192:12288])}"):
            await read(fetcher, Address(ROOT.cid), LIMIT)


async def test_where_whoever_was_asked_has_lied_that_is_the_reason(tmp_path: Path) -> None:
    wanted = [cid_of(RAW, DATA[at : at + 4096]) for at in (4096, 8192)]
    async with fetching(tmp_path, Hostile(BLOCKS, "flip")) as (fetcher, told):
        with pytest.raises(Unavailable) as first:
            await fetcher.get(wanted[0])
        with pytest.raises(Unavailable) as second:
            await fetcher.get(wanted[1])
    assert len(told) == 1
    assert first.value.answers == ()  # it was told already
    assert first.value.short == f"No source has the block {wanted[0]}."
    assert first.value.text == f"{first.value.short} The last one: The bytes are not what the CID says."
    assert second.value.text == f"The block {wanted[1]} is not here, and whoever was asked has sent wrong bytes."


async def test_without_sources_the_answer_says_so(tmp_path: Path) -> None:
    async with fetching(tmp_path) as (fetcher, _):
        with pytest.raises(Unavailable, match="nobody is asked for it"):
            await fetcher.get(ROOT.cid)


async def test_a_slow_first_source_is_overtaken(tmp_path: Path) -> None:
    slow, fast = Hostile(BLOCKS, "silent"), Hostile(BLOCKS)
    async with fetching(tmp_path, slow, fast) as (fetcher, _):
        fetcher.head_start = 0.01
        assert await fetcher.get(ROOT.cid) == BLOCKS[ROOT.cid]
    assert (len(slow.asked), len(fast.asked)) == (1, 1)


@pytest.mark.parametrize("budget", [Budget(bytes=20_000), Budget(blocks=3)])
async def test_more_than_the_budget_is_not_fetched(tmp_path: Path, budget: Budget) -> None:
    async with fetching(tmp_path, Hostile(BLOCKS), budget=budget) as (fetcher, _):
        with pytest.raises(TooLarge):
            await read(fetcher, Address(ROOT.cid), LIMIT)


async def test_a_request_ends_with_its_time(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match=r"not finished within the 0.1 seconds"):
        async with fetching(tmp_path, Hostile(BLOCKS, "silent"), budget=Budget(seconds=0.1)) as (fetcher, _):
            await fetcher.get(ROOT.cid)


async def test_another_codec_for_the_same_bytes_is_no_file(tmp_path: Path) -> None:
    other = Cid(1, DAG_CBOR, ROOT.cid.hash, ROOT.cid.digest)
    async with fetching(tmp_path, Hostile(BLOCKS)) as (fetcher, _):
        with pytest.raises(Unsupported, match="codec 0x71"):
            await read(fetcher, Address(other), LIMIT)


async def test_a_block_of_the_largest_size_is_fetched_and_a_larger_one_not(tmp_path: Path) -> None:
    largest, larger = bytes(BLOCK_MAX), bytes(BLOCK_MAX + 1)
    blocks = {cid_of(RAW, largest): largest, cid_of(RAW, larger): larger}
    async with fetching(tmp_path, Hostile(blocks)) as (fetcher, _):
        assert await fetcher.get(cid_of(RAW, largest)) == largest
        with pytest.raises(Unavailable, match="more than was asked for"):
            await fetcher.get(cid_of(RAW, larger))


async def test_a_path_is_followed_over_the_network(tmp_path: Path) -> None:
    root, block = directory({"prog.wasm": ROOT}, PROFILE)
    async with fetching(tmp_path, Hostile({**BLOCKS, root.cid: block})) as (fetcher, _):
        assert await find(fetcher, Address(root.cid, ("prog.wasm",))) == ROOT.cid
        assert await complete(fetcher, root.cid) == len(BLOCKS) + 1


async def test_a_damaged_entry_is_told_and_fetched_again(tmp_path: Path) -> None:
    async with fetching(tmp_path, Hostile(BLOCKS)) as (fetcher, told):
        await fetcher.get(ROOT.cid)
        (entry,) = (tmp_path / "blocks").glob("*/*")
        entry.write_bytes(b"damaged")
        assert await fetcher.get(ROOT.cid) == BLOCKS[ROOT.cid]
        assert told == [f"The stored block {ROOT.cid} is damaged. It was left as it is."]
    assert entry.read_bytes() == BLOCKS[ROOT.cid]


async def test_a_public_gateway_here_is_never_connected_to(tmp_path: Path) -> None:
    server = Hostile(BLOCKS)
    async with fetching(tmp_path, server, kind=GATEWAY) as (fetcher, _):
        with pytest.raises(Unavailable, match="private network"):
            await fetcher.get(ROOT.cid)
    assert server.asked == []


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:1/", "http://169.254.169.254/latest", "//10.0.0.1/x", "/elsewhere", "ipfs://x", ""]
)
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_no_redirect_leads_anywhere(tmp_path: Path, target: str, status: str) -> None:
    class Sends(Hostile):
        async def serve(self, stream: trio.SocketStream) -> None:
            self.asked.append((await stream.receive_some(65536)).decode())
            head = f"HTTP/1.1 {status}\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
            await stream.send_all(head.encode())

    server = Sends(BLOCKS)
    async with fetching(tmp_path, server) as (fetcher, _):
        with pytest.raises(Unavailable, match="sends us elsewhere; redirects are not followed"):
            await fetcher.get(ROOT.cid)
    assert len(server.asked) == 1


async def test_too_many_sources_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(BadName, match="more than 16 sources"):
        async with fetching(tmp_path, *[Hostile({}) for _ in range(17)]):
            pass


@pytest.mark.parametrize("lie", ["", "silent", "drip", "endless"])
async def test_a_request_can_be_given_up_at_every_moment_and_leaves_only_whole_blocks(tmp_path: Path, lie: str) -> None:
    for moment in (0.0, 0.003, 0.01, 0.04):
        store = BlockStore(tmp_path / str(moment))
        with trio.move_on_after(moment):
            async with fetching(store.folder, Hostile(BLOCKS, lie)) as (fetcher, _):
                with suppress(Unavailable):  # the endless one may be found out before
                    await read(fetcher, Address(ROOT.cid), LIMIT)
        assert list(store.folder.glob("blocks/*/*.unfinished")) == []
        for cid, block in BLOCKS.items():
            assert store.get(cid) in (None, block)
        with store.alone():
            pass  # the lock is free again


async def test_nothing_is_fetched_into_a_store_that_is_being_cleaned(tmp_path: Path) -> None:
    with BlockStore(tmp_path).alone(), pytest.raises(StoreFailed, match="being cleaned"):
        async with fetching(tmp_path):
            pass


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that is offered: it is not the disk that is tried with ten thousand files."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


async def test_ten_thousand_tiny_blocks_are_read_or_refused_at_the_budgets_edge(quick_folder: Path) -> None:
    """Chaff that is asked for: a file of single bytes, each under its own hash. Then one block more than is allowed."""
    data = b"".join(CHAFF)
    root, blocks = imported(data, Profile(1, raw_leaves=True, chunk=2, width=174))
    server = Hostile(blocks)
    assert len(blocks) > 10_000
    enough = Budget(blocks=len(blocks) + 1)  # the root comes alone, and again in the CAR
    async with fetching(quick_folder / "enough", server, budget=enough, patience=PATIENT) as (fetcher, _):
        assert await read(fetcher, Address(root.cid), LIMIT) == data
    assert kept(quick_folder / "enough") == len(blocks)
    with pytest.raises(TooLarge, match="It has more than the 500 blocks that this request may fetch"):
        async with fetching(quick_folder / "few", server, budget=Budget(blocks=500), patience=PATIENT) as (fetcher, _):
            await read(fetcher, Address(root.cid), LIMIT)
    assert kept(quick_folder / "few") <= 500


async def test_ten_thousand_tiny_blocks_that_nobody_asked_for_are_not_kept(tmp_path: Path) -> None:
    class Chaff(Hostile):
        def car(self, root: Cid) -> bytes:
            head, *rest = super().car(root), *[car_section(cid_of(RAW, each), each) for each in CHAFF]
            return head + b"".join(rest)

    async with fetching(tmp_path, Chaff(BLOCKS), patience=PATIENT) as (fetcher, told):
        assert await read(fetcher, Address(ROOT.cid), LIMIT) == DATA
        assert told == []
    assert kept(tmp_path) == len(BLOCKS)


async def test_hundreds_of_tiny_blocks_are_read_within_their_budget(tmp_path: Path) -> None:
    root, blocks = imported(vector(600), Profile(1, raw_leaves=True, chunk=1, width=174))
    async with fetching(tmp_path, Hostile(blocks)) as (fetcher, _):
        assert await read(fetcher, Address(root.cid), LIMIT) == vector(600)
        with pytest.raises(TooLarge, match="larger than"):
            await read(fetcher, Address(root.cid), 599)
