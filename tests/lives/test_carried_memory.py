"""What a host needs in memory while a large snapshot leaves it, in any form, and comes in: pieces, never the whole.

The size is what the tests have time for; with 255 MiB (`SIZE`) the growth is the same.
"""

from __future__ import annotations

import random
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from allocations import counted
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
FILLED = 24 << 20  # of a program's memory, which is in its exported module
MODULE_GROWTH = 8 << 20  # whatever is held of it, some pieces of a mebibyte: whole once, it would be FILLED
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


# Fills its memory with what nobody can make smaller, and reads.
FILLS = b"""(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") %d)
  (func (export "_start") (local $at i32) (local $x i64)
    (local.set $x (i64.const 88172645463325252))
    (local.set $at (i32.const 65536))
    (loop $fill
      (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
      (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
      (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
      (i64.store (local.get $at) (local.get $x))
      (br_if $fill (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const %d))))
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 1))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))))""" % (FILLED // PAGE + 1, FILLED)


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


async def exported(bus: Talker, snapshot: bytes, to: Path, form: str = "file") -> int:
    """How much the process has grown meanwhile."""
    channel, watched = bus.open("export", {"snapshot": snapshot, "form": form}), Watched()
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


@pytest.mark.parametrize("form", ["wasm", "state"])
async def test_a_large_program_leaves_as_a_module_and_as_a_state_by_the_piece(
    form: str, image_directory: Path, tmp_path: Path
) -> None:
    file = tmp_path / "large"
    async with live_world(image_directory, tmp_path / "data", FILLS) as world, world.talker() as bus:
        await bus.ask("launch", instance=b"i" * 16, module=digest(FILLS))
        while not (await bus.ask("status", instance=b"i" * 16))["usage"]["bytes_out"]:
            continue  # it asks for its input when its memory is full
        snapshot = (await bus.ask("suspend", instance=b"i" * 16))["snapshot"]
        with counted() as peak:
            await exported(bus, snapshot, file, form)
        assert peak[0] < MODULE_GROWTH
        assert FILLED - PAGE < file.stat().st_size < FILLED + (1 << 20)
