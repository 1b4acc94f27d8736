"""The services of a program that goes on, as they were when it stopped; a wire without I/O of its own.

In:  what they had saved (untrusted: it may come from elsewhere), the streams that stayed. Out: a Switchboard. When it
     cannot be made, the streams stay as they were.

An instance that goes on from what itself has left has all of it: after a stop, a start of the host or its crash. One
that begins with what another has left is a copy, and goes on being one for as long as it goes on from there: also when
the other is gone, and when the host has crashed before anything of its own was stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from gatebus.faults import StateRefused
from gatebus.host.busstreams import BusStream
from gatebus.route import service_state
from gatebus.services.base import Offer
from gatebus.services.origin import Origin, Windows
from gatebus.services.service_table import offers
from gatebus.switchboard import Switchboard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gatebus.host.instances import Instance
    from gatebus.host.lives.remains import Leftover
    from gatebus.services.origin import Client, Stream
    from gatebus.services.service_table import Builtin, World


def prepare_door(instance: Instance) -> None:
    """Whoever is connected hears when the program has no process, and when it has one again."""
    instance.door.on_stay, instance.door.on_return = _stays, _returns


def _stays(client: Client) -> None:
    if isinstance(client, BusStream):
        client.stays()


def _returns(client: Client, stream: Stream) -> None:
    if isinstance(client, BusStream):
        client.returns(stream)


class Boards:
    """`make_world` as the Runner has it."""

    def __init__(self, make_world: Callable[[Instance], World], services: Callable[[], Mapping[str, Builtin]]) -> None:
        self._make_world, self._services = make_world, services

    def again(self, instance: Instance, left: Leftover) -> Switchboard:
        """Raises StateRefused."""
        instance.door.stay()
        board = Switchboard({})
        try:
            if instance.personality == "wasi":
                self._one_connection(board, instance, left)
            else:
                self._all(board, instance, left)
        except StateRefused:
            board.close()
            raise
        instance.door.resolve()
        return board

    def _one_connection(self, board: Switchboard, instance: Instance, left: Leftover) -> None:
        windows, door = Windows(window=instance.order.window), instance.door
        board.publish("origin", Offer("0", lambda outlet: Origin(outlet, door, windows)))
        origin = cast("Origin", board.open("origin"))
        if left.suspended.halted:  # its connection is a new one (sandbox.stateworld)
            origin.open_at_start()
            return
        state = next((service_state(saved) for name, saved in left.services if name == "origin"), b"")
        if state:
            origin.go_on_at_start(state)

    def _all(self, board: Switchboard, instance: Instance, left: Leftover) -> None:
        for name, offer in offers(self._make_world(instance), board.entries, self._services()).items():
            board.publish(name, offer)
        assert instance.live is not None
        board.restore(list(left.services), copied=instance.live.has_inherited(left.saved))
