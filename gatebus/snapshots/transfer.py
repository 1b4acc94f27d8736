"""Snapshots that leave the store as one file, and come in; a wire.

In:  a store, an id that an operation has checked; bytes from anywhere (untrusted: exportwords reads them, nothing is
unpacked). Out: bytes, Imported; Refusal, StoreBroken. What was answered is on the disk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from gatebus.host.refusals import Refusal
from gatebus.snapshots.savedwords import BadSnapshot
from gatebus.snapshots.snapshotbounds import ANSWERED_SECONDS, IMPORT_SECONDS, PIECE
from gatebus.snapshots.transferwork import Anew, Exporter, Importer, Place
from gatebus.sshkeys import fingerprint
from sandbox.inthread import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gatebus.snapshots.exportwords import Imported
    from gatebus.snapshots.loadingwork import Source
    from gatebus.snapshots.savingwork import Written
    from gatebus.snapshots.snapshotdisk import SnapshotDisk

OWN, SIGNED, ANY = ACCEPTED = ("own", "signed", "any")
_UNKNOWN = "This host takes only snapshots that it, or a host that it knows, has signed (snapshots.signers)."


@dataclass(frozen=True, slots=True)
class ImportPolicy:
    """`accept`: only what this host signed (`key`), and `signers`, by fingerprint; what some host signed (of those,
    where there are any); anything whole. A wrong signature never.
    """

    accept: str = ANY
    key: bytes | None = None
    signers: tuple[str, ...] = ()

    def check(self, signer: bytes | None) -> None:
        """Raises Refusal."""
        if self.accept != ANY and self.signers:
            if signer is None or (signer != self.key and fingerprint(signer) not in self.signers):
                raise Refusal("forbidden", _UNKNOWN)
        elif self.accept == OWN and signer != self.key:
            raise Refusal("forbidden", "This host takes only snapshots that it has signed itself (snapshots.accept).")
        elif self.accept == SIGNED and signer is None:
            raise Refusal("forbidden", "This host takes only snapshots that a host has signed (snapshots.accept).")


class Export:
    """A file that leaves: its length is known, and no more of it is held than a piece."""

    def __init__(self, disk: SnapshotDisk, exporter: Exporter) -> None:
        self.size = exporter.size
        self._disk, self._exporter = disk, exporter
        self._rest = memoryview(b"")

    async def read(self, size: int) -> bytes:
        """At most so many of the next bytes; b"" at the end. Raises StoreBroken, SharedGone."""
        if not self._rest:
            self._rest = memoryview(await self._disk.file(self._exporter.next))
        piece, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return piece


@asynccontextmanager
async def exporting(
    disk: SnapshotDisk, source: Source, program: bytes, anew: Anew | None = None
) -> AsyncIterator[Export]:
    """`anew`: described otherwise than it is stored. Raises StoreBroken, SharedGone, BadSnapshot."""
    exporter = await disk.file(Exporter, source, program, anew)
    try:
        yield Export(disk, exporter)
    finally:
        exporter.close()


Own = Callable[["Imported"], Awaitable[tuple[bytes, tuple[bytes, bytes]]]]
"""What came -> the manifest under which it is kept, and its (public key, signature)."""


async def take_in_untrusted(
    disk: SnapshotDisk,
    place: Place,
    policy: ImportPolicy,
    read: Callable[[int], Awaitable[bytes]],
    own: Own | None = None,
) -> tuple[Written, Imported]:
    """Durable, not recorded. Raises Refusal, and what `read` and `own` raise; then nothing is left."""
    importer = await disk.file(Importer, place)
    try:
        try:
            while data := await _piece(read):
                await disk.file(importer.feed, data)
            imported, signed = importer.whole()
        except BadSnapshot as fault:
            raise Refusal("bad-state", fault.text) from fault
        policy.check(imported.key)
        manifest = imported.manifest
        if own is not None:
            manifest, signed = await own(imported)
        written = await disk.file(importer.finish, manifest, signed)
    except BaseException:
        with trio.move_on_after(ANSWERED_SECONDS, shield=True):
            await in_thread(importer.discard, abandon_on_cancel=True)
        raise
    return written, imported._replace(id=written.id, manifest=manifest)


async def _piece(read: Callable[[int], Awaitable[bytes]]) -> bytes:
    with trio.move_on_after(IMPORT_SECONDS):
        return await read(PIECE)
    raise Refusal("bad-request", f"Nothing came for {IMPORT_SECONDS:g} seconds. Send the file again.")
