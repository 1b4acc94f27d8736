"""What a host answers, as frozen values; words, no I/O.

In:  maps of results and events (untrusted: a host may be wrong, or false). Out: values whose fields have their types,
or HostNonsense. Unknown keys are ignored, so a host may say more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from gatebus.client.complaints import HostNonsense

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a program has cost."""

    cpu_ms: int = 0
    peak_memory: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    wall_ms: int = 0
    log_dropped: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended. `result`: None when it did not end by itself."""

    state: str
    cause: str
    result: int | None
    text: str = ""
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Live:
    """Of an instance that can be stopped, or was asked to be. `depth`: "parked", "stored", or "" while it runs;
    `lives`: how often it has gone on; `unsuspendable`: why it cannot be stopped; `snapshot`: the last one that was
    stored; `recovered`: milliseconds since 1970 of what the host went back to after a crash; `durable`: after a crash
    now it would be found again; `unkept_since`, `unkept`: since when (ms since 1970) what its policy
    asks for fails, and why; `due`: it is about to go on, or should (it ran when its host ended); `failure`: why it
    could not go on when it last should.
    """

    depth: str = ""
    lives: int = 0
    suspendable: bool = False
    unsuspendable: tuple[str, ...] = ()
    snapshot: bytes | None = None
    recovered: int | None = None
    policy: Mapping[str, Any] = field(default_factory=dict)
    durable: bool = False
    unkept_since: int | None = None
    unkept: str = ""
    due: bool = False
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Clients:
    """Who is connected to a program: so many with a link, so many without, who may come back. `over`: its one
    connection is, and nobody gets another one.
    """

    attached: int = 0
    lost: int = 0
    over: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """One instance. `cause` is empty until it has ended; `result` is None unless it has by itself. `created`: seconds
    since 1970. `clients`, `limits`: of a launched one that has not ended; limits as `Program` has them, None: no limit.
    """

    instance: UUID
    state: str
    cause: str
    result: int | None
    module: str
    created: int
    tags: tuple[str, ...] = ()
    text: str = ""
    usage: Usage = field(default_factory=Usage)
    live: Live | None = None
    clients: Clients | None = None
    limits: Mapping[str, float | None] | None = None


@dataclass(frozen=True, slots=True)
class Module:
    """One module that the host keeps for us."""

    sha256: bytes
    size: int
    tags: tuple[str, ...] = ()
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Uploaded:
    """`known`: the host had it, and not a byte was sent."""

    sha256: bytes
    size: int
    known: bool


@dataclass(frozen=True, slots=True)
class Pinned:
    """`content`: of a module that was named by an address, the address of the file itself, for others; else nothing."""

    sha256: bytes
    content: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of a result that is too large to come with it: download it by its hash."""

    sha256: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to an instance. `about` is all that the host said."""

    number: int
    event: str
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """What `call` gives back. `files`: content by path (`want_files`)."""

    outcome: Outcome
    output: bytes = b""
    log: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """The program ended by itself and was content."""
        return self.outcome.cause in ("", "NORMAL", "NONE") and self.outcome.result == 0


def outcome_untrusted(about: Mapping[str, Any]) -> Outcome:
    """Of a map that has the outcome in it, or is one."""
    told = typed_untrusted(about, "outcome", dict, about)
    return Outcome(
        typed_untrusted(told, "state", str),
        typed_untrusted(told, "cause", str, ""),
        _result(told),
        typed_untrusted(told, "text", str, ""),
        usage_untrusted(typed_untrusted(told, "usage", dict, {})),
    )


def usage_untrusted(told: Mapping[str, Any]) -> Usage:
    return Usage(
        _whole(told, "cpu_ms"),
        typed_untrusted(told, "peak_memory", int, 0),
        typed_untrusted(told, "bytes_in", int, 0),
        typed_untrusted(told, "bytes_out", int, 0),
        _whole(told, "wall_ms"),
        typed_untrusted(told, "log_dropped", int, 0),
    )


def status_untrusted(told: Mapping[str, Any]) -> Status:
    module = told.get("module", "")
    return Status(
        instance_untrusted(told),
        typed_untrusted(told, "state", str),
        typed_untrusted(told, "cause", str, ""),
        _result(told),
        module.hex() if isinstance(module, bytes) else typed_untrusted(told, "module", str, ""),
        _whole(told, "created"),
        texts_untrusted(told, "tags"),
        typed_untrusted(told, "text", str, ""),
        usage_untrusted(typed_untrusted(told, "usage", dict, {})),
        live_untrusted(told) if "suspendable" in told else None,
        clients_untrusted(typed_untrusted(told, "clients", dict)) if "clients" in told else None,
        _limits_untrusted(typed_untrusted(told, "limits", dict)) if "limits" in told else None,
    )


def clients_untrusted(told: Mapping[str, Any]) -> Clients:
    return Clients(
        typed_untrusted(told, "attached", int, 0),
        typed_untrusted(told, "lost", int, 0),
        typed_untrusted(told, "over", bool, default=False),
    )


def _limits_untrusted(told: Mapping[str, Any]) -> Mapping[str, float | None]:
    for name, value in told.items():
        if type(name) is not str or not (value is None or (type(value) in (int, float) and isfinite(value))):
            raise HostNonsense("The host's answer has wrong limits.")
    return told


def live_untrusted(told: Mapping[str, Any]) -> Live:
    unkept = typed_untrusted(told, "unkept", dict, {})
    return Live(
        typed_untrusted(told, "depth", str, ""),
        typed_untrusted(told, "lives", int, 0),
        typed_untrusted(told, "suspendable", bool),
        texts_untrusted(told, "unsuspendable"),
        None if told.get("snapshot") is None else digest_untrusted(told, "snapshot"),
        None if told.get("recovered") is None else typed_untrusted(told, "recovered", int),
        typed_untrusted(told, "policy", dict, {}),
        typed_untrusted(told, "durable", bool, default=False),
        None if not unkept else typed_untrusted(unkept, "since", int),
        typed_untrusted(unkept, "text", str, ""),
        typed_untrusted(told, "due", bool, default=False),
        typed_untrusted(typed_untrusted(told, "failure", dict, {}), "text", str, ""),
    )


def instance_untrusted(told: Mapping[str, Any]) -> UUID:
    identity = typed_untrusted(told, "instance", bytes)
    if len(identity) != 16:
        raise HostNonsense("The host named an instance by something that is no id.")
    return UUID(bytes=identity)


def module_untrusted(told: Mapping[str, Any]) -> Module:
    pinned = typed_untrusted(told, "pinned", bool, default=False)
    return Module(
        digest_untrusted(told, "module"), typed_untrusted(told, "size", int), texts_untrusted(told, "tags"), pinned
    )


def uploaded_untrusted(told: Mapping[str, Any]) -> Uploaded:
    known = typed_untrusted(told, "known", bool, default=False)
    return Uploaded(digest_untrusted(told, "module"), typed_untrusted(told, "size", int), known)


def pinned_untrusted(told: Mapping[str, Any]) -> Pinned:
    return Pinned(digest_untrusted(told, "module"), typed_untrusted(told, "content", str, ""))


def digest_untrusted(told: Mapping[str, Any], name: str) -> bytes:
    digest = typed_untrusted(told, name, bytes)
    if len(digest) != 32:
        raise HostNonsense("The host named a file by something that is no SHA-256.")
    return digest


def event_untrusted(told: object) -> Event:
    if not isinstance(told, dict):
        raise HostNonsense("The host sent an event that is no map.")
    return Event(typed_untrusted(told, "number", int, 0), typed_untrusted(told, "event", str), told)


def files_untrusted(about: Mapping[str, Any]) -> dict[str, bytes | Stored]:
    """Files that a program left: content, or where it is."""
    found: dict[str, bytes | Stored] = {}
    for path, content in typed_untrusted(about, "files", dict, {}).items():
        if isinstance(content, bytes):
            found[path] = content
        elif isinstance(content, dict):
            found[path] = Stored(digest_untrusted(content, "sha256"), typed_untrusted(content, "size", int, 0))
        else:
            raise HostNonsense("The host left a file that has no content.")
    return found


def rows_untrusted(about: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    rows = typed_untrusted(about, name, list)
    if not all(isinstance(row, dict) for row in rows):
        raise HostNonsense(f"The host's list of {name} has something else in it.")
    return rows


def typed_untrusted(told: Mapping[str, Any], name: str, kind: type[T], default: Any = None) -> T:
    """Raises HostNonsense."""
    value = told.get(name, default)
    if type(value) is not kind:
        raise HostNonsense(f"The host's answer has no {name}, or a wrong one.")
    return value


def _result(told: Mapping[str, Any]) -> int | None:
    return None if told.get("result") is None else typed_untrusted(told, "result", int)


def _whole(told: Mapping[str, Any], name: str) -> int:
    """A host may be finer than we need."""
    value = told.get(name, 0)
    if type(value) is int:
        return value
    if type(value) is not float or not isfinite(value):
        raise HostNonsense(f"The host's answer has a wrong {name}.")
    return round(value)


def texts_untrusted(told: Mapping[str, Any], name: str) -> tuple[str, ...]:
    texts = typed_untrusted(told, name, list, [])
    if not all(type(text) is str for text in texts):
        raise HostNonsense(f"The host's answer has wrong {name}.")
    return tuple(texts)
