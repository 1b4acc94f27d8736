"""A trustless gateway, and a node's RPC: where blocks come from; a wire.

In:  a CID; answers of a source that may lie in every way. Out: blocks that are what their CIDs say.

Both offer single blocks; a gateway also a whole file or tree as a CAR, which saves a way there and back for each level.
"""

from collections.abc import AsyncGenerator

import trio

from ipfs.addresses import NODE, Source
from ipfs.caps import BLOCK_MAX
from ipfs.car import CarReader
from ipfs.cid import RAW, Cid, parse_cid_untrusted, verify_untrusted
from ipfs.troubles import BadName, SourceFailed, Unverified
from ipfs.web import Patience, Request, Web

_RAW_TYPE = "application/vnd.ipld.raw"
_CAR_TYPE = "application/vnd.ipld.car; version=1; order=dfs; dups=n"
# An answer of the RPC that is no block: a line of JSON.
_ANSWER_MAX = 65_536
_PART = "gatebus-part"


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

    async def car(self, cid: Cid, scope: str) -> AsyncGenerator[tuple[Cid, bytes], None]:
        """Blocks that are what they say; whether anybody wants them is for the caller to know. `scope` is entity or
        all. Between two blocks it may take as long as for one.
        """
        reader = CarReader()
        request = Request("GET", f"/ipfs/{cid}", {"format": "car", "dag-scope": scope}, _CAR_TYPE)
        async with self._web.stream(request) as answer:
            while piece := await answer.piece():
                for found in reader.feed(piece):
                    yield found
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

    async def version(self) -> str:
        answer = await self._ask(Request("POST", "/api/v0/version", {}))
        return _field_untrusted(answer, "Version")

    async def put(self, cid: Cid, block: bytes) -> None:
        """Gives the node a block. Raises Unverified if it took it for something else."""
        codec = "raw" if cid.codec == RAW else "dag-pb"
        parameters = {"cid-codec": codec, "mhtype": "sha2-256", "pin": "false"}
        request = Request("POST", "/api/v0/block/put", parameters, body=_form(block), headers=_form_headers())
        answer = await self._ask(request)
        try:
            taken = parse_cid_untrusted(_field_untrusted(answer, "Key"))
        except BadName:
            raise SourceFailed("The node's answer is no answer.") from None
        if taken.key != cid.key:
            raise Unverified("The node took a block for another one.")

    async def pin(self, cid: Cid) -> None:
        await self._ask(Request("POST", "/api/v0/pin/add", {"arg": str(cid)}))

    async def _ask(self, request: Request) -> bytes:
        try:
            with trio.fail_after(self.patience.block):
                return await self._web.read(request, _ANSWER_MAX)
        except trio.TooSlowError:
            raise SourceFailed("The node did not answer in time.") from None


Asked = Gateway | Node


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


def _field_untrusted(answer: bytes, name: str) -> str:
    import json

    try:
        value = json.loads(answer)[name]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SourceFailed("The node's answer is no answer.") from None
    return str(value)[:100]


def _form(block: bytes) -> bytes:
    head = f'--{_PART}\r\nContent-Disposition: form-data; name="data"; filename="data"\r\n\r\n'
    return head.encode() + block + f"\r\n--{_PART}--\r\n".encode()


def _form_headers() -> dict[str, str]:
    return {"Content-Type": f"multipart/form-data; boundary={_PART}"}
