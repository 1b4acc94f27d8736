"""Stored instances that nobody is connected to take next to no room: each is folded into a line, and unfolded when
somebody asks for it; a wire without I/O of its own.

Where it stands: between the life of an instance and the registry. In: instances that rest. Out: a Folded in the
registry in the place of each, and an Instance again as soon as it is looked up: by its id, by the name of a stream, by
its host. What its client has not taken, and what came for it, is in the line, or in the store.

Nobody may hold an instance that is folded: whoever has one in hand while he waits says so (`Live.users`), and then it
stays as it is. So there are never two of one. Whoever forgets to say so gets a WrongStep at the first thing that he
does with it: it is FOLDED, and nothing can be done to it any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from gatebus.accountbounds import FOLDED_STREAMS
from gatebus.host.busstreams import BusStream
from gatebus.host.connections import Verdict
from gatebus.host.lives.folded import Folded, folded, unfolded
from gatebus.host.lives.keeping import is_recorded
from gatebus.host.lives.lifetable import Life, Step
from gatebus.host.lives.manners import Manner, policy_untrusted
from gatebus.host.lives.remains import SavedAs, usage_untrusted
from gatebus.host.lives.streamkeeping import connect_again_untrusted, mark_of, streams_of
from gatebus.host.principals import Kind, Principal
from gatebus.host.refusals import Refusal
from gatebus.host.runorders import Order
from gatebus.protocol.streams import Flows, Inflow, Outflow
from sandbox.lifecycle import Lifecycle
from sandbox.limits import Limits
from sandbox.setup import Setup

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatebus.host.connections import Connection
    from gatebus.host.hostparts import HostParts
    from gatebus.host.instances import Instance
    from gatebus.host.lives.folded import Line
    from gatebus.host.lives.live import Live


class Folding:
    """One for a host. `on_rest`: what an instance that rests is to do when something comes for it."""

    def __init__(self, parts: HostParts, on_rest: Callable[[Instance], None]) -> None:
        self._parts, self._on_rest = parts, on_rest
        self._resting: dict[Instance, None] = {}
        parts.registry.unfold = self._unfold

    def rests(self, instance: Instance) -> None:
        """It is stored: when nobody is connected any more it may be folded."""
        self._resting[instance] = None

    def look(self) -> None:
        """Whoever rests undisturbed is folded."""
        for instance in tuple(self._resting):
            self.look_at(instance)

    def look_at(self, instance: Instance) -> None:
        live = _live(instance)
        if live.life is not Life.STORED or instance.ended_at is not None:
            self._resting.pop(instance, None)
        elif self._may(instance, live):
            self._fold(instance, live)

    def _may(self, instance: Instance, live: Live) -> bool:
        undisturbed = not (live.users or live.wishes or instance.killed) and len(instance.on_end) == 1
        return (
            undisturbed
            and instance.order.kept
            and live.halted is None
            and live.snapshot is not None
            and (live.left is None or is_recorded(instance))
            and not self._parts.lives.keeping.is_writing(instance)
            and all(self._is_free(instance, each) for each in instance.connected())
        )

    def _is_free(self, instance: Instance, connection: Connection) -> bool:
        """It has no link; it is part of what is kept, or it was answered long ago."""
        if not isinstance(connection, BusStream) or connection.carrier is not None:
            return False
        gone = connection.answered and not self._parts.registry.knows(connection)
        return gone or (connection.verdict is None and connection in _placed(instance))

    def _fold(self, instance: Instance, live: Live) -> None:
        streams = None if live.dormant else streams_of(instance)
        if streams is not None and mark_of(streams) == live.as_stored:
            streams = None
        if streams is not None and len(streams) > FOLDED_STREAMS:
            return
        placed = _placed(instance)
        spent = instance.personality == "wasi" and any(each not in placed for each in instance.connections)
        names = live.asleep if live.dormant else _names(placed)
        line = folded(instance, streams, names, spent=spent)
        self._parts.registry.fold(instance, Folded(instance, line, self._made), names)
        self._resting.pop(instance, None)
        self._parts.lives.let_be(instance)
        _take_apart(instance, live)

    def _unfold(self, each: Folded) -> Instance:
        """As it was, and it may be folded again. Called by the registry."""
        line, instance = unfolded(each), self._made(each)
        if line.streams is None:
            _live(instance).dormant = True
        else:
            parts = self._parts
            streams = connect_again_untrusted(instance, line.streams, parts.turn, parts.stream_broke)
            parts.registry.awake(instance, streams)
        self._on_rest(instance)
        return instance

    def _made(self, each: Folded) -> Instance:
        """Without its streams."""
        line = unfolded(each)
        instance = self._parts.resting(_order(each, line))
        instance.created, instance.personality, instance.log_lost = line.created, line.personality, line.log_lost
        live = _live(instance)
        _fill(live, line)
        live.asleep = line.asleep
        if line.spent:
            instance.connections.append(_over(instance, self._parts))
        return instance


def _take_apart(instance: Instance, live: Live) -> None:
    """Nobody has it any more, and its memory is free at once: it holds nothing that holds it."""
    live.step(Step.FOLD)
    instance.connections, instance.unclaimed = [], None
    instance.door.kept = None
    while instance.door.take() is not None:
        pass


def _order(each: Folded, line: Line) -> Order:
    return Order(
        UUID(bytes=each.id),
        Principal(Kind(line.kind), each.owner, line.name),
        line.module,
        Setup(),
        Limits(*line.limits),  # type: ignore[arg-type]
        tags=tuple(line.tags),
        open=each.open,
        kept=True,
        connections=line.connections,
        window=line.window,
        manner=Manner(
            suspendable=True, transient=line.transient, resumable=line.resumable, policy=policy_untrusted(line.policy)
        ),
    )


def _fill(live: Live, line: Line) -> None:
    live.life, live.how, live.lives, live.copies = Life.STORED, Lifecycle(line.how), line.lives, line.copies
    live.snapshot, live.stops, live.stored = line.snapshot, line.stops, line.stored
    live.origin = SavedAs(line.snapshot)
    live.inherited = None if line.inherited is None else SavedAs(line.inherited)
    live.before, live.recovered = usage_untrusted(line.before), line.recovered
    live.revision, live.names, live.runs, live.kept = line.revision, line.names, line.runs, line.kept
    live.peers = [(group, name) for group, name in line.peers]
    live.wants_files = line.files
    live.failure = None if line.failure is None else Refusal(str(line.failure["code"]), str(line.failure["text"]))


def _over(instance: Instance, parts: HostParts) -> BusStream:
    """In the place of a connection that is over: nobody gets another one."""
    stream = BusStream(b"", instance.order.principal, Flows(Outflow(), Inflow()), parts.turn)
    stream.instance, stream.verdict, stream.answered = instance, Verdict({}), True
    return stream


def _placed(instance: Instance) -> set[object]:
    """Connections that the store knows of."""
    return {*(instance.door.kept or {}).values(), *instance.door.waiting}


def _names(placed: set[object]) -> list[bytes]:
    return [each.name for each in placed if isinstance(each, BusStream) and each.name]


def _live(instance: Instance) -> Live:
    assert instance.live is not None
    return instance.live
