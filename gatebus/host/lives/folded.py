"""A stored instance that nobody is connected to, as one line of bytes; words.

Where it stands: in the registry, in the place of an Instance and all that belongs to one (streams, a door, limits,
callbacks: some 20 KiB). In: what is known of the instance. Out: the same again, when somebody asks for it. The bytes
are of this process and for it alone.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING, NamedTuple

import cbor2

from gatebus.host.lives.remains import usage_told
from gatebus.host.statuses import error_map

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatebus.host.instances import Instance
    from gatebus.host.lives.live import Live
    from gatebus.host.statuses import Map


class Folded:
    """`open`: whoever knows its id may connect. `unfold` makes what `status` tells of."""

    __slots__ = ("_look", "account", "id", "line", "open", "owner")

    def __init__(self, instance: Instance, line: bytes, look: Callable[[Folded], Instance]) -> None:
        self.id, self.owner, self.account = instance.id, instance.owner, instance.order.principal.account
        self.open, self.line, self._look = instance.order.open, line, look

    def status(self) -> Map:
        return self._look(self).status()


class Line(NamedTuple):
    """Nothing but numbers, texts and lists of them. `streams`: as streamwords has them; None: as in the store. `spent`:
    its one connection is over.
    """

    kind: str
    name: str
    module: str
    limits: list[object]
    tags: list[str]
    connections: int
    window: int
    transient: bool
    resumable: bool
    policy: dict[str, object]
    created: float
    personality: str
    log_lost: int
    how: int
    lives: int
    copies: int
    snapshot: bytes
    stops: int
    stored: int
    inherited: bytes | None
    before: dict[str, object]
    recovered: int | None
    revision: int
    names: list[bytes]
    peers: list[tuple[bytes, bytes]]
    runs: bool
    failure: dict[str, object] | None
    kept: list[bytes]
    asleep: list[bytes]
    files: bool
    spent: bool
    streams: bytes | None


def folded(instance: Instance, streams: bytes | None, names: list[bytes], *, spent: bool) -> bytes:
    """`names`: by which its streams are asked for."""
    live, order = _stored(instance), instance.order
    assert live.snapshot is not None
    line = Line(
        order.principal.kind.value,
        order.principal.name,
        order.module,
        list(astuple(order.limits)),
        list(order.tags),
        order.connections,
        order.window,
        live.manner.transient,
        live.manner.resumable,
        live.policy.told(),
        instance.created,
        instance.personality,
        instance.log_lost,
        int(live.how),
        live.lives,
        live.copies,
        live.snapshot,
        live.stops,
        live.stored,
        None if live.inherited is None else live.inherited.id,
        usage_told(live.before),
        live.recovered,
        live.revision,
        live.names,
        live.peers,
        live.runs,
        None if live.failure is None else error_map(live.failure.code, live.failure.text),
        live.kept,
        names,
        live.wants_files,
        spent,
        streams,
    )
    return cbor2.dumps(list(line))


def unfolded(each: Folded) -> Line:
    return Line(*cbor2.loads(each.line))


def _stored(instance: Instance) -> Live:
    assert instance.live is not None
    return instance.live
