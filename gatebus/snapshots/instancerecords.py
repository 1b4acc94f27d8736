"""Records of instances that outlive their processes; a wire.

Where it stands: in the store of snapshots, beside what they go on from. In: records of whoever keeps instances. Out:
the same, on the disk; Refusal, StoreBroken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatebus.snapshots.savedwords import Change, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gatebus.snapshots.snapshotdisk import SnapshotDisk


class InstanceRecords:
    """Compare and set, on the disk when it returns."""

    def __init__(self, disk: SnapshotDisk) -> None:
        self._disk = disk

    async def put(self, record: Record, seen: int) -> Record:
        """`seen`: the revision that was read, 0 for a new one. As it is kept. Raises Refusal (conflict)."""
        return await self._disk.record(self._disk.database.put, Change(record, seen))

    async def put_all(self, changes: Sequence[Change]) -> Sequence[Record | None]:
        """In one transaction; None of those that were changed meanwhile."""
        return await self._disk.record(self._disk.database.put_all, changes)

    async def get(self, instance: bytes) -> Record | None:
        return await self._disk.record(self._disk.database.instance, instance)

    async def list(self, owner: str | None = None) -> list[Record]:
        """Of one owner; None: all, at the start of the host."""
        return await self._disk.record(self._disk.database.instances, owner)

    async def delete(self, instance: bytes, seen: int) -> None:
        """Raises Refusal (conflict)."""
        await self._disk.record(self._disk.database.delete, instance, seen)
