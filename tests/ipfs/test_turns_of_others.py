"""A gateway that sends thousands of tiny blocks at once: whoever else waits has turns between them."""

from __future__ import annotations

from hostilegateway import Hostile, serving
from ipfsdata import imported
from looprounds import rounds

from ipfs.addresses import LOCAL_GATEWAY, Source
from ipfs.caps import CAR_TURN
from ipfs.car import car_header, car_section
from ipfs.cid import RAW, Cid, cid_of
from ipfs.gateway import Gateway
from ipfs.web import Patience, open_web

ROOT, BLOCKS = imported(b"asked for")
TINY = [each.to_bytes(2) for each in range(1_000)]


class AtOnce(Hostile):
    def car(self, root: Cid) -> bytes:
        return car_header([root]) + b"".join(car_section(cid_of(RAW, each), each) for each in TINY)


async def test_thousands_of_tiny_blocks_in_one_piece_leave_others_their_turns() -> None:
    """It was a fifth of a second for each piece, and more comes meanwhile."""
    server, longest = AtOnce(BLOCKS), 0
    async with serving(server):
        source = Source(LOCAL_GATEWAY, server.url)
        async with open_web(source, Patience()) as web:
            with rounds() as gone:
                before, alone = gone.count, 0
                async for _ in Gateway(source, web, Patience()).car(ROOT.cid, "all", lambda _count: None):
                    alone = alone + 1 if gone.count == before else 0
                    longest, before = max(longest, alone), gone.count
    assert 0 < longest < CAR_TURN
