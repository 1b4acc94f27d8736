"""What the tests of the snapshot store share: memories, snapshots, a store on a temporary folder."""

from __future__ import annotations

import os
import random
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nacl.signing import SigningKey

from gatebus.host.quotas import Quotas
from gatebus.snapshots.savedwords import Record, Saved
from gatebus.snapshots.snapshotstore import SnapshotStore, StoreSettings, open_snapshot_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from gatebus.failpoints import Failpoints

PAGE = 65_536
ADA, GRACE = "key:ada", "key:grace"
MODULE = "ab" * 32
HOST = SigningKey(b"\7" * 32)


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is a place for that: what only the disk can prove is proved elsewhere."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as name:
        yield Path(name)


class PlainMemory:
    """Memory 0 of a program as a test writes it. `reads`: (offset, size) of what was read."""

    def __init__(self, content: bytes | bytearray, ranges: tuple[tuple[int, int], ...] | None = None) -> None:
        self.content = bytearray(content)
        self.ranges = ranges
        self.reads: list[tuple[int, int]] = []

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, offset: int, size: int) -> bytes:
        self.reads.append((offset, size))
        return bytes(self.content[offset : offset + size])

    def data(self) -> Iterator[tuple[int, int]]:
        yield from self.ranges if self.ranges is not None else ((0, len(self.content)),)


def noise(size: int, seed: int = 1) -> bytes:
    """What cannot be made smaller."""
    return random.Random(seed).randbytes(size)


def memory_of(pages: int, *touched: int, seed: int = 1) -> PlainMemory:
    """Zeros but for the touched pages, which are noise."""
    content = bytearray(pages * PAGE)
    for page in touched:
        content[page * PAGE : (page + 1) * PAGE] = noise(PAGE, seed * 1000 + page)
    return PlainMemory(content)


def about(instance: int = 1, kind: str = "suspended", taken: int = 1_000, **more: object) -> Mapping[str, object]:
    return {"instance": bytes([instance]) * 16, "kind": kind, "taken": taken, "parent": None, **more}


def saved(
    memory: PlainMemory | None = None,
    state: bytes = b"frames",
    parts: tuple[tuple[str, bytes], ...] = (("service:origin", b"window"), ("unsent", b"")),
    module: str = MODULE,
    **words: object,
) -> Saved:
    return Saved(module, about(**words), state, parts, memory or memory_of(4, 1))  # type: ignore[arg-type]


def record(instance: int = 1, state: str = "running", account: str = ADA, **more: object) -> Record:
    return Record(bytes([instance]) * 16, account, account, state, **more)  # type: ignore[arg-type]


def same(found: Saved, wanted: Saved) -> bool:
    whole = found.memory.read(0, found.memory.size)
    return found == wanted and whole == wanted.memory.read(0, wanted.memory.size)


def signed(points: Failpoints | None = None) -> StoreSettings:
    settings = StoreSettings(bytes(HOST.verify_key), lambda statement: HOST.sign(statement).signature)
    return settings if points is None else StoreSettings(settings.key, settings.sign, points=points)


@asynccontextmanager
async def opened_snapshots(
    folder: Path, quotas: Quotas | None = None, settings: StoreSettings | None = None
) -> AsyncIterator[SnapshotStore]:
    async with open_snapshot_store(folder / "snapshots", quotas or Quotas(), settings or signed()) as store:
        yield store


def packs(folder: Path) -> list[Path]:
    return sorted((folder / "snapshots" / "packs").iterdir())
