"""How the golden programs and the golden host of tests/data/snapshots-1 were made, by the version whose they are.

They are not made again: what a later version cannot read of them it cannot read of anybody's store. A new version of a
format gets a folder of its own beside this one:

    PYTHONPATH=.:tests/support:tests/lives .venv/bin/python tests/support/goldenhost.py FOLDER
"""

from __future__ import annotations

import gzip
import sys
import tarfile
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from guestfiles import require_guest
from liveworld import CHAIN, digest, live_world

if TYPE_CHECKING:
    from busworld import Channel, Talker

ONE, TWO, THREE, FOUR = b"1" * 16, b"2" * 16, b"3" * 16, b"4" * 16
ARCHIVE = "host.tar.gz"
_NOISE = "snapshots/reserve"  # room on the disk, of which a host makes itself what is missing


def golden_programs() -> tuple[bytes, bytes]:
    """WASI's and Gate's."""
    wasi, gate = (require_guest(f"tests/{name}_golden.wasm").read_bytes() for name in ("wasi", "gate"))
    return wasi, gate


async def visit(bus: Talker, instance: bytes, *, stays: bool = False) -> tuple[bytes, Channel]:
    """What Gate's program says to a client."""
    client = await bus.io(instance).until(lambda each: each.accepted)
    await client.until(lambda each: each.data.endswith(b"\n"))
    if not stays:
        client.end()
        await client.result()
    return bytes(client.data), client


async def asleep(bus: Talker, wasi: bytes, instance: bytes) -> None:
    """WASI's program has two bytes in its diary, sleeps, and has not read two more."""
    await bus.ask("launch", instance=instance, module=digest(wasi), args=["golden", "ada"])
    stream = await bus.io(instance).until(lambda each: each.accepted)
    stream.write(b"abs")
    await stream.until(lambda each: each.data == b"asleep\n")
    stream.write(b"cd")
    await bus.ask("usage")
    await trio.sleep(0.5)


def packed(path: Path, data: bytes) -> None:
    path.write_bytes(gzip.compress(data, mtime=0))


async def exported(bus: Talker, instance: bytes, tags: list[str]) -> bytes:
    snapshot = (await bus.ask("snapshot", instance=instance, tags=tags))["snapshot"]
    channel = bus.open("export", {"snapshot": snapshot})
    await channel.result()
    return bytes(channel.data)


async def make(folder: Path, images: Path, data: Path) -> None:
    wasi, gate = golden_programs()
    async with live_world(images, data, wasi, gate, CHAIN) as world, world.talker() as bus:
        await bus.ask("launch", instance=ONE, module=digest(CHAIN), tags=["chain"], policy={"wake": "never"})
        stream = await bus.io(ONE).until(lambda each: each.accepted)
        stream.write(b"hello")
        await stream.until(lambda each: len(each.data) == 5)
        await bus.ask("launch", instance=TWO, module=digest(gate), function="serve")
        await visit(bus, TWO)
        await asleep(bus, wasi, THREE)
        packed(folder / "wasi.gbsnap.gz", await exported(bus, THREE, ["sleeper"]))
        await bus.ask("kill", instance=THREE)
        await visit(bus, TWO, stays=True)
        packed(folder / "gate.gbsnap.gz", await exported(bus, TWO, ["visited"]))
        await bus.ask("kill", instance=TWO)
        await bus.ask("launch", instance=FOUR, module=digest(gate), function="serve", tags=["gate"])
        await visit(bus, FOUR)
        for each in (ONE, FOUR):
            await bus.ask("suspend", instance=each)
        stream.write(b" there")  # it waits with its client, who is gone then
        await bus.ask("usage")
    with tarfile.open(folder / ARCHIVE, "w:gz") as archive:
        for path in sorted(data.rglob("*")):
            if path.is_file() and str(path.relative_to(data)) != _NOISE:
                archive.add(path, str(path.relative_to(data)))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as images, tempfile.TemporaryDirectory() as data:
        trio.run(partial(make, Path(sys.argv[1]), Path(images), Path(data)))
