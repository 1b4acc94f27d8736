"""`gatebus snapshot --ipfs` and `gatebus restore ipfs://CID`: snapshots by content; assembly.

In:  a snapshot's file from a host; an address that a person typed; blocks of strangers (untrusted: each is verified,
     and the host checks the whole again). Out: a CID, pinned in the person's own block store; a snapshot's file.

The host takes no part in it: what it gives is an export, what it gets an import. So it needs no store of blocks, and
the person's gateways and nodes are asked, not its own.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import trio

from gatebus.cli.contentground import chosen, give, open_store, progress, told, told_in_full
from gatebus.faults import NoContent
from gatebus.snapshots.contentblocks import check_root_untrusted, from_blocks_untrusted
from gatebus.snapshots.fileblocks import blocks_of_file_untrusted
from ipfs.addresses import NODE, parse_address_untrusted
from ipfs.caps import Budget
from ipfs.content import complete
from ipfs.fetching import open_fetcher
from ipfs.pins import Pins
from ipfs.troubles import IpfsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatebus.snapshots.spool import Spool
    from ipfs.addresses import Source
    from ipfs.blockstore import BlockStore
    from ipfs.cid import Cid

# A snapshot's file has at most 256 MiB; each chunk is a block, and a person waits.
_BUDGET = Budget(bytes=300 << 20, blocks=20_000, entries=1, seconds=1_200)


class Shelf(NamedTuple):
    """Where a snapshot's blocks go: looked at before a host is asked for one."""

    store: BlockStore
    nodes: tuple[Source, ...]


def shelf() -> Shelf:
    """The person's store, and the nodes among GATEBUS_IPFS_SOURCES. Raises NoContent."""
    with _said():
        return Shelf(open_store(), tuple(each for each in chosen(None) if each.kind == NODE))


async def save_by_content(place: Shelf, data: memoryview) -> tuple[str, str]:
    """The CID; and what a node had to say that did not take it, or nothing. Raises BadSnapshot, NoContent."""
    with _said():
        root = await trio.to_thread.run_sync(_put, place.store, data)
    try:
        for node in place.nodes:
            await give(place.store, node, root)
    except IpfsError as fault:
        return str(root), fault.text
    return str(root), ""


def _put(store: BlockStore, data: memoryview) -> Cid:
    """The root comes last."""
    roots: deque[Cid] = deque(maxlen=1)

    def blocks() -> Iterator[tuple[Cid, bytes]]:
        for cid, block in blocks_of_file_untrusted(data):
            roots.append(cid)
            yield cid, block

    with store.shared():
        store.put(blocks())
        Pins(store).add(roots[0])
    return roots[0]


async def file_by_content(typed: str, spool: Spool) -> None:
    """Into the spool. The root is looked at first: whatever else the address names is not fetched. Raises BadSnapshot,
    NoContent.
    """
    with _said():
        address = parse_address_untrusted(typed)
        if address.path:
            raise NoContent("A snapshot is named by its CID alone: leave out what stands behind it.")
        async with open_fetcher(open_store(), chosen(None), _BUDGET, told) as fetcher:
            with progress(fetcher):
                root = await fetcher.get(address.cid)
                await fetcher.worker.out(address.cid, root, partial(check_root_untrusted, address.cid, root))
                await complete(fetcher, address.cid)
            await trio.to_thread.run_sync(partial(_joined, fetcher.store, address.cid, spool))


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except IpfsError as fault:
        raise NoContent(told_in_full(fault)) from None


def _joined(store: BlockStore, root: Cid, spool: Spool) -> None:
    def get(cid: Cid) -> bytes:
        block = store.get(cid)
        if block is None:
            raise NoContent("A block of the snapshot has gone from the store meanwhile. Try again.")
        return block

    for piece in from_blocks_untrusted(root, get):
        spool.add(piece)
