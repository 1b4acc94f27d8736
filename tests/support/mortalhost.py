"""Hosts in this process that die like killed ones: from one moment on nothing of what they still want to write is
written, and nobody hears of them any more.

In:  a data directory, and at which access to the snapshot store the host dies, before or after it took effect. Out: a
BusWorld of fake programs over links in memory; Died when it is dead. The store is the real one, on real files.
"""

from __future__ import annotations

import struct
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import trio
from busworld import BusWorld, Streams, bus_world
from lifehistory import COUNT, RECORD, counted_on
from liveworld import put

from gatebus.host.hostconfig import HostConfig
from gatebus.host.refusals import disk_full
from gatebus.host.storedisk import Disk
from gatebus.snapshots.packfolder import PackFolder
from gatebus.snapshots.snapshotdisk import SnapshotDisk
from gatebus.snapshots.transferwork import Importer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import pytest

    from sandbox.testing import FakeGuest

T = TypeVar("T")
SOON = 0.01
_KEPT = struct.Struct("<III")  # records written, the hash of all bytes, whether its input has ended


async def counting(guest: FakeGuest) -> None:
    """What COUNT does."""
    streams = Streams(guest)
    number, total, ended = _KEPT.unpack_from(bytes(guest.memory).ljust(_KEPT.size, b"\0"))
    while not ended:
        data = await streams.read()
        said = bytearray()
        for byte in data:
            number, total = number + 1, counted_on(total, byte)
            said += RECORD.pack(number, total)
        ended = not data
        guest.memory = bytearray(_KEPT.pack(number, total, ended))  # before it says so: what it is stopped in is sent
        await streams.write(bytes(said))


# What takes room, of all that the store does.
_WRITES = frozenset({"put", "put_all", "keep", "delete", "drop", "forget_unused", "write_snapshot", "feed", "finish"})


class Death:
    """At an access to the store; 0: never. `full`: its disk is, until somebody makes room."""

    def __init__(self, at: int = 0, *, after: bool = False) -> None:
        self._left, self._after, self.full = at, after, False
        self.died = trio.Event()

    @property
    def dead(self) -> bool:
        return self.died.is_set()

    def check_room(self, function: Callable[..., object]) -> None:
        """Raises Refusal. What had been kept for ends is used up."""
        if self.full and getattr(function, "__name__", "") in _WRITES:
            raise disk_full()

    async def around(self, access: Callable[[], Any]) -> Any:
        """One access, or death."""
        self._left -= 1
        if self._left == 0 and not self._after:
            self.died.set()
        if self.dead:
            await _for_ever()
        found = await access()
        if self._left == 0:
            self.died.set()
        if self.dead:
            _close(found)
            await _for_ever()
        return found


def _close(found: object) -> None:
    """What a process has open is closed when it dies."""
    if isinstance(found, Importer):
        found._writer._file.close()


async def _for_ever() -> NoReturn:
    await trio.sleep_forever()
    raise AssertionError


@asynccontextmanager
async def mortal_world(data: Path, death: Death, patched: pytest.MonkeyPatch) -> AsyncIterator[BusWorld]:
    """What it does a little later it does soon: a life here lasts some hundredths of a second."""
    _watch(death, patched)
    for place in ("keeping.RECORD_SECONDS", "minding.IDLE_SWEEP_SECONDS", "tidying.TIDY_SECONDS"):
        patched.setattr(f"gatebus.host.lives.{place}", SOON)
    async with bus_world(HostConfig(data=str(data)), {COUNT: counting}) as world:
        await put(world.host, COUNT)
        yield world


def _watch(death: Death, patched: pytest.MonkeyPatch) -> None:
    """All that the store does on its disk passes here."""
    record, file, remove = Disk.record, Disk.file, PackFolder.remove

    async def recorded(disk: SnapshotDisk, function: Callable[..., T], *arguments: object) -> T:
        if function == disk.database.close:  # as the end of a process does
            return await record(disk, function, *arguments)
        death.check_room(function)
        return await death.around(partial(record, disk, function, *arguments))

    async def filed(disk: SnapshotDisk, function: Callable[..., T], *arguments: object) -> T:
        death.check_room(function)
        return await death.around(partial(file, disk, function, *arguments))

    def removed(folder: PackFolder, name: bytes) -> None:
        if not death.dead:
            remove(folder, name)

    patched.setattr(SnapshotDisk, "record", recorded)
    patched.setattr(SnapshotDisk, "file", filed)
    patched.setattr(PackFolder, "remove", removed)
