"""One snapshot onto the disk; a wire. Every call blocks, in a thread of its own.

In:  a Saved, and what the store has of the snapshot before it. Out: a file that is durable and not recorded yet;
OSError, BadSnapshot; SharedGone when it must be tried without the one before; Refusal when there is no room for it.

Order: memory, state, parts, then the manifest that names them, then the header; then all of it to the disk.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing, nullcontext
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from gatebus.host.refusals import no_room
from gatebus.snapshots.chunking import Digests, digests_from, digests_of, section_of, section_of_bytes
from gatebus.snapshots.manifestwords import MEMORY, STATE, Manifest, encode
from gatebus.snapshots.packset import PackSet, as_gone
from gatebus.snapshots.savedwords import about_bytes
from gatebus.snapshots.snapshotbounds import PACKS_EACH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gatebus.snapshots.chunking import Ranges
    from gatebus.snapshots.packfolder import Pack, PackFolder, PackWriter
    from gatebus.snapshots.savedwords import Saved


@dataclass(frozen=True, slots=True)
class Before:
    """The snapshot whose chunks are shared. `direct`: the program went on from it; else it is only alike."""

    id: bytes
    packs: Sequence[Pack]
    direct: bool


@dataclass(frozen=True, slots=True)
class Order:
    """`sign`: id -> (public key, signature). `room`: bytes that its account may still store."""

    saved: Saved
    account: str
    room: int
    sign: Callable[[bytes], tuple[bytes, bytes]]
    before: Before | None = None
    changed: Ranges | None = None


class Written(NamedTuple):
    """`packs`: names of all files with chunks of it, its own first. `size`: bytes that are meant. `about`: what it is
    described with, as it stands in the file.
    """

    id: bytes
    pack: Pack
    packs: tuple[bytes, ...]
    size: int
    about: bytes


class _Sink:
    """New chunks go into the file; those of the snapshot before it stay where they are, and are noted."""

    def __init__(self, writer: PackWriter, before: PackSet | None, room: int) -> None:
        self._writer, self._before, self._room = writer, before, room
        self.shared: dict[bytes, None] = {}

    def __contains__(self, digest: bytes) -> bool:
        if digest in self._writer:
            return True
        if self._before is None or digest not in self._before:
            return False
        self.shared[digest] = None
        return True

    def add(self, digest: bytes, data: bytes) -> None:
        self._writer.add(digest, data)
        if self._writer.bytes > self._room:
            raise no_room(self._room)


def write_snapshot(folder: PackFolder, order: Order) -> Written:
    """If it raises, nothing is left."""
    with as_gone():
        before = PackSet(folder, order.before.packs) if order.before is not None else None
    with closing(before) if before is not None else nullcontext():
        writer = folder.make()
        try:
            return _write(writer, order, before)
        except BaseException:
            writer.discard()
            raise


def _write(writer: PackWriter, order: Order, before: PackSet | None) -> Written:
    saved, sink = order.saved, _Sink(writer, before, order.room)
    memory = digests_of(saved.memory, sink, _memory_before(order, before), order.changed)
    sections, size = [section_of(MEMORY, memory, sink)], memory.size()
    for part, data in ((STATE, saved.state), *saved.parts):
        section, meant = section_of_bytes(part, data, sink)
        sections.append(section)
        size += meant
    about = about_bytes(saved.about)
    data = encode(Manifest(saved.module, about, tuple(sections)))
    name = sha256(data).digest()
    missing = [digest for _, digest in memory.meant() if digest not in sink]  # notes what it shares
    assert not missing
    shared = _shared(writer, before, sink.shared)
    pack = writer.finish(order.account, data, order.sign(name))
    return Written(name, pack, (pack.name, *shared), size, about)


def _memory_before(order: Order, before: PackSet | None) -> Digests | None:
    """Only of what the program went on from is it known what changed since."""
    if order.before is None or before is None or not order.before.direct or order.changed is None:
        return None
    with as_gone():
        return digests_from(before.contents(order.before.id).sections[0], before)


def _shared(writer: PackWriter, before: PackSet | None, digests: Iterable[bytes]) -> tuple[bytes, ...]:
    """Files of before that this snapshot needs; of too many, the chunks of those with the least are copied."""
    if before is None:
        return ()
    counts = Counter(before.pack_of(digest) for digest in digests)
    kept = {name for name, _ in counts.most_common(PACKS_EACH - 1)}
    for digest in digests:
        if before.pack_of(digest) not in kept:
            with as_gone():
                writer.copy(*before.stored(digest))
    return tuple(sorted(kept))
