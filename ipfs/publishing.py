"""What is in the store, given to a node of one's own: every block, then a pin; assembly.

In:  a root whose blocks are all here; the node's address. Out: the number of blocks that the node has now and keeps.
"""

from collections.abc import Callable
from contextlib import suppress

import trio

from ipfs.addresses import NODE, Source
from ipfs.blockstore import BlockStore
from ipfs.caps import Budget
from ipfs.cid import Cid
from ipfs.content import complete
from ipfs.dagpb import cumulative_untrusted, linked_untrusted
from ipfs.fetching import Fetcher
from ipfs.node import OLDEST, NodeRpc, is_older
from ipfs.troubles import BadName, IpfsError, SourceFailed, Unverified
from ipfs.web import Patience, open_web

# For the version of a node that has just failed: it says it at once or is silent anyway.
_ASKED = 2.0


async def publish(
    store: BlockStore,
    node: Source,
    root: Cid,
    patience: Patience | None = None,
    told: Callable[[int, int], None] = lambda _done, _whole: None,
) -> int:
    """`told` hears how many bytes the node has taken, and how many there are by what is said of them. Raises
    Unavailable for a block that is not here, SourceFailed, Unverified.
    """
    if node.kind != NODE:
        raise BadName("Only a node takes content. It is written node+http://HOST:PORT.")
    limits = patience or Patience()
    here = Fetcher(store, budget=Budget(blocks=1_000_000))
    await complete(here, root)
    async with open_web(node, limits) as web:
        rpc = NodeRpc(web, limits)
        try:
            return await _give(here, rpc, root, told)
        except (SourceFailed, Unverified) as fault:
            raise type(fault)(fault.text + await _age(rpc)) from None


async def _give(here: Fetcher, rpc: NodeRpc, root: Cid, told: Callable[[int, int], None]) -> int:
    seen, waiting, done = {root}, [root], 0
    whole = cumulative_untrusted(root, await here.get(root))
    while waiting:
        cid = waiting.pop()
        block = await here.get(cid)
        if cid.inline is None:
            await rpc.put(cid, block)
        done += len(block)
        told(done, whole)
        fresh = set(linked_untrusted(cid, block)) - seen
        seen |= fresh
        waiting += fresh
    await rpc.pin(root)
    return len(seen)


async def _age(rpc: NodeRpc) -> str:
    """What to do about a node that is too old, if it answers at all; else nothing."""
    with suppress(IpfsError), trio.move_on_after(_ASKED):
        version = await rpc.version()
        if is_older(version):
            return f" It is version {version}; Kubo {OLDEST} or a later one is meant."
    return ""
