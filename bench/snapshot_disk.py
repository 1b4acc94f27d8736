"""What snapshots cost the host on its disk, and beside it what the disk itself costs.

In:  a folder on the disk of the build directory; memories that cannot be made smaller
Out: {"store_256": …, "delta": …, "idle_records_kib": …} as the last line

`store_256`: 256 MiB saved / the same bytes hashed and written by a loop that does nothing else, in turn, best of each.
`delta`: bytes of the second snapshot after one chunk of them has changed / of the first. `idle_records_kib`: the
process's memory per stored instance, of 500. Before them, the store's part of a suspension and of a resume with 1 MiB
touched, with the time of one commit of this disk, three of which lie in a suspension.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from gatebus.host.quotas import Amounts, QuotaBounds, Quotas
from gatebus.snapshots.savedwords import Change, Record, Saved
from gatebus.snapshots.snapshotbounds import CHUNK
from gatebus.snapshots.snapshotstore import SnapshotStore, open_snapshot_store

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20
LARGE, SMALL = 256 * MIB, MIB
ROUNDS, SMALL_ROUNDS, STORED = 3, 50, 500
PLENTY = Amounts(stored=1 << 50)


class Touched:
    """A memory of which the first `touched` bytes were written."""

    def __init__(self, touched: int, seed: int, size: int = LARGE) -> None:
        dice = random.Random(seed)
        self.content = bytearray().join(dice.randbytes(min(MIB, touched - at)) for at in range(0, touched, MIB))
        self.size = size

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self.content[offset : offset + size]).ljust(size, b"\0")

    def data(self) -> Iterator[tuple[int, int]]:
        yield 0, len(self.content)


def snapshot(memory: Touched, number: int) -> Saved:
    about = {"instance": number.to_bytes(16, "big"), "kind": "suspended", "taken": number, "parent": None}
    return Saved("ab" * 32, about, b"frames", (("unsent", b""),), memory)


def record(number: int, account: str) -> Change:
    return Change(Record(number.to_bytes(16, "big"), account, account, "stored"), 0)


def plain(memory: Touched, path: Path) -> float:
    """Seconds to hash the bytes and to have them on the disk."""
    began = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for at in range(0, len(memory.content), CHUNK):
            piece = memory.read(at, CHUNK)
            hashlib.sha256(piece).digest()
            file.write(piece)
        os.fsync(file.fileno())
    spent = time.perf_counter() - began
    path.unlink()
    return spent


async def large(store: SnapshotStore, folder: Path) -> dict[str, float]:
    ours, theirs, parts = [], [], []
    for turn in range(ROUNDS):
        memory = Touched(LARGE, turn)
        theirs.append(plain(memory, folder / "plain"))
        began = time.perf_counter()
        first = await store.save(snapshot(memory, turn), account=f"large {turn}")
        ours.append(time.perf_counter() - began)
        memory.content[100 * CHUNK] ^= 1
        changed = ((100 * CHUNK, 1),)
        saved = snapshot(memory, ROUNDS + turn)
        second = await store.save(saved, account=f"large {turn}", base=first.id, changed=changed)
        parts.append(second.written / first.written)
        for kept in (second, first):
            await store.drop(f"large {turn}", kept.id)
    print(f"256 MiB: saved in {min(ours) * 1000:.0f} ms; hashed and written in {min(theirs) * 1000:.0f} ms")
    return {"store_256": min(ours) / min(theirs), "delta": max(parts)}


async def small(store: SnapshotStore, folder: Path) -> None:
    saves, loads, commits = [], [], []
    for turn in range(SMALL_ROUNDS):
        saved = snapshot(Touched(SMALL, turn, 16 * MIB), turn)
        began = time.perf_counter()
        kept = await store.save(saved, account=f"small {turn}", change=record(turn, f"small {turn}"))
        saves.append(time.perf_counter() - began)
        began = time.perf_counter()
        await store.load(kept.id)
        loads.append(time.perf_counter() - began)
        commits.append(commit(folder))
    for name, times in (("saved, durable", saves), ("loaded", loads), ("one commit of this disk", commits)):
        print(f"1 MiB: {name}: median {statistics.median(times) * 1000:.2f} ms, best {min(times) * 1000:.2f} ms")


def commit(folder: Path) -> float:
    with (folder / "commit").open("ab", buffering=0) as file:
        file.write(bytes(4_096))
        began = time.perf_counter()
        os.fsync(file.fileno())
        return time.perf_counter() - began


def resident() -> int:
    """KiB of this process's memory that are its own."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


async def idle(store: SnapshotStore) -> float:
    async def more(numbers: range) -> None:
        for number in numbers:
            saved = snapshot(Touched(4_096, number, MIB), number)
            await store.save(saved, account="key:bench", change=record(number, "key:bench"))

    await more(range(10_000, 10_200))
    before = resident()
    await more(range(20_000, 20_000 + STORED))
    return max(0.0, (resident() - before) / STORED)


async def main() -> dict[str, float]:
    place = Path(__file__).parent.parent / "build"
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as name:
        quotas = Quotas(QuotaBounds(host=PLENTY, principal=PLENTY))
        async with open_snapshot_store(Path(name) / "snapshots", quotas) as store:
            await small(store, Path(name))
            return {**await large(store, Path(name)), "idle_records_kib": await idle(store)}


if __name__ == "__main__":
    print(json.dumps(trio.run(main)))
