"""Snapshots that leave the store as one file, and come in; a wire.

In:  a store, an id that an operation has checked; bytes from anywhere (untrusted: exportwords reads them, nothing is
unpacked). Out: bytes, Imported; Refusal, StoreBroken. What was answered is on the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from gatebus.host.refusals import Refusal
from gatebus.snapshots.savedwords import BadSnapshot
from gatebus.snapshots.snapshotbounds import ANSWERED_SECONDS, IMPORT_SECONDS, PIECE
from gatebus.snapshots.transferwork import Exporter, Importer, Place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gatebus.snapshots.exportwords import Imported
    from gatebus.snapshots.loadingwork import Source
    from gatebus.snapshots.savingwork import Written
    from gatebus.snapshots.snapshotstore import SnapshotDisk

OWN, SIGNED, ANY = ACCEPTED = ("own", "signed", "any")


@dataclass(frozen=True, slots=True)
class ImportPolicy:
    """`accept`: only what this host signed (`key`); what some host signed; anything whole. A wrong signature never."""

    accept: str = ANY
    key: bytes | None = None

    def check(self, signer: bytes | None) -> None:
        """Raises Refusal."""
        if self.accept == OWN and signer != self.key:
            raise Refusal("forbidden", "This host takes only snapshots that it has signed itself (snapshots.accept).")
        if self.accept == SIGNED and signer is None:
            raise Refusal("forbidden", "This host takes only snapshots that a host has signed (snapshots.accept).")


async def export(disk: SnapshotDisk, source: Source, program: bytes, write: Callable[[bytes], Awaitable[None]]) -> None:
    """Raises StoreBroken, SharedGone, and what `write` raises."""
    exporter = await disk.file(Exporter, source, program)
    try:
        while piece := await disk.file(exporter.next):
            await write(piece)
    finally:
        exporter.close()


async def take_in_untrusted(
    disk: SnapshotDisk, place: Place, policy: ImportPolicy, read: Callable[[int], Awaitable[bytes]]
) -> tuple[Written, Imported]:
    """Durable, not recorded. Raises Refusal, and what `read` raises; then nothing is left."""
    importer = await disk.file(Importer, place)
    try:
        try:
            while data := await _piece(read):
                await disk.file(importer.feed, data)
            written, imported = await disk.file(importer.finish)
        except BadSnapshot as fault:
            raise Refusal("bad-state", fault.text) from fault
        policy.check(imported.key)
    except BaseException:
        with trio.move_on_after(ANSWERED_SECONDS, shield=True):
            await trio.to_thread.run_sync(importer.discard, abandon_on_cancel=True)
        raise
    return written, imported


async def _piece(read: Callable[[int], Awaitable[bytes]]) -> bytes:
    with trio.move_on_after(IMPORT_SECONDS):
        return await read(PIECE)
    raise Refusal("bad-request", f"Nothing came for {IMPORT_SECONDS:g} seconds. Send the file again.")
