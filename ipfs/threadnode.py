"""A node's blocks by way of the package ipfshttpclient, for whoever wants that one; a wire.

In:  a CID; answers of a node (untrusted, bounded). Out: blocks that are what their CIDs say.

The package blocks its thread and cannot be cancelled: whoever gives up leaves the thread, which ends by its own
deadline. It knows no node newer than 0.8 and says so at `connect`, which is therefore not called. Only its requests
for blocks are used; the node is asked as node.py does it, and believed no more.
"""

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, Protocol
from urllib.parse import urlsplit

import trio

from ipfs.addresses import Source
from ipfs.caps import AHEAD, BLOCK_MAX
from ipfs.cid import Cid, verify_untrusted
from ipfs.troubles import SourceFailed, SourceRefused
from ipfs.web import Patience


class Client(Protocol):
    """The part of ipfshttpclient.Client that is used."""

    block: Any


class ThreadNode:
    """Made by open_thread_node. Sources are asked side by side: `block` takes one of AHEAD threads of its own."""

    def __init__(self, source: Source, client: Client, patience: Patience) -> None:
        self.source = source
        self.patience = patience
        self._client = client
        self._threads = trio.CapacityLimiter(AHEAD)

    async def block(self, cid: Cid) -> bytes:
        """Raises SourceFailed, SourceRefused, Unverified, Unsupported."""
        try:
            with trio.fail_after(self.patience.block):
                block = await trio.to_thread.run_sync(self._read, cid, abandon_on_cancel=True, limiter=self._threads)
        except trio.TooSlowError:
            raise SourceFailed("The source did not send a block in time.") from None
        verify_untrusted(cid, block)
        return block

    def _read(self, cid: Cid) -> bytes:
        """In a thread that ends by itself, after the time for one block and one silence at the latest."""
        import ipfshttpclient
        import requests

        out, until = bytearray(), monotonic() + self.patience.block
        try:
            options = {"timeout": f"{max(1, int(self.patience.block))}s"}
            with self._client.block.get(str(cid), stream=True, timeout=self.patience.silence, opts=options) as pieces:
                for piece in pieces:
                    out += piece
                    if len(out) > BLOCK_MAX or monotonic() > until:
                        raise SourceFailed("The source sends more than was asked for.")
        except requests.TooManyRedirects:
            raise SourceRefused("The source sends us elsewhere; redirects are not followed.") from None
        except (ipfshttpclient.exceptions.Error, requests.RequestException, OSError) as problem:
            raise SourceFailed("The source does not have it, or did not answer properly.") from problem
        return bytes(out)


@asynccontextmanager
async def open_thread_node(source: Source, patience: Patience) -> AsyncIterator[ThreadNode]:
    """Raises SourceRefused: the package is not there."""
    try:
        import ipfshttpclient
    except ImportError:
        raise SourceRefused(
            "This source needs the package ipfshttpclient: pip install 'gatebus[ipfshttpclient]'."
        ) from None
    warnings.filterwarnings("ignore", "The 'strict' parameter", FutureWarning)  # of a library below, at every request
    address, base = _place(source.url)
    client = ipfshttpclient.Client(address, base, timeout=patience.silence, session=False)
    # Not the environment's proxies and passwords, and no redirects, as web.py has it.
    client._client._session_props.update(trust_env=False, max_redirects=0)
    try:
        yield ThreadNode(source, client, patience)
    finally:
        client.close()


def _place(url: str) -> tuple[str, str]:
    """(multiaddr, path of the RPC) of a URL that was checked."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    kind = "ip6" if ":" in host else "ip4" if host.replace(".", "").isdecimal() else "dns"
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return f"/{kind}/{host}/tcp/{port}/{parts.scheme}", f"{parts.path.strip('/')}/api/v0".lstrip("/")
