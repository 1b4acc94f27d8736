"""`gatebus snapshot --ipfs` and `gatebus restore ipfs://CID`: snapshots by content; assembly.

In:  a snapshot's file from a host; an address that a person typed; blocks of strangers (untrusted: each is verified,
     and the host checks the whole again). Out: a CID, pinned in the person's own block store; a snapshot's file.

The host takes no part in it: what it gives is an export, what it gets an import. So it needs no store of blocks, and
the person's gateways and nodes are asked, not its own.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import trio

from gatebus.cli.ipfs_command import chosen, open_store, progress
from gatebus.faults import NoContent
from gatebus.snapshots.contentblocks import from_blocks_untrusted
from gatebus.snapshots.fileblocks import blocks_of_file_untrusted
from ipfs.addresses import NODE, parse_address_untrusted
from ipfs.caps import Budget
from ipfs.content import complete
from ipfs.fetching import open_fetcher
from ipfs.pins import Pins
from ipfs.publishing import publish
from ipfs.troubles import IpfsError

if TYPE_CHECKING:
    from ipfs.blockstore import BlockStore
    from ipfs.cid import Cid

# A snapshot's file has at most 256 MiB; each chunk is a block, and a person waits.
_BUDGET = Budget(bytes=300 << 20, blocks=20_000, entries=1, seconds=1_200)


async def save_by_content(data: bytes) -> str:
    """The CID. Into the person's store, pinned, and to the nodes of GATEBUS_IPFS_SOURCES. Raises BadSnapshot,
    NoContent.
    """
    store = open_store()
    try:
        root = await trio.to_thread.run_sync(_put, store, data)
        for node in chosen(None):
            if node.kind == NODE:
                await publish(store, node, root)
    except IpfsError as fault:
        raise NoContent(fault.text) from None
    return str(root)


def _put(store: BlockStore, data: bytes) -> Cid:
    blocks = list(blocks_of_file_untrusted(data))
    with store.shared():
        store.put(blocks)
        root = blocks[-1][0]
        Pins(store).add(root)
    return root


async def file_by_content(address: str) -> bytes:
    """Raises BadSnapshot,
    NoContent.
    """
    try:
        root = parse_address_untrusted(address).cid
        async with open_fetcher(open_store(), chosen(None), _BUDGET, _told) as fetcher:
            with progress(fetcher):
                await complete(fetcher, root)
            return await trio.to_thread.run_sync(partial(_whole, fetcher.store, root))
    except IpfsError as fault:
        raise NoContent(fault.text) from None


def _whole(store: BlockStore, root: Cid) -> bytes:
    def get(cid: Cid) -> bytes:
        block = store.get(cid)
        if block is None:
            raise NoContent("A block of the snapshot has gone from the store meanwhile. Try again.")
        return block

    return b"".join(from_blocks_untrusted(root, get))


def _told(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"gatebus: {text}\n")
