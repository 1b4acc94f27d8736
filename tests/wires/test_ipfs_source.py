"""Modules by content at a host: verified, bounded, and nothing of it stays on the disk."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from hostilegateway import Hostile, serving
from ipfsdata import imported

from gatebus.faults import UsageError
from gatebus.host.ipfssource import IpfsSource, ipfs_source
from gatebus.host.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MODULE = b"\0asm" + b"module " * 100_000
ROOT, BLOCKS = imported(MODULE)
MIB = 1 << 20


@asynccontextmanager
async def source(folder: Path, gateway: Hostile) -> AsyncIterator[IpfsSource]:
    async with serving(gateway):
        yield ipfs_source(folder / "fetched", [f"local+{gateway.url}"])


async def refused(found: IpfsSource, address: str, size: int = MIB) -> str:
    with pytest.raises(Refusal) as caught:
        await found.fetch(address, size)
    return caught.value.code


async def test_a_module_is_fetched_by_its_content(tmp_path: Path) -> None:
    async with source(tmp_path, Hostile(BLOCKS)) as found:
        assert await found.fetch(f"ipfs://{ROOT.cid}", MIB) == MODULE


async def test_nothing_of_a_fetch_stays_on_the_disk(tmp_path: Path) -> None:
    async with source(tmp_path, Hostile(BLOCKS)) as found:
        await found.fetch(f"ipfs://{ROOT.cid}", MIB)
        await refused(found, f"ipfs://{ROOT.cid}", 1000)
    assert list((tmp_path / "fetched").iterdir()) == []


@pytest.mark.parametrize("lie", ["flip", "truncate", "other"])
async def test_what_a_source_says_wrongly_is_not_found(lie: str, tmp_path: Path) -> None:
    async with source(tmp_path, Hostile(BLOCKS, lie)) as found:
        assert await refused(found, f"ipfs://{ROOT.cid}") == "not-found"


async def test_what_is_larger_than_a_module_is_refused(tmp_path: Path) -> None:
    async with source(tmp_path, Hostile(BLOCKS)) as found:
        assert await refused(found, f"ipfs://{ROOT.cid}", 1000) == "bad-request"


@pytest.mark.parametrize("address", ["ipfs://", "ipfs://nonsense", "ipfs://bafy/../../etc/passwd", "ipfs://\x1b"])
async def test_what_is_no_address_is_not_found(address: str, tmp_path: Path) -> None:
    async with source(tmp_path, Hostile(BLOCKS)) as found:
        assert await refused(found, address) == "not-found"


def test_a_source_that_is_none_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        ipfs_source(tmp_path, ["ftp://x"])
    assert caught.value.text == (
        "`ipfs_sources`: A source is written https://HOST, local+http://HOST:PORT or node+http://HOST:PORT."
    )
