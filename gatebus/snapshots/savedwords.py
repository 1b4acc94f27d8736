"""What a snapshot is to the rest of the host, and the records of instances; words.

In:  what a stopped program has left; maps of CBOR that a file held (untrusted). Out: frozen values, BadSnapshot.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import cbor2

from gatebus.faults import GatebusError
from gatebus.protocol.breaches import RemoteFault
from gatebus.protocol.strictcbor import decode_untrusted
from gatebus.snapshots.snapshotbounds import ABOUT_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUSPENDED, SNAPSHOT, CHECKPOINT, WARM, CLONE = KINDS = ("suspended", "snapshot", "checkpoint", "warm", "clone")
RUNNING, STORED, ENDED = STATES = ("running", "stored", "ended")
IMPORTED = "imported"
"""Key of a line's description: it came as a file, or was found again. It stays until it is dropped."""
UNNAMED = "unnamed"
"""Likewise: a person has asked for it, and given it no tags; it has those of its instance."""
NAMEABLE = frozenset({SNAPSHOT, WARM})
_INSTANCE, _ID = 16, 32


class BadSnapshot(GatebusError):
    """The fault of whoever made the bytes: they are no snapshot, or a damaged one."""

    code = "snapshot-damaged"


class Memory(Protocol):
    """Memory 0: sandbox.backend.Snapshot, as far as it is used here."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, size: int) -> bytes: ...

    def data(self) -> Iterator[tuple[int, int]]:
        """(offset, length) of everything that may not be zeros, ascending."""
        ...


@dataclass(frozen=True, slots=True)
class Saved:
    """`about`: what about_bytes asks of it; unknown keys are kept. `parts`: in the order of the services' numbers."""

    module: str
    """SHA-256 of the program, in hex."""
    about: Mapping[str, object]
    state: bytes = field(repr=False)
    parts: tuple[tuple[str, bytes], ...] = field(repr=False)
    memory: Memory = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Kept:
    """`size`: bytes of everything that is not zeros. `written`: bytes that the disk has more."""

    id: bytes
    size: int
    written: int


@dataclass(frozen=True, slots=True)
class SnapshotLine:
    """One line of a list. `about` as it was saved."""

    id: bytes
    account: str
    module: str
    about: Mapping[str, object]
    size: int
    written: int

    @property
    def instance(self) -> bytes:
        return bytes(self.about["instance"])  # type: ignore[call-overload, no-any-return]  # about_untrusted looked

    @property
    def kind(self) -> str:
        return str(self.about["kind"])

    @property
    def named(self) -> bool:
        """Its tags are its own: somebody has given them to it."""
        return self.kind in NAMEABLE and not self.about.get(UNNAMED)

    @property
    def taken(self) -> int:
        return int(self.about["taken"])  # type: ignore[call-overload, no-any-return]  # likewise


@dataclass(frozen=True, slots=True)
class Record:
    """An instance that outlives its process. `snapshot`: from which it goes on. `about`: of whoever keeps it."""

    instance: bytes
    owner: str
    account: str
    state: str
    snapshot: bytes | None = None
    about: bytes = b""
    revision: int = 0
    """Given by the store: 1 at first, and one more with every change."""


@dataclass(frozen=True, slots=True)
class Change:
    """A record as it shall be, and the revision that was seen (0: there was none)."""

    record: Record
    seen: int


def pointed(change: Change | None, snapshot: bytes) -> Change | None:
    """To what is saved with it."""
    return None if change is None else Change(replace(change.record, snapshot=snapshot), change.seen)


def about_bytes(about: Mapping[str, object]) -> bytes:
    """Raises BadSnapshot: what a host describes its snapshot with must be what it can read again."""
    data = cbor2.dumps(dict(about), canonical=True)
    about_untrusted(data)
    return data


def about_untrusted(data: bytes) -> Mapping[str, object]:
    """Raises BadSnapshot."""
    if len(data) > ABOUT_MAX:
        raise BadSnapshot(f"What describes a snapshot has at most {ABOUT_MAX} bytes.")
    try:
        about = decode_untrusted(data)
    except RemoteFault:
        raise _wrong() from None
    if not isinstance(about, dict):
        raise _wrong()
    instance, taken, parent = about.get("instance"), about.get("taken"), about.get("parent")
    if not isinstance(instance, bytes) or len(instance) != _INSTANCE or about.get("kind") not in KINDS:
        raise _wrong()
    if not isinstance(taken, int) or isinstance(taken, bool) or not 0 <= taken < 1 << 53:
        raise _wrong()
    if parent is not None and not (isinstance(parent, bytes) and len(parent) == _ID):
        raise _wrong()
    return about


def _wrong() -> BadSnapshot:
    return BadSnapshot("What describes the snapshot does not say which instance it is of, of what kind, and when.")
