"""Content by its name: 60 MiB from a gateway on this machine, what the store takes in, what a fetch costs.

Every byte is verified. Rounds are taken in turn, each with a new store, and their median counts; how fast this machine
hashes is printed beside it.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from bench.content_gateway import FILE, MIB, PROGRAM, content, imported
from gatebus.host.contentsource import ContentSource
from gatebus.host.hostconfig import StoreBounds
from gatebus.host.modulestore import open_module_store
from gatebus.host.principals import local
from gatebus.host.quotas import Quotas
from ipfs.adding import add
from ipfs.addresses import LOCAL_GATEWAY, Source, parse_address_untrusted
from ipfs.blockstore import BlockStore
from ipfs.caps import Budget
from ipfs.content import find
from ipfs.fetching import open_fetcher
from ipfs.importer import PROFILES
from ipfs.pins import Pins
from ipfs.saving import save

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ROUNDS, SMALL_ROUNDS = 5, 15


async def get(source: Source, root: str, folder: Path) -> float:
    """`gatebus ipfs get` without the start of Python: fetched, verified, kept, read back, written."""
    began = time.perf_counter()
    async with open_fetcher(BlockStore(folder / "store"), [source], Budget(), print) as fetcher:
        cid = await find(fetcher, parse_address_untrusted(root))
        await save(fetcher, cid, folder / "file", print)
    elapsed = time.perf_counter() - began
    assert (folder / "file").stat().st_size == FILE
    return elapsed * 1000


async def keep(folder: Path) -> float:
    """`put` of blocks that were cut before: verified, and on the disk when it returns."""
    blocks = imported(content(b"file", FILE))[1]
    store = BlockStore(folder / "kept")
    began = time.perf_counter()
    await trio.to_thread.run_sync(store.put, blocks.items())
    return FILE / (time.perf_counter() - began) / 1e6


async def take(folder: Path) -> float:
    """Every block of a store, verified; in MB/s."""
    blocks = imported(content(b"file", FILE))[1]
    store = BlockStore(folder / "taken")
    store.put(blocks.items())
    began = time.perf_counter()
    assert sum(len(store.get(cid) or b"") for cid in blocks) >= FILE
    return FILE / (time.perf_counter() - began) / 1e6


async def import_file(folder: Path) -> float:
    """`gatebus ipfs add` without the start of Python."""
    (folder / "new").write_bytes(content(b"file", FILE))
    store = BlockStore(folder / "added")
    began = time.perf_counter()
    root = await add(store, folder / "new", PROFILES["unixfs-v1-2025"])
    Pins(store).add(root.cid)
    return (time.perf_counter() - began) * 1000


async def fetch_program(source: Source, root: str, folder: Path) -> float:
    """As a host does it for a launch; compiling comes after it, as after an upload."""
    fetching = ContentSource(folder / "fetched", [source], 1 << 40, print)
    began = time.perf_counter()
    assert len(await fetching.fetch(f"ipfs://{root}", MIB, "me")) == PROGRAM
    return (time.perf_counter() - began) * 1000


async def upload_program(folder: Path) -> float:
    program = content(b"program", PROGRAM)
    async with open_module_store(folder / "modules", StoreBounds(), Quotas()) as store:
        began = time.perf_counter()
        upload = await store.upload(hashlib.sha256(program).digest(), PROGRAM, local(0))
        await upload.write(program)
        await upload.finish()
        await upload.aclose()
        await store.get(hashlib.sha256(program).digest())
        return (time.perf_counter() - began) * 1000


def hash_speed() -> float:
    data = bytes(FILE)
    began = time.perf_counter()
    hashlib.sha256(data).digest()
    return FILE / (time.perf_counter() - began) / 1e6


async def median(rounds: int, *measures: Callable[[Path], Awaitable[float]]) -> list[float]:
    """Of each, one after the other in every round."""
    found: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for measure, values in zip(measures, found, strict=True):
            with tempfile.TemporaryDirectory() as folder:
                values.append(await measure(Path(folder)))
    return [statistics.median(values) for values in found]


@asynccontextmanager
async def gateway() -> AsyncIterator[tuple[Source, str, str]]:
    command = [sys.executable, "-m", "bench.content_gateway"]
    process = await trio.to_thread.run_sync(partial(subprocess.Popen, command, stdout=subprocess.PIPE, text=True))
    try:
        assert process.stdout is not None
        port, file, program = json.loads(await trio.to_thread.run_sync(process.stdout.readline))
        yield Source(LOCAL_GATEWAY, f"http://127.0.0.1:{port}"), file, program
    finally:
        process.kill()
        process.wait()


async def measured() -> dict[str, float]:
    async with gateway() as (source, file, program):
        got, kept, taken, added = await median(ROUNDS, partial(get, source, file), keep, take, import_file)
        fetched, uploaded = await median(SMALL_ROUNDS, partial(fetch_program, source, program), upload_program)
    print(f"store: {kept:.0f} MB/s in, {taken:.0f} MB/s out; SHA-256 alone {hash_speed():.0f} MB/s")
    print(f"a program of 100 KiB: fetched in {fetched:.1f} ms, uploaded in {uploaded:.1f} ms")
    over = max(0.0, fetched - uploaded)
    return {"ipfs_get_ms": got, "ipfs_store_mbs": kept, "ipfs_import_ms": added, "ipfs_launch_ms": over}


if __name__ == "__main__":
    print(json.dumps(trio.run(measured)))
