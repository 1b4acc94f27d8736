"""What a host answers about stopped programs and snapshots, as frozen values; words, no I/O.

In:  maps (untrusted, as in `answers`). Out: values whose fields have their types, or HostNonsense.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gatebus.client.answers import (
    digest_untrusted,
    instance_untrusted,
    rows_untrusted,
    texts_untrusted,
    typed_untrusted,
)
from gatebus.client.complaints import HostNonsense

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

_RANGE = 2  # offset, length


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A line of the host's list. `taken`: ms since 1970; `size`: bytes, whole; `parent`: the one before it. `tags`:
    that somebody has given it; `instance_tags`: of one without a name of its own, what its instance was called then.
    """

    snapshot: bytes
    instance: UUID
    module: str
    size: int
    taken: int
    kind: str
    tags: tuple[str, ...] = ()
    parent: bytes | None = None
    instance_tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """A snapshot that was just made. `written`: bytes that were new on the host's disk."""

    snapshot: bytes
    size: int = 0
    written: int = 0


@dataclass(frozen=True, slots=True)
class Imported:
    """`module`: the program that came with it. `signer`: the public key of the host that had signed it."""

    snapshot: bytes
    module: bytes
    signer: bytes | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """What a stopped program was doing. `frames`: innermost first; `pages` of 64 KiB, of which `touched` bytes may not
    be zero; `sizes`: bytes by part."""

    snapshot: bytes
    module: str
    frames: tuple[Mapping[str, Any], ...]
    pages: int
    touched: int
    sizes: Mapping[str, int]
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """Of two snapshots. `changed`: pages of 4,096 bytes; `ranges`: the first of them, (offset, length)."""

    changed: int
    ranges: tuple[tuple[int, int], ...]
    sizes: tuple[int, int]
    frames: tuple[tuple[Mapping[str, Any], ...], tuple[Mapping[str, Any], ...]]


def snapshot_untrusted(told: Mapping[str, Any]) -> Snapshot:
    return Snapshot(
        digest_untrusted(told, "snapshot"),
        instance_untrusted(told),
        _hex(told, "module"),
        typed_untrusted(told, "size", int),
        typed_untrusted(told, "taken", int),
        typed_untrusted(told, "kind", str),
        texts_untrusted(told, "tags"),
        None if told.get("parent") is None else digest_untrusted(told, "parent"),
        texts_untrusted(told, "instance_tags"),
    )


def taken_untrusted(told: Mapping[str, Any]) -> Taken:
    return Taken(
        digest_untrusted(told, "snapshot"),
        typed_untrusted(told, "size", int, 0),
        typed_untrusted(told, "written", int, 0),
    )


def imported_untrusted(told: Mapping[str, Any]) -> Imported:
    signer = digest_untrusted(told, "signer") if "signer" in told else None
    return Imported(digest_untrusted(told, "snapshot"), digest_untrusted(told, "module"), signer)


def shown_untrusted(told: Mapping[str, Any]) -> Shown:
    memory = typed_untrusted(told, "memory", dict)
    sizes = typed_untrusted(told, "sizes", dict)
    if not all(type(name) is str and type(size) is int for name, size in sizes.items()):
        raise HostNonsense("The host's answer has wrong sizes.")
    return Shown(
        digest_untrusted(told, "snapshot"),
        _hex(told, "module"),
        tuple(rows_untrusted(told, "frames")),
        typed_untrusted(memory, "pages", int),
        typed_untrusted(memory, "touched", int),
        sizes,
        typed_untrusted(told, "about", dict, {}),
    )


def difference_untrusted(told: Mapping[str, Any]) -> Difference:
    frames, sizes = typed_untrusted(told, "frames", list), typed_untrusted(told, "sizes", list)
    ranges = typed_untrusted(told, "ranges", list)
    if len(frames) != _RANGE or not _are_numbers(sizes) or not all(map(_are_numbers, ranges)):
        raise HostNonsense("The host's answer is no difference of two snapshots.")
    first, second = (tuple(rows_untrusted({"frames": each}, "frames")) for each in frames)
    return Difference(
        typed_untrusted(told, "changed", int),
        tuple((offset, length) for offset, length in ranges),
        (sizes[0], sizes[1]),
        (first, second),
    )


def ids_untrusted(told: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Of a clone: what became of each."""
    return rows_untrusted(told, "instances")


def _are_numbers(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == _RANGE and all(type(each) is int for each in pair)


def _hex(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name, "")
    return value.hex() if isinstance(value, bytes) else typed_untrusted(told, name, str)
