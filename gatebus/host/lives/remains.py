"""What a stopped program has left, as the host holds it and as the snapshot store keeps it; words.

In:  a stopped process, what its services keep, what its streams are owed; or a Saved of the store, whose parts are
     untrusted (it may come from another host). Out: the other. What describes the instance is read here, too: every
     number is judged by the classes that hold it (Limits, Policy).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, TypeVar

from gatebus.bounds import STREAM_WINDOW_LEAST, STREAM_WINDOW_MOST
from gatebus.faults import StateRefused
from gatebus.host.lives.manners import policy_untrusted
from gatebus.host.refusals import Refusal
from gatebus.host.requests import tags_untrusted
from sandbox.errors import BadSetup
from sandbox.limits import Limits
from sandbox.outcome import Usage
from sandbox.packets import PacketCounter

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from gatebus.host.lives.heldsizes import Held
    from gatebus.host.lives.manners import Policy
    from sandbox.suspended import Suspended

T = TypeVar("T")
_SERVICE = "service:"
# Bytes of packets that are counted in one go: of the smallest, half a millisecond.
_PACKETS_AT_ONCE = 8 << 10
_UNSENT, STREAMS = "unsent", "streams"
Parts = tuple[tuple[str, bytes], ...]


class SavedAs:
    """Under which id something is in the store, once it is."""

    __slots__ = ("id",)

    def __init__(self, snapshot: bytes | None = None) -> None:
        self.id = snapshot


@dataclass(frozen=True, slots=True)
class Leftover:
    """`services`: (name, state) by number. `unsent`: packets for the program. `streams`: see streamwords. `before`:
    what it cost until then, in all its lives. `base`: what its process had gone on from. `number`: how often its
    instance had stopped by then, 0 when it was in the store. `held`: who pays for what was read of the store.
    """

    suspended: Suspended
    services: Parts
    unsent: bytes = field(default=b"", repr=False)
    streams: bytes = field(default=b"", repr=False)
    before: Usage = field(default_factory=Usage)
    saved: SavedAs = field(default_factory=SavedAs, compare=False)
    base: SavedAs = field(default_factory=SavedAs, compare=False)
    number: int = 0
    held: Held | None = field(default=None, repr=False, compare=False)

    def held_by(self, held: Held) -> Leftover:
        return replace(self, held=held)

    @property
    def parts(self) -> Parts:
        return (*parts_of(self.services, self.unsent), (STREAMS, self.streams))


def parts_of(services: Parts, unsent: bytes) -> Parts:
    return (*((_SERVICE + name, state) for name, state in services), (_UNSENT, unsent))


def leftover_untrusted(
    suspended: Suspended, parts: Parts, about: Mapping[str, object], saved: SavedAs
) -> Generator[None, None, Leftover]:
    """In pieces, for whoever has other things to do. Raises StateRefused."""
    services = tuple((name.removeprefix(_SERVICE), state) for name, state in parts if name.startswith(_SERVICE))
    others = {name: content for name, content in parts if not name.startswith(_SERVICE)}
    unsent = others.get(_UNSENT, b"")
    if len(services) + len(others) != len(parts):
        raise StateRefused("What the snapshot has for its program is malformed.")
    yield from check_packets_untrusted(unsent)
    usage = usage_untrusted(about.get("usage"))
    return Leftover(suspended, services, unsent, others.get(STREAMS, b""), usage, saved)


def check_packets_untrusted(data: bytes) -> Generator[None, None, None]:
    """They are whole; there may be millions. Raises StateRefused."""
    counter, view = PacketCounter(), memoryview(data)
    try:
        for at in range(0, len(data), _PACKETS_AT_ONCE):
            counter.count(view[at : at + _PACKETS_AT_ONCE])
            yield
    except ValueError:
        raise StateRefused("What the snapshot has for its program is no packet.") from None
    if not counter.between:
        raise StateRefused("What the snapshot has for its program is no packet.")


@dataclass(frozen=True, slots=True)
class Described:
    """What a snapshot says of its instance."""

    instance: bytes
    limits: Limits
    tags: tuple[str, ...]
    policy: Policy
    open: bool
    window: int
    files: bool
    personality: str


def described_untrusted(about: Mapping[str, object]) -> Described:
    """Raises StateRefused. What is missing is the default."""
    try:
        return Described(
            _of(bytes, about, "instance", b""),
            Limits(**_of(dict, about, "limits", {})),
            tags_untrusted({"tags": about.get("tags", [])}),
            policy_untrusted(about.get("policy", {})),
            _of(bool, about, "open", otherwise=False),
            min(max(STREAM_WINDOW_LEAST, _of(int, about, "window", STREAM_WINDOW_LEAST)), STREAM_WINDOW_MOST),
            _of(bool, about, "files", otherwise=False),
            _of(str, about, "personality", ""),
        )
    except (BadSetup, Refusal, TypeError):
        raise StateRefused("What the snapshot says of its instance is malformed.") from None


def _of(kind: type[T], about: Mapping[str, object], name: str, otherwise: T) -> T:
    value = about.get(name, otherwise)
    if type(value) is not kind:
        raise TypeError(name)
    return value


def limits_map(limits: Limits) -> dict[str, object]:
    return {each.name: getattr(limits, each.name) for each in fields(limits)}


def limits_untrusted(told: object) -> Limits:
    """Those that it had; what no program can have is left to the defaults."""
    try:
        return Limits(**told) if isinstance(told, dict) else Limits()
    except (BadSetup, TypeError):
        return Limits()


# What it cost.

_NOTHING = Usage()
_SUMS = ("cpu_user", "cpu_system", "bytes_in", "bytes_out", "packets_in", "packets_out", "log_dropped", "wall")
_PEAKS = ("peak_memory", "max_rss")


def usage_sum(before: Usage, now: Usage) -> Usage:
    if before == _NOTHING:
        return now
    added = {name: getattr(before, name) + getattr(now, name) for name in _SUMS}
    return Usage(**added, **{name: max(getattr(before, name), getattr(now, name)) for name in _PEAKS})


def usage_told(usage: Usage) -> dict[str, object]:
    return {name: getattr(usage, name) for name in (*_SUMS, *_PEAKS)}


def usage_untrusted(told: object) -> Usage:
    """Numbers that are none count as nothing."""
    known = told if isinstance(told, dict) else {}
    return Usage(**{name: known[name] for name in (*_SUMS, *_PEAKS) if _counts(name, known.get(name))})


def _counts(name: str, value: object) -> bool:
    whole = isinstance(getattr(Usage(), name), int)
    return type(value) in ((int,) if whole else (int, float)) and 0 <= value < 2**53  # type: ignore[operator]


def limits_left(limits: Limits, used: Usage) -> Limits | None:
    """A program that is stopped and goes on has no more time than one that is not. None: it has none left."""
    if not (used.cpu_user or used.cpu_system or used.wall):
        return limits
    cpu = limits.cpu_time - used.cpu_user - used.cpu_system
    wall = None if limits.wall_time is None else limits.wall_time - used.wall
    least = Limits.__dataclass_fields__["cpu_time"].metadata["range"].minimum
    if cpu < least or (wall is not None and wall < least):
        return None
    return replace(limits, cpu_time=cpu, wall_time=wall)
