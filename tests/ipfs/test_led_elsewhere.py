"""Where the name of a source leads: to no private network, to one address only; what is said when nobody is there."""

from __future__ import annotations

from socket import gaierror
from typing import TYPE_CHECKING

import pytest
import trio
from ipfsdata import imported, vector

from ipfs.addresses import GATEWAY, LOCAL_GATEWAY, Source
from ipfs.blockstore import BlockStore
from ipfs.caps import Budget
from ipfs.fetching import open_fetcher
from ipfs.troubles import SourceRefused, Unavailable
from ipfs.web import public_address

if TYPE_CHECKING:
    from pathlib import Path

ROOT, _ = imported(vector(100))


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "localhost", "0.0.0.0"])
async def test_a_public_gateway_that_leads_to_a_private_address_is_refused(host: str) -> None:
    with pytest.raises(SourceRefused, match="an address of a private network"):
        await public_address(host, 443)


async def test_a_name_with_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(_host: str, port: int, **_: object) -> list[object]:
        await trio.lowlevel.checkpoint()
        return [(2, 1, 6, "", ("1.1.1.1", port)), (2, 1, 6, "", ("10.0.0.1", port))]

    monkeypatch.setattr(trio.socket, "getaddrinfo", resolve)
    with pytest.raises(SourceRefused, match="private network"):
        await public_address("example.net", 443)


async def test_a_name_that_is_public_when_it_is_looked_at_and_private_afterwards_leads_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """DNS rebinding: there is one resolution, and the connection goes to the address that was looked at."""
    answers, connected = ["1.1.1.1", "127.0.0.1", "127.0.0.1"], list[str]()

    async def resolve(_host: str, port: int, **_: object) -> list[object]:
        await trio.lowlevel.checkpoint()
        return [(2, 1, 6, "", (answers.pop(0), port))]

    async def connect(host: str, *_: object, **__: object) -> object:
        await trio.lowlevel.checkpoint()
        connected.append(host)
        raise OSError

    monkeypatch.setattr(trio.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(trio, "open_tcp_stream", connect)
    sources = [Source(GATEWAY, "https://rebinding.example")]
    async with open_fetcher(BlockStore(tmp_path), sources, Budget(), pytest.fail) as fetcher:
        with pytest.raises(Unavailable, match="did not answer properly"):
            await fetcher.get(ROOT.cid)
    assert connected == ["1.1.1.1"]
    assert len(answers) == 2


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (gaierror(-2, "unknown"), "The source's name is not known."),
        (ConnectionRefusedError(), "The source refused the connection: nothing listens at its port."),
        (ExceptionGroup("each address", [ConnectionRefusedError()]), "The source refused the connection: nothing "),
        (OSError(), "The source did not answer properly."),
    ],
)
async def test_a_source_that_cannot_be_reached_is_told_by_what_the_system_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception, told: str
) -> None:
    async def connect(*_: object, **__: object) -> object:
        await trio.lowlevel.checkpoint()
        raise OSError("all attempts failed") from problem

    monkeypatch.setattr(trio, "open_tcp_stream", connect)
    sources = [Source(LOCAL_GATEWAY, "http://there.example")]
    async with open_fetcher(BlockStore(tmp_path), sources, Budget(), pytest.fail) as fetcher:
        with pytest.raises(Unavailable) as missing:
            await fetcher.get(ROOT.cid)
    assert told in missing.value.text
