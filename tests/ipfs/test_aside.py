"""Who decodes what: the loop what is small, a thread what is large, and the answers are the same."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
import trio
from ipfsdata import imported, vector

from ipfs.addresses import Address
from ipfs.aside import Worker, step, worked_out
from ipfs.blockstore import BlockStore
from ipfs.caps import ASIDE
from ipfs.cid import DAG_CBOR, DAG_PB, RAW, Cid, cid_of
from ipfs.content import about, complete, listed, read
from ipfs.dagpb import decode_block_untrusted
from ipfs.fetching import Fetcher
from ipfs.importer import Profile, directory
from ipfs.troubles import Malformed, TooLarge

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

# Nodes of 500 links take 23 KiB.
DATA = vector(1000)
ROOT, BLOCKS = imported(DATA, Profile(1, raw_leaves=True, chunk=2, width=500))


@pytest.mark.parametrize(
    ("codec", "size", "aside"),
    [(DAG_PB, ASIDE, 0), (DAG_PB, ASIDE + 1, 1), (DAG_CBOR, ASIDE + 1, 1), (RAW, 1 << 20, 0)],
)
async def test_only_what_is_large_and_has_to_be_decoded_goes_to_a_thread(codec: int, size: int, aside: int) -> None:
    block = bytes(size)
    there = await worked_out(cid_of(codec, block), block, threading.get_ident)
    assert (there != threading.get_ident()) == bool(aside)


@pytest.mark.parametrize("size", [1, ASIDE + 1])
async def test_a_request_has_so_much_processor_time_and_no_more(size: int) -> None:
    block, worker = bytes(size), Worker(0.05)
    cid = cid_of(DAG_CBOR, block)
    await worker.out(cid, block, lambda: time.sleep(0.1))  # waiting is no work
    assert worker.seconds < 0.05

    def burn() -> None:
        began = time.thread_time()
        while time.thread_time() - began < 0.03:
            pass

    await worker.out(cid, block, burn)
    with pytest.raises(TooLarge, match=r"more than the 0\.05 seconds of processor time"):
        await worker.out(cid, block, burn)
    assert worker.seconds >= 0.06


async def test_an_error_comes_back_from_the_thread_as_it_is() -> None:
    block = bytes(ASIDE + 1)
    cid = cid_of(DAG_PB, block)
    with pytest.raises(Malformed, match="no dag-pb"):
        await worked_out(cid, block, lambda: decode_block_untrusted(cid, block))


async def test_a_question_that_ends_in_a_thread_gives_its_answer() -> None:
    def question() -> Generator[Cid, bytes, int]:
        return len((yield ROOT.cid))

    asked, block = question(), bytes(ASIDE + 1)
    next(asked)
    assert await trio.to_thread.run_sync(step, asked, block) == (None, [ASIDE + 1])


async def test_no_large_node_is_decoded_where_everybody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ipfs import dagpb

    sizes: dict[bool, list[int]] = {True: [], False: []}
    original = dagpb.decode_node

    def watched(block: bytes) -> object:
        sizes[trio.lowlevel.in_trio_run()].append(len(block))
        return original(block)

    monkeypatch.setattr(dagpb, "decode_node", watched)
    root, names = directory({f"{each:03}": ROOT for each in range(400)}, Profile(1, raw_leaves=True, chunk=2, width=9))
    store = BlockStore(tmp_path)
    store.put([*BLOCKS.items(), (root.cid, names)])
    fetcher = Fetcher(store)
    assert await read(fetcher, Address(root.cid, ("007",)), 1000) == DATA
    assert len(await listed(fetcher, Address(root.cid))) == 400
    assert (await about(fetcher, Address(root.cid))).links == 400
    assert await complete(fetcher, root.cid) == len({*BLOCKS, root.cid})
    assert len(sizes[False]) >= 6
    assert max(sizes[True], default=0) <= ASIDE
