"""Streams of the bus <-> what is kept of them; a wire without I/O of its own.

In:  the streams of an instance that has stopped, or what a snapshot says of them (checked by streamwords). Out: the
     other. A stream that is made from what was kept has no link until its client attaches, and goes on with the counts
     that it had.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from gatebus.host.busstreams import BusStream
from gatebus.host.connections import Verdict
from gatebus.host.lives.streamwords import AT_THE_DOOR, StreamKept, streams_bytes, streams_untrusted
from gatebus.host.principals import Kind, Principal
from gatebus.protocol.streams import Flows, Inflow, Outflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatebus.host.instances import Instance
    from gatebus.turn import Turn

    Broken = Callable[[BusStream, Exception], None]


def streams_of(instance: Instance) -> bytes:
    """Those that stay with a program which has stopped, and those that wait at its door."""
    staying = [(number, each) for number, each in (instance.door.kept or {}).items() if isinstance(each, BusStream)]
    waiting = [(AT_THE_DOOR, each) for each in instance.door.waiting if isinstance(each, BusStream)]
    return streams_bytes([each.keep(number, call=instance.call is each) for number, each in (*staying, *waiting)])


def mark_of(streams: bytes) -> bytes:
    """Whether what is known of streams is what is in the store: two are compared without keeping one."""
    return blake2b(streams, digest_size=16).digest()


def connect_again_untrusted(instance: Instance, data: bytes, turn: Turn, on_broken: Broken) -> list[BusStream]:
    """Of an instance that comes back after its host was stopped: its streams, in their places. `on_broken`: of each.
    Raises StateRefused.
    """
    streams = []
    for kept in streams_untrusted(data):
        stream = _made(kept, instance, turn)
        stream.on_broken = on_broken
        _place(instance, kept.number, stream)
        if not kept.name:
            instance.unclaimed = stream
            continue
        instance.connections.append(stream)
        streams.append(stream)
        if kept.call:
            instance.call = stream
            stream.on_cancelled = stream.on_abandoned = kill_program
        else:
            stream.closing = Verdict({})
            stream.on_abandoned, stream.on_cancelled = abandon, leave
    return streams


def can_be_freed(stream: BusStream) -> bool:
    """It is a launched WASI program's one connection, and its client is not there, and had not done with it."""
    instance = stream.instance
    only = instance.order.kept and instance.personality == "wasi" and instance.call is not stream
    there = stream.carrier is not None or stream.is_over or instance.ended_at is not None
    return only and not there and stream in instance.connections


def free(stream: BusStream) -> None:
    """The next `io` gets it."""
    instance = stream.instance
    into = _inflow(stream.pending)
    into.begin(0, instance.order.window)
    stream.begin_anew(into)
    instance.connections.remove(stream)
    instance.unclaimed = stream


def kill_program(stream: BusStream) -> None:
    """Nobody wants the answer of its call any more."""
    stream.instance.kill()


def abandon(stream: BusStream) -> None:
    """Nobody comes back for it."""
    stream.instance.leave(stream)


def leave(stream: BusStream) -> None:
    """Its client lets go; the program goes on without it."""
    stream.instance.leave(stream)
    stream.conclude(Verdict({}))


def input_untrusted(instance: Instance, data: bytes, turn: Turn) -> None:
    """Of a copy with one connection: what had come for the original and was not read waits for it, too. Raises
    StateRefused.
    """
    for kept in streams_untrusted(data):
        flows = Flows(Outflow(0, instance.order.window), _inflow(len(kept.pending)))
        flows.into.begin(0, instance.order.window)
        flows.into.close(kept.finished)
        flows.into.stopped = kept.unwanted
        stream = BusStream(b"", instance.order.principal, flows, turn)
        stream.instance = instance
        stream.goes_on(kept.pending, 0)
        instance.unclaimed = stream
        _place(instance, kept.number, stream)


class GivenInflow(Inflow):
    """Before the client's first byte the program gets what a copy has from its original."""

    __slots__ = ("given",)

    def __init__(self, given: int) -> None:
        super().__init__()
        self.given = given

    def consume(self, size: int) -> None:
        of_them = min(size, self.given)
        self.given -= of_them
        super().consume(size - of_them)


def _inflow(given: int) -> Inflow:
    return GivenInflow(given) if given else Inflow()


def _place(instance: Instance, number: int, stream: BusStream) -> None:
    if number == AT_THE_DOOR:
        instance.door.connect(stream)
        return
    instance.door.stay()
    assert instance.door.kept is not None
    instance.door.kept[number] = stream


def _made(kept: StreamKept, instance: Instance, turn: Turn) -> BusStream:
    out, into = Outflow(kept.taken, kept.bound), _inflow(kept.given)
    out.go_on(kept.sent, kept.kept)
    out.note, out.stopped = kept.note, kept.unread
    into.received, into.consumed, into.edge = kept.received, kept.consumed, kept.edge
    into.window = instance.order.window
    into.finished, into.stopped = kept.finished, kept.unwanted
    into.closed = into.finished is not None and not kept.name  # whoever takes it now has not ended it
    kind = Kind.ANONYMOUS if kept.stranger else instance.order.principal.kind
    stream = BusStream(kept.name, Principal(kind, kept.owner), Flows(out, into), turn)
    stream.instance = instance
    stream.goes_on(kept.pending, kept.told)
    return stream
