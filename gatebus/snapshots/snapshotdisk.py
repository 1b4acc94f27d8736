"""The two places of a snapshot store, and the threads that work there; a wire.

Where it stands: below the store and below what leaves it or comes in as a file (transfer): both work here, and neither
knows the other's way. In: work for a thread. Out: what it returns; StoreBroken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gatebus.host.storedisk import Disk

if TYPE_CHECKING:
    from gatebus.snapshots.packfolder import PackFolder
    from gatebus.snapshots.snapshotrecords import SnapshotRecords


@dataclass(frozen=True, slots=True)
class SnapshotDisk(Disk):
    """`folder`: files of chunks; `database`: what is on record of them."""

    folder: PackFolder
    database: SnapshotRecords
