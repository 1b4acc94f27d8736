"""New records from the files of chunks, where the records were lost; a wire. Every call blocks.

In:  names of files that were found whole. Out: records of every lost snapshot whose chunks are all there. They count as
imported: nobody knows any more which instance went on from which, so none goes by itself.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from gatebus.snapshots.chunking import digests_in
from gatebus.snapshots.manifestwords import decode_untrusted
from gatebus.snapshots.packfolder import Pack
from gatebus.snapshots.savedwords import IMPORTED, BadSnapshot, SnapshotLine, about_bytes
from gatebus.snapshots.snapshotrecords import Stored

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from gatebus.snapshots.packfolder import PackFolder, PackReader
    from gatebus.snapshots.snapshotrecords import SnapshotRecords


class _Account:
    """Files of one account: snapshots share only with their own."""

    def __init__(self) -> None:
        self.readers: list[PackReader] = []
        self.where: dict[bytes, PackReader] = {}

    def add(self, reader: PackReader) -> None:
        self.readers.append(reader)
        for digest in reader.index:
            self.where.setdefault(digest, reader)

    def read(self, digest: bytes) -> bytes:
        if digest not in self.where:
            raise BadSnapshot("A chunk of a stored snapshot is missing.")
        return self.where[digest].read(digest)


class Again(NamedTuple):
    """What is on record again. `packs`: names of files."""

    snapshots: int
    packs: frozenset[bytes]


def rebuild(
    records: SnapshotRecords, packs: PackFolder, names: Iterable[bytes], unrecorded: Collection[bytes]
) -> Again:
    """`names`: of all whole files; `unrecorded`: those of them whose snapshots are lost."""
    accounts: dict[str, _Account] = {}
    with ExitStack() as stack:
        for name in names:
            reader = stack.enter_context(closing(packs.look(name)))
            accounts.setdefault(reader.account, _Account()).add(reader)
        found = [each for account in accounts.values() for each in _found(account, unrecorded)]
        used = frozenset(name for _, stored in found for name in stored.packs).intersection(unrecorded)
        for account in accounts.values():
            for reader in account.readers:
                if reader.name in used:
                    records.restore_pack(_pack(reader))
        for own, stored in found:
            records.keep(stored, _pack(own), None)
    return Again(len(found), used)


def _found(account: _Account, unrecorded: Collection[bytes]) -> Iterator[tuple[PackReader, Stored]]:
    """Those whose chunks are all there."""
    for reader in account.readers:
        if reader.name in unrecorded:
            with suppress(BadSnapshot):
                yield reader, _stored(account, reader)


def _stored(account: _Account, own: PackReader) -> Stored:
    manifest = decode_untrusted(own.manifest)
    used, size = dict.fromkeys([own.name]), 0
    for section in manifest.sections:
        size += len(section.inline)
        for digest in digests_in(section, account):
            reader = own if digest in own.index else account.where.get(digest)
            if reader is None:
                raise BadSnapshot("A chunk of a stored snapshot is missing.")
            used[reader.name] = None
            size += reader.index[digest][1].length
    about = {**manifest.described(), IMPORTED: True}
    line = SnapshotLine(sha256(own.manifest).digest(), own.account, manifest.module, about, size, own.size)
    return Stored(line, tuple(used), about_bytes(about))


def _pack(reader: PackReader) -> Pack:
    return Pack(reader.name, reader.account, reader.size, reader.head_digest)
