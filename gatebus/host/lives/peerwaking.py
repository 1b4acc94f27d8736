"""Stored programs that their peers may wake (`wake: any`); a wire without I/O of its own.

Where it stands: between instances that rest and gatebus.peers. In: the names that a program had in its groups when it
was stored. Out: its peers' messages and questions for these names wake it, and what they said is told when it is there.
Of a folded instance only this is left, and its id.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from gatebus.host.lives.manners import Wake
from gatebus.peers.neighbourhood import INDEX
from gatebus.route import service_state_untrusted
from gatebus.services.group import names_untrusted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gatebus.host.instances import Instance
    from gatebus.host.registry import Registry
    from gatebus.peers.neighbourhood import Neighbourhood, Sleeping

Names = list[tuple[bytes, bytes]]
_GROUP, _INDEX = "group", "peerindex/principal"


class PeerWaking:
    """One for a host."""

    def __init__(self, registry: Registry, neighbourhood: Neighbourhood) -> None:
        self._registry, self._neighbourhood = registry, neighbourhood
        self._asleep: dict[bytes, Sleeping] = {}

    def rests(self, instance: Instance) -> None:
        """It is stored; asked again, that changes nothing unless its policy has changed."""
        live = instance.live
        if live is None or not live.peers or live.policy.wake is not Wake.ANY:
            self.over(instance)
            return
        if instance.id in self._asleep:
            return
        name, call = str(instance.order.instance), partial(self._call, instance.id)
        self._asleep[instance.id] = self._neighbourhood.sleeps(instance.owner, name, live.peers, call)

    def over(self, instance: Instance) -> None:
        """It runs, or has ended."""
        sleeping = self._asleep.pop(instance.id, None)
        if sleeping is not None:
            sleeping.over()

    def _call(self, instance: bytes) -> None:
        known = self._registry.known(UUID(bytes=instance))
        if known is not None and known.live is not None:
            known.live.on_io()


def peer_names_untrusted(instance: Instance, services: Iterable[tuple[str, bytes]]) -> Names:
    """Group and name of each place that it had, from what its services keep (untrusted). Raises StateRefused."""
    states = {name: service_state_untrusted(saved) for name, saved in services if name in (_GROUP, _INDEX)}
    names = names_untrusted(states.get(_GROUP, b""))
    if states.get(_INDEX):
        names.append((INDEX, str(instance.order.instance).encode()))
    return names


def names_told_untrusted(told: object) -> Names:
    """Of a record."""
    pairs = [each for each in told if isinstance(each, list) and len(each) == 2] if isinstance(told, list) else []
    return [(group, name) for group, name in pairs if isinstance(group, bytes) and isinstance(name, bytes)]
