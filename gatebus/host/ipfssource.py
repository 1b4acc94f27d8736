"""Modules that a call names by content (ipfs://CID/path): fetched by the host, verified block by block; assembly.

In:  an address (untrusted text), sources that the host's owner configured (untrusted, too: every byte is checked
against the CID). Out: bytes of a module, or a Refusal that says whose fault it is.

Each fetch has a store of its own that goes with it: else whoever names new content again and again would fill the disk.
What was fetched is known by its hash afterwards, as long as its image stays in the sandbox's cache.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from gatebus.bounds import FETCH_SECONDS
from gatebus.faults import UsageError
from gatebus.host.refusals import Refusal
from ipfs.addresses import parse_address_untrusted, parse_source_untrusted
from ipfs.blockstore import BlockStore
from ipfs.caps import MIB, Budget
from ipfs.content import read
from ipfs.fetching import open_fetcher
from ipfs.troubles import IpfsError, TooLarge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipfs.addresses import Source

# A module of 32 MiB has about 130 blocks; a directory on the way to it some more.
_BLOCKS = 10_000


class IpfsSource:
    """A programs.Source. `folder`: where what is on its way lies."""

    def __init__(self, folder: Path, sources: Sequence[Source]) -> None:
        self._folder = folder
        self._sources = sources

    async def fetch(self, address: str, size: int) -> bytes:
        """At most `size` bytes. Raises Refusal."""
        try:
            return await self._fetch(address, size)
        except TooLarge:
            raise Refusal(
                "bad-request", f"What the address names has more than the {size} bytes of a module."
            ) from None
        except IpfsError as fault:
            raise Refusal("not-found", fault.text) from None

    async def _fetch(self, address: str, size: int) -> bytes:
        wanted = parse_address_untrusted(address)
        budget = Budget(bytes=size + MIB, blocks=_BLOCKS, seconds=FETCH_SECONDS)
        await trio.to_thread.run_sync(_make, self._folder)
        with tempfile.TemporaryDirectory(dir=self._folder, ignore_cleanup_errors=True) as folder:
            async with open_fetcher(BlockStore(Path(folder)), self._sources, budget, _nobody) as fetcher:
                return await read(fetcher, wanted, size)


def ipfs_source(folder: Path, texts: Sequence[str]) -> IpfsSource:
    """Raises UsageError."""
    try:
        return IpfsSource(folder, [parse_source_untrusted(text) for text in texts])
    except IpfsError as fault:
        raise UsageError(f"`ipfs_sources`: {fault.text}") from None


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def _nobody(_text: str) -> None:
    """What could be helped is nobody's trouble."""
