"""Who is beside whom: the programs of one principal on this host and the groups that they are in; words.

In:  a principal and an instance, from whoever starts a program; names of groups and members, from programs (untrusted,
     but only bytes here).
Out: one Resident for each program: what its services share, and the only way from one program to another.

A neighbourhood forgets a principal when its last program is gone: nothing here is registered anywhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from gatebus.bounds import GROUP_MEMBERS, GROUPS, PEER_MEMBERS
from gatebus.peers.gathering import Gathering, Reason, Refusal
from gatebus.peers.sleeping import Missed, Shelf, Sleeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gatebus.peers.gathering import Caller, Listener, Member

# Gate's name for the group of all programs of one principal, each under its instance's id.
INDEX = b"index/principal"
# Names that begin so are not for programs to choose.
RESERVED = b"index/"


class Neighbourhood:
    """One per host, made by whoever assembles it."""

    def __init__(self) -> None:
        self._principals: WeakValueDictionary[str, Neighbours] = WeakValueDictionary()

    def admit(self, principal: str, instance: str) -> Resident:
        """A program that is going to start. `principal` must tell strangers apart: anonymous ones share no name."""
        neighbours = self._principals.get(principal)
        if neighbours is None:
            neighbours = self._principals[principal] = Neighbours()
        return Resident(instance, neighbours)

    def sleeps(
        self, principal: str, instance: str, names: Iterable[tuple[bytes, bytes]], call: Callable[[], None]
    ) -> Sleeping:
        """One that is stored, by the groups that it was in and its name in each."""
        resident = self.admit(principal, instance)
        return Sleeping(resident.neighbours, resident.neighbours.sleeps(resident.name, names, call))


class Sleeping:
    """One that is stored; whoever holds it keeps its neighbours known."""

    __slots__ = ("_neighbours", "_sleeper")

    def __init__(self, neighbours: Neighbours, sleeper: Sleeper) -> None:
        self._neighbours, self._sleeper = neighbours, sleeper

    def over(self) -> None:
        """It runs, or never will."""
        self._neighbours.woken(self._sleeper)


class Neighbours:
    """The groups of one principal."""

    def __init__(self) -> None:
        self._groups: dict[bytes, Gathering] = {}
        self._sleepers: dict[bytes, Sleeper] = {}  # by the name of their program
        self._shelf = Shelf()

    def group(self, name: bytes) -> Gathering | None:
        return self._groups.get(name)

    def open(self, name: bytes) -> Gathering | Refusal:
        """The group of this name, made when it does not exist."""
        group = self._groups.get(name)
        if group is None:
            if len(self._groups) >= GROUPS:
                return Refusal.GROUPS
            places = PEER_MEMBERS if name == INDEX else GROUP_MEMBERS
            group = self._groups[name] = Gathering(name, places)
        return group

    def close_empty(self, group: Gathering) -> None:
        if not group.members and not group.sleepers and self._groups.get(group.name) is group:
            del self._groups[group.name]

    def sleeps(self, program: bytes, names: Iterable[tuple[bytes, bytes]], call: Callable[[], None]) -> Sleeper:
        if program in self._sleepers:
            self.woken(self._sleepers[program])
        sleeper = self._sleepers[program] = Sleeper(program, self._shelf, call)
        for group, name in names:
            gathering = self.open(group)
            if isinstance(gathering, Gathering):
                gathering.sleeps(sleeper, name)
        return sleeper

    def woken(self, sleeper: Sleeper) -> None:
        if self._sleepers.get(sleeper.program) is sleeper:
            del self._sleepers[sleeper.program]
        sleeper.over()
        for gathering in tuple(self._groups.values()):
            if gathering.sleepers.pop(sleeper, None) is not None:
                self.close_empty(gathering)

    def missed(self, program: bytes, group: bytes) -> Missed:
        """What was said to it there while it was stored; told once."""
        sleeper = self._sleepers.get(program)
        return Missed([]) if sleeper is None else sleeper.take(group)


class Resident:
    """One program among its neighbours. Alone, when nobody admitted it."""

    __slots__ = ("caller", "memberships", "name", "neighbours")

    def __init__(self, instance: str = "", neighbours: Neighbours | None = None) -> None:
        self.name = instance.encode()
        self.neighbours = neighbours or Neighbours()
        self.caller: Caller | None = None  # the service `peer`, once the program has said something to it
        self.memberships: dict[bytes, Member] = {}

    def join(self, group: bytes, name: bytes, listener: Listener | None = None, about: bytes = b"") -> Member | Refusal:
        """Become a member. The others are told; `listener` hears what happens from now on."""
        if group in self.memberships:
            return Refusal.JOINED
        gathering = self.neighbours.open(group)
        if isinstance(gathering, Refusal):
            return gathering
        member = gathering.join(self, name, listener, about)
        if isinstance(member, Refusal):
            self.neighbours.close_empty(gathering)
            return member
        self.memberships[group] = member
        return member

    def leave(self, group: bytes, reason: Reason) -> None:
        """The others are told, once. Whoever waits to meet this member waits no longer."""
        member = self.memberships.pop(group, None)
        if member is not None:
            member.group.leave(member, reason)
            self.neighbours.close_empty(member.group)
