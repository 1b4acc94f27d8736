"""A trustless gateway, and a node's RPC: where blocks come from; a wire.

In:  a CID; answers of a source that may lie in every way. Out: blocks that are what their CIDs say.

Both offer single blocks; a gateway also a whole file or tree as a CAR, which saves a way there and back for each level.
"""

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

import trio

from ipfs.addresses import NODE, Source
from ipfs.caps import BLOCK_MAX, CAR_TURN
from ipfs.car import CarReader
from ipfs.cid import Cid, verify_untrusted
from ipfs.troubles import SourceFailed
from ipfs.web import Patience, Request, Web

_RAW_TYPE = "application/vnd.ipld.raw"
_CAR_TYPE = "application/vnd.ipld.car; version=1; order=dfs; dups=n"


class Gateway:
    """`GET /ipfs/CID?format=raw|car`."""

    def __init__(self, source: Source, web: Web, patience: Patience) -> None:
        self.source = source
        self._web = web
        self.patience = patience

    async def block(self, cid: Cid) -> bytes:
        """Raises SourceFailed, SourceRefused, Unverified, Unsupported."""
        request = Request("GET", f"/ipfs/{cid}", {"format": "raw"}, _RAW_TYPE)
        return await _verified(self._web, request, cid, self.patience)

    async def car(self, cid: Cid, scope: str, heard: Callable[[int], None]) -> AsyncGenerator[tuple[Cid, bytes], None]:
        """Blocks that are what they say; whether anybody wants them is for the caller to know. `scope` is entity or
        all. Between two blocks it may take as long as for one. `heard` hears how many bytes came, whatever they are.
        """
        reader = CarReader()
        request = Request("GET", f"/ipfs/{cid}", {"format": "car", "dag-scope": scope}, _CAR_TYPE)
        async with self._web.stream(request) as answer:
            while piece := await answer.piece():
                heard(len(piece))
                for count, found in enumerate(reader.feed(piece), 1):
                    yield found
                    if count % CAR_TURN == 0:
                        await trio.lowlevel.checkpoint()
        reader.finish()


class Node:
    """Kubo's RPC, POST only. It is the user's own; its blocks are verified like everybody's."""

    def __init__(self, source: Source, web: Web, patience: Patience) -> None:
        self.source = source
        self._web = web
        self.patience = patience

    async def block(self, cid: Cid) -> bytes:
        """A node that is on line looks for a missing block until the `timeout` that it is told."""
        wait = f"{max(1, int(self.patience.block))}s"
        request = Request("POST", "/api/v0/block/get", {"arg": str(cid), "timeout": wait})
        return await _verified(self._web, request, cid, self.patience)


class Asked(Protocol):
    """Where single blocks come from; all that fetching knows of a source that is no gateway."""

    source: Source
    patience: Patience

    async def block(self, cid: Cid) -> bytes:
        """Raises SourceFailed, SourceRefused, Unverified, Unsupported."""


def asked(source: Source, web: Web, patience: Patience) -> Asked:
    return Node(source, web, patience) if source.kind == NODE else Gateway(source, web, patience)


async def _verified(web: Web, request: Request, cid: Cid, patience: Patience) -> bytes:
    try:
        with trio.fail_after(patience.block):
            block = await web.read(request, BLOCK_MAX)
    except trio.TooSlowError:
        raise SourceFailed("The source did not send a block in time.") from None
    verify_untrusted(cid, block)
    return block
