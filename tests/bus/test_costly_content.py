"""Content that is made to cost time: a host that fetches it for somebody serves everybody else meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from busworld import bus_world
from hostilegateway import Hostile, serving
from looprounds import calls_counted

from gatebus.host.contentsource import ContentSource
from gatebus.host.sources import Elsewhere
from ipfs.addresses import LOCAL_GATEWAY, Source
from ipfs.car import car_header, car_section
from ipfs.cid import DAG_CBOR, DAG_PB, IDENTITY, RAW, Cid, cid_of
from ipfs.dagpb import Link, encode_block, encode_file

if TYPE_CHECKING:
    from pathlib import Path

    from busworld import Talker

    from gatebus.protocol.messages import Error

# Calls of functions in one round of the loop. Everything else of such a fetch makes 7,000 in a round, and the cheapest
# of these blocks 85,000 where it is decoded on the loop.
AT_ONCE = 20_000

# Empty links take eight bytes each.
EMPTY_LINK = b"\xd8\x2a\x45\0\x01\x55\0\0"
INLINE = Cid(1, DAG_CBOR, IDENTITY, b"\x8f" + EMPTY_LINK * 15)


def of_links(count: int) -> bytes:
    return b"\x9a" + count.to_bytes(4) + EMPTY_LINK * count


def of_parts(inline: int) -> bytes:
    """A file of two parts that are nowhere, and of others that are in their names, and no files."""
    nowhere = [Link("", cid_of(RAW, part), 100) for part in (b"a" * 100, b"b" * 100)]
    links = [*nowhere, *[Link("", INLINE, 0)] * inline]
    return encode_block(encode_file(200, [100, 100, *[0] * inline]), links)


class Simple(Hostile):
    """One block of a CAR, if it is asked for more: what the others would be is not looked for here."""

    def car(self, root: Cid) -> bytes:
        return car_header([root]) + car_section(root, self.blocks[root.key])


async def refused(stranger: Talker, root: Cid) -> Error:
    return await stranger.open("call", {"stream": stranger.name(), "module": f"ipfs://{root}"}).error()


COSTLY = {
    "one block of links": (DAG_CBOR, of_links(130_000), "bad-request"),
    "names with links inside": (DAG_PB, of_parts(1_000), "not-found"),
    "many of them": (DAG_PB, of_parts(8_000), "not-found"),
}


@pytest.mark.parametrize(("codec", "block", "code"), COSTLY.values(), ids=COSTLY)
async def test_content_that_is_made_to_cost_time_takes_it_from_nobody_else(
    tmp_path: Path, codec: int, block: bytes, code: str
) -> None:
    """It was 20 to 75 seconds for each, in which nobody was answered."""
    plain, root = cid_of(DAG_CBOR, b"\x80"), cid_of(codec, block)
    server = Simple({plain: b"\x80", root: block})
    async with serving(server):
        content = ContentSource(tmp_path, [Source(LOCAL_GATEWAY, server.url)], 1 << 30)
        async with bus_world(elsewhere=Elsewhere(sources={"ipfs": content})) as world, world.talker(None) as stranger:
            await refused(stranger, plain)  # the first who fetches has the HTTP client imported
            with calls_counted() as rounds:
                assert (await refused(stranger, root)).code == code
    assert rounds.count > 10
    assert rounds.most < AT_ONCE
