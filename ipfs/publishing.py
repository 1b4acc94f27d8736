"""What is in the store, given to a node of one's own: every block, then a pin; assembly.

In:  a root whose blocks are all here; the node's address. Out: the number of blocks that the node has now and keeps.
"""

from collections.abc import Callable

from ipfs.addresses import NODE, Source
from ipfs.blockstore import BlockStore
from ipfs.caps import Budget
from ipfs.cid import Cid
from ipfs.content import complete
from ipfs.dagpb import cumulative_untrusted, linked_untrusted
from ipfs.fetching import Fetcher
from ipfs.node import NodeRpc
from ipfs.troubles import BadName
from ipfs.web import Patience, open_web


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
