"""A snapshot by content that was taken for a program or a file: whoever asked is told what it is; words.

In:  a root that somebody named; its block (untrusted, but verified). Out: the fault with a text that says what to do.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from gatebus.snapshots.contentblocks import is_snapshot_untrusted
from ipfs.troubles import Unsupported

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ipfs.cid import Cid
    from ipfs.fetching import Fetcher


@asynccontextmanager
async def read_as_file(fetcher: Fetcher, root: Cid) -> AsyncIterator[None]:
    """Raises Unsupported, and what is raised inside. The root was read before, so nobody is asked for it."""
    try:
        yield
    except Unsupported:
        block = await fetcher.get(root)
        if not await fetcher.worker.out(root, block, partial(is_snapshot_untrusted, root, block)):
            raise
        raise Unsupported(f"It is a stopped program, no file. `gatebus restore ipfs://{root}` lets it go on.") from None
