"""What a host needs in memory while a large snapshot leaves it, and comes in: pieces, never the whole.

The size is what the tests have time for; with 255 MiB (`SIZE`) the growth is the same.
"""

from __future__ import annotations

import random
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from busworld import ALICE, BusWorld, Talker
from liveworld import CHAIN, digest, live_world

from gatebus.bounds import STREAM_WINDOW
from gatebus.host.principals import by_key
from gatebus.protocol.proofs import public_key
from gatebus.snapshots.savedwords import Saved

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("native")

SIZE = 64 << 20
GROWTH = 16 << 20
PIECE = 60_000
PAGE = 65_536
NOISE = random.Random(1).randbytes(PAGE - 8)


class Large:
    """A memory of which no two pages are alike, and that is nowhere."""

    size = SIZE

    def read(self, offset: int, size: int) -> bytes:
        first = offset // PAGE
        pages = (number.to_bytes(8, "big") + NOISE for number in range(first, -(-(offset + size) // PAGE)))
        return b"".join(pages)[offset - first * PAGE :][:size]

    def data(self) -> Iterator[tuple[int, int]]:
        yield 0, SIZE


class Watched:
    """How much larger this process has been than it was."""

    def __init__(self) -> None:
        self._before, self.growth = resident(), 0

    def look(self) -> None:
        self.growth = max(self.growth, resident() - self._before)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def large(world: BusWorld) -> bytes:
    """In the host's store, Alice's."""
    owner = by_key(public_key(ALICE), "alice")
    about = {"instance": b"i" * 16, "owner": owner.id, "account": owner.account, "taken": 1, "kind": "snapshot"}
    saved = Saved(digest(CHAIN).hex(), about, b"state", (), Large())
    return (await world.host.parts.lives.keeping.store.save(saved, account=owner.account)).id


async def exported(bus: Talker, snapshot: bytes, to: Path) -> int:
    """How much the process has grown meanwhile."""
    channel, watched = bus.open("export", {"snapshot": snapshot}), Watched()
    with to.open("wb") as file:
        while channel.answer is None:
            await bus.hear()
            file.write(channel.data)
            channel.data.clear()
            bus.heard.clear()
            watched.look()
    await channel.result()
    return watched.growth


async def brought(bus: Talker, data: Path) -> int:
    with data.open("rb") as file:
        told = sha256()
        while piece := file.read(PIECE):
            told.update(piece)
        given = {"size": file.tell(), "sha256": told.digest()}
        channel, watched = bus.open("import", given), Watched()
        await channel.until(lambda each: each.flows)
        file.seek(0)
        while piece := file.read(PIECE):
            channel.write(piece)
            await channel.until(lambda each: each.answer or each.flows.out.held < STREAM_WINDOW)
            watched.look()
        channel.end()
    await channel.result()
    return watched.growth


async def test_a_large_snapshot_leaves_and_comes_in_by_the_piece(image_directory: Path, tmp_path: Path) -> None:
    file = tmp_path / "large.snapshot"
    async with live_world(image_directory, tmp_path / "data") as world, world.talker() as bus:
        snapshot = await large(world)
        assert await exported(bus, snapshot, file) < GROWTH
        assert SIZE < file.stat().st_size < SIZE + SIZE // 256  # the names of its chunks
        assert await brought(bus, file) < GROWTH
        assert len((await bus.ask("snapshots"))["snapshots"]) == 2
