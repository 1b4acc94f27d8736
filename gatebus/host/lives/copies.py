"""New instances out of what others have left: restored from a snapshot, or copies of one that runs; a wire.

In:  a Leftover (of the store: its parts are untrusted), an id that the client chose. Out: an instance that is paid for
     and goes on, with an identity of its own; or a Refusal, and then there is nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from gatebus.bounds import ORIGIN_STREAMS
from gatebus.host.busstreams import BusStream
from gatebus.host.lives.lifetable import Life
from gatebus.host.lives.peerwaking import peer_names_untrusted
from gatebus.host.lives.streamkeeping import input_untrusted
from gatebus.host.refusals import Refusal
from gatebus.host.runorders import Order
from gatebus.protocol.streams import Flows, Inflow, Outflow
from sandbox.outcome import Usage
from sandbox.setup import Setup

if TYPE_CHECKING:
    from uuid import UUID

    from gatebus.host.hostparts import HostParts
    from gatebus.host.instances import Instance
    from gatebus.host.lives.manners import Manner
    from gatebus.host.lives.remains import Described, Leftover
    from gatebus.host.principals import Principal
    from sandbox.lifecycle import Lifecycle


def order_of(described: Described, principal: Principal, wanted: UUID, module: str, manner: Manner) -> Order:
    return Order(
        wanted,
        principal,
        module,
        Setup(),
        described.limits,
        tags=described.tags,
        open=described.open,
        kept=True,
        connections=ORIGIN_STREAMS,
        window=described.window,
        manner=manner,
    )


class Copy(NamedTuple):
    """Of what, and what it is told of that."""

    left: Leftover
    how: Lifecycle
    personality: str


def copied(parts: HostParts, order: Order, copy: Copy) -> Instance:
    """It rests, and is to be woken. Raises Refusal, StateRefused."""
    if parts.registry.known(order.instance) is not None:
        raise Refusal("conflict", "There is an instance of this id. Choose another one, at random.")
    instance = parts.resting(order)
    live = instance.live
    assert live is not None
    left = copy.left
    live.life, live.how, live.origin = Life.STORED, copy.how, left.saved
    live.inherited, live.fresh = left.saved, True
    live.left = replace(left, before=Usage())
    instance.personality = copy.personality
    live.peers = peer_names_untrusted(instance, left.services)
    live.snapshot = left.saved.id
    connect_copy_untrusted(parts, instance, left)
    return instance


def connect_copy_untrusted(parts: HostParts, instance: Instance, left: Leftover) -> None:
    """A program with one connection gets a new one in the place of the old one. One that accepts them is told that
    those of its original are over, and goes on accepting. Raises StateRefused.
    """
    if instance.personality != "wasi":
        return
    input_untrusted(instance, left.streams, parts.turn)
    if instance.unclaimed is None:
        one_connection(instance, parts)


def one_connection(instance: Instance, parts: HostParts) -> None:
    """Of a program that goes on with a new one: the next `io` gets it."""
    stream = BusStream(
        b"",
        instance.order.principal,
        Flows(Outflow(0, instance.order.window), Inflow(instance.order.window)),
        parts.turn,
    )
    stream.instance = instance
    instance.unclaimed = stream
    instance.door.connect(stream)


def fresh_connection(instance: Instance, stream: BusStream) -> None:
    """Of a copy whose original had one connection: it is this one from the first moment on."""
    instance.door.leave(stream)
    instance.door.stay()
    assert instance.door.kept is not None
    instance.door.kept[0] = stream
