"""What programs can talk to: one explicit table, nothing registers itself; words.

In:  a World: everything that the services of one program use, made by whoever starts the program.
Out: name -> Offer, for the switchboard.

A service of one's own is one class (base.Service) and one more line in a table like this one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gatebus.peers.neighbourhood import Resident
from gatebus.services.base import Offer, Outlet, Service
from gatebus.services.catalog import Catalog, Entries
from gatebus.services.group import Group
from gatebus.services.identity import Identities, Identity
from gatebus.services.origin import Door, Origin, Windows
from gatebus.services.peer import Peer, PeerIndex
from gatebus.services.randomness import Clock, Random, Randomness
from gatebus.services.scope import Scope, ScopeService


@dataclass(frozen=True, slots=True)
class World:
    """The collaborators of one program's services."""

    clock: Clock
    randomness: Randomness
    identities: Identities = field(default_factory=Identities)
    scope: Scope = field(default_factory=Scope)
    door: Door = field(default_factory=Door)
    windows: Windows = field(default_factory=Windows)
    resident: Resident = field(default_factory=Resident)


class Builtin(NamedTuple):
    """A line of the table: the class, its revision, and which collaborators it gets."""

    service: type[Service]
    revision: str
    make: Callable[[World, Entries, Outlet], Service]


BUILTIN: Mapping[str, Builtin] = {
    "catalog": Builtin(Catalog, "0", lambda world, entries, outlet: Catalog(outlet, entries)),
    "group": Builtin(Group, "1", lambda world, entries, outlet: Group(outlet, world.resident)),
    "identity": Builtin(Identity, "0", lambda world, entries, outlet: Identity(outlet, world.identities)),
    "origin": Builtin(Origin, "0", lambda world, entries, outlet: Origin(outlet, world.door, world.windows)),
    "peer": Builtin(Peer, "0", lambda world, entries, outlet: Peer(outlet, world.resident)),
    "peerindex/principal": Builtin(PeerIndex, "0", lambda world, entries, outlet: PeerIndex(outlet, world.resident)),
    "random": Builtin(Random, "0", lambda world, entries, outlet: Random(outlet, world.clock, world.randomness)),
    "scope": Builtin(ScopeService, "0", lambda world, entries, outlet: ScopeService(outlet, world.scope)),
}


def offers(world: World, entries: Entries, table: Mapping[str, Builtin] = BUILTIN) -> dict[str, Offer]:
    """The table for one program. `entries` is what the catalog shows: names and revisions of the moment."""

    def bound(line: Builtin) -> Offer:
        return Offer(line.revision, lambda outlet: line.make(world, entries, outlet))

    return {name: bound(line) for name, line in table.items()}
