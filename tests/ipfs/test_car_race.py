"""Gateways that are slow, fail or lie, side by side, in simulated time: what they bring is put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from ipfsdata import imported, vector

from ipfs.addresses import LOCAL_GATEWAY, Source
from ipfs.blockstore import BlockStore
from ipfs.caps import CAR_RATE, Budget
from ipfs.cid import DAG_PB, IDENTITY, RAW, Cid, cid_of
from ipfs.fetching import Fetcher
from ipfs.gateway import Gateway
from ipfs.importer import PROFILES, Profile, Root, directory
from ipfs.troubles import SourceFailed, TooLarge, Unverified
from ipfs.web import Patience

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from trio.testing import MockClock

ROOT, BLOCKS = imported(vector(40), Profile(1, raw_leaves=True, chunk=4, width=20))
ORDER = [(cid, BLOCKS[cid]) for cid in [ROOT.cid, *(cid for cid in BLOCKS if cid != ROOT.cid)]]
DEAD, LIAR = SourceFailed("The source is dead."), Unverified("The bytes are not what the CID says.")


class Simulated(Gateway):
    """A block each `pause` seconds, each as `size` bytes of the line; after `good` of them `fault`, if any."""

    def __init__(self, pause: float, size: int = 1, good: int = 99, fault: Exception | None = None) -> None:
        self.source, self.patience = Source(LOCAL_GATEWAY, f"http://127.0.0.1:{id(self)}"), Patience()
        self._pause, self._size, self._good, self._fault = pause, size, good, fault
        self.began: float | None = None
        self.ended = 0.0
        self.calls = 0

    async def car(self, cid: Cid, scope: str, heard: Callable[[int], None]) -> AsyncGenerator[tuple[Cid, bytes], None]:
        assert (cid, scope) == (ROOT.cid, "all")
        self.began = trio.current_time()
        self.calls += 1
        try:
            for found in ORDER[: self._good]:
                await trio.sleep(self._pause)
                heard(self._size)
                yield found
            if self._fault is not None:
                raise self._fault
        finally:
            self.ended = trio.current_time()


def fetcher(folder: Path, *gateways: Gateway, blocks: int = 1000) -> Fetcher:
    return Fetcher(BlockStore(folder), gateways, Budget(blocks=blocks))


def whole(folder: Path) -> bool:
    return all(map(BlockStore(folder).has, BLOCKS))


async def test_a_gateway_that_drips_is_overtaken_after_the_head_start(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    slow, fast = Simulated(8.0), Simulated(0.01)
    await fetcher(tmp_path, slow, fast).warm(ROOT.cid, "all")
    assert (slow.began, fast.began) == (pytest.approx(0), pytest.approx(0.5))
    assert slow.ended < 0.7
    assert whole(tmp_path)


async def test_one_that_becomes_slow_is_overtaken_then(tmp_path: Path, autojump_clock: MockClock) -> None:
    class Tires(Simulated):
        async def car(
            self, cid: Cid, scope: str, heard: Callable[[int], None]
        ) -> AsyncGenerator[tuple[Cid, bytes], None]:
            for _ in range(10):
                await trio.sleep(0.1)
                heard(CAR_RATE)
            async for found in super().car(cid, scope, heard):
                yield found

    fast = Simulated(0.01)
    await fetcher(tmp_path, Tires(8.0), fast).warm(ROOT.cid, "all")
    assert fast.began is not None
    assert 1.0 < fast.began < 2.1


async def test_one_that_is_quick_is_asked_alone_however_long_it_takes(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    enough, other = Simulated(0.4, CAR_RATE), Simulated(0.01)
    await fetcher(tmp_path, enough, other).warm(ROOT.cid, "all")
    assert other.began is None
    assert enough.ended > 4.0
    assert whole(tmp_path)


async def test_one_that_fails_is_followed_at_once_and_one_that_lied_is_not_asked_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    dead, liar, honest = Simulated(0.0, good=2, fault=DEAD), Simulated(0.0, good=1, fault=LIAR), Simulated(0.0)
    fetching = fetcher(tmp_path, dead, liar, honest)
    await fetching.warm(ROOT.cid, "all")
    assert honest.began == pytest.approx(0)
    assert whole(tmp_path)
    await fetching.warm(ROOT.cid, "all")
    assert [dead.calls, liar.calls, honest.calls] == [2, 1, 2]


async def test_where_all_fail_nothing_is_raised(tmp_path: Path, autojump_clock: MockClock) -> None:
    await fetcher(tmp_path, Simulated(0.0, good=0, fault=DEAD), Simulated(0.0, good=0, fault=LIAR)).warm(
        ROOT.cid, "all"
    )
    await fetcher(tmp_path).warm(ROOT.cid, "all")
    assert not whole(tmp_path)


async def test_what_several_bring_is_counted_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    gateways = [Simulated(0.2) for _ in range(5)]
    fetching = fetcher(tmp_path, *gateways, blocks=len(BLOCKS))
    await fetching.warm(ROOT.cid, "all")
    assert sum(each.began is not None for each in gateways) > 2
    assert fetching.fetched_blocks == len(BLOCKS)
    assert fetching.fetched_bytes == sum(map(len, BLOCKS.values()))


class Sends(Simulated):
    """These, at once, and a proper end."""

    def __init__(self, blocks: list[tuple[Cid, bytes]]) -> None:
        super().__init__(0.0)
        self._blocks = blocks

    async def car(self, cid: Cid, scope: str, heard: Callable[[int], None]) -> AsyncGenerator[tuple[Cid, bytes], None]:
        self.began = trio.current_time()
        self.calls += 1
        for found in self._blocks:
            await trio.lowlevel.checkpoint()
            heard(len(found[1]))
            yield found


@pytest.mark.parametrize("count", range(len(ORDER)))
async def test_a_car_that_ends_early_however_well_it_is_formed_does_not_win(
    tmp_path: Path, count: int, autojump_clock: MockClock
) -> None:
    early, honest = Simulated(0.0, good=count), Simulated(0.0)
    fetching = fetcher(tmp_path, early, honest)
    await fetching.warm(ROOT.cid, "all")
    assert (early.calls, honest.calls) == (1, 1)
    assert whole(tmp_path)
    assert fetching.fetched_blocks == len(BLOCKS)


async def test_gateways_that_have_a_part_each_make_up_the_whole(tmp_path: Path, autojump_clock: MockClock) -> None:
    parts = [Sends([ORDER[0], *ORDER[1::3]]), Sends([ORDER[0], *ORDER[2::3]]), Sends(ORDER[3::3]), Simulated(0.0)]
    await fetcher(tmp_path, *parts).warm(ROOT.cid, "all")
    assert [each.calls for each in parts] == [1, 1, 1, 0]
    assert whole(tmp_path)


async def test_what_was_brought_before_the_last_one_failed_is_kept(tmp_path: Path, autojump_clock: MockClock) -> None:
    await fetcher(tmp_path, Simulated(0.0, good=3), Simulated(0.0, good=5, fault=DEAD)).warm(ROOT.cid, "all")
    assert [BlockStore(tmp_path).has(cid) for cid, _ in ORDER] == [True] * 5 + [False] * (len(ORDER) - 5)


async def test_a_block_under_another_codec_does_not_hide_what_it_asks_for(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """As raw bytes the root would name nothing, and everything would be there."""
    disguised, honest = Sends([(Cid(1, RAW, ROOT.cid.hash, ROOT.cid.digest), BLOCKS[ROOT.cid])]), Simulated(0.0)
    await fetcher(tmp_path, disguised, honest).warm(ROOT.cid, "all")
    assert honest.calls == 1
    assert whole(tmp_path)


class Chaff(Simulated):
    """True blocks of twenty bytes that nobody asked for, one each `pause` seconds, without an end."""

    async def car(self, cid: Cid, scope: str, heard: Callable[[int], None]) -> AsyncGenerator[tuple[Cid, bytes], None]:
        number = 0
        while True:
            await trio.sleep(self._pause)
            heard(20)
            self.calls = number = number + 1
            block = number.to_bytes(20)
            yield cid_of(RAW, block), block


@pytest.mark.parametrize(("pause", "seconds", "blocks"), [(1.0, 30.0, 29), (0.001, 4.1, 4097)])
async def test_chaff_in_tiny_blocks_is_cut_by_the_time_of_a_block_and_by_its_number(
    tmp_path: Path, autojump_clock: MockClock, pause: float, seconds: float, blocks: int
) -> None:
    chaff, began = Chaff(pause), trio.current_time()
    await fetcher(tmp_path, chaff).warm(ROOT.cid, "all")
    assert trio.current_time() - began == pytest.approx(seconds, abs=0.01)
    assert chaff.calls in (blocks, blocks + 1)


async def test_what_is_sent_again_and_again_is_chaff(tmp_path: Path, autojump_clock: MockClock) -> None:
    again, honest = Sends([ORDER[0], *[ORDER[0]] * 100_000]), Simulated(0.0)
    await fetcher(tmp_path, again, honest).warm(ROOT.cid, "all")
    assert whole(tmp_path)


async def test_what_carries_itself_in_its_name_is_not_waited_for(tmp_path: Path, autojump_clock: MockClock) -> None:
    inline = Root(Cid(1, RAW, IDENTITY, b"mine"), 4, 4)
    _, block = directory({"a": inline, "b": Root(ORDER[-1][0], 4, 4)}, PROFILES["kubo-v1"])
    root = cid_of(DAG_PB, block)
    first, other = Sends([(root, block), ORDER[-1]]), Sends([])
    await fetcher(tmp_path, first, other).warm(root, "all")
    assert (first.calls, other.calls) == (1, 0)
    assert BlockStore(tmp_path).has(root)
    nobody = Sends([])
    await fetcher(tmp_path, nobody).warm(inline.cid, "all")
    assert nobody.calls == 0


async def test_more_blocks_than_the_budget_are_not_even_wanted(tmp_path: Path, autojump_clock: MockClock) -> None:
    with pytest.raises(TooLarge, match="blocks that this request may fetch"):
        await fetcher(tmp_path, Simulated(0.0, good=1, fault=DEAD), blocks=9).warm(ROOT.cid, "all")
