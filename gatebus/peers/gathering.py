"""A group of names: who is in it, who is told of it, and which two of its members have met; words.

In:  joins, leaves and messages of its members, from their services.
Out: calls of the Listeners of its members, in the same order to all of them.

Members have numbers, from 1, never given twice: a name that comes back is somebody else.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from gatebus.peers.peerstream import Party

if TYPE_CHECKING:
    from gatebus.peers.peerstream import End
    from gatebus.peers.sleeping import Sleeper


class Refusal(IntEnum):
    """Why somebody could not join. The numbers are those of the service `group` (docs/peers.md)."""

    NAME_TAKEN = 2
    FULL = 3
    GROUPS = 4
    JOINED = 6


class Reason(IntEnum):
    """Why somebody is gone."""

    LEFT = 0
    ENDED = 1


class Listener(Protocol):
    """A member's ear. None of these may raise or block."""

    def joined(self, me: Member, other: Member) -> None:
        """Somebody is there now who was not there before."""

    def left(self, me: Member, other: Member, reason: Reason) -> None: ...

    def heard(self, me: Member, sender: Member, content: bytes, *, direct: bool) -> bool:
        """A message. False: there was no place for it, and it is lost."""


class Caller(Party, Protocol):
    """A program's service `peer`, as its neighbours know it."""

    def asked(self, other: Member, handshake: bytes) -> None:
        """Another program wants to meet this one."""


class Neighbour(Protocol):
    """A member's program, as the others know it. `caller`: once it has said something to its service `peer`."""

    caller: Caller | None


class Member:
    """One program in one group."""

    __slots__ = ("about", "group", "listener", "meetings", "name", "number", "resident")

    def __init__(self, group: Gathering, resident: Neighbour, number: int, name: bytes) -> None:
        self.group = group
        self.resident = resident
        self.number = number
        self.name = name
        self.about = b""
        self.listener: Listener | None = None
        self.meetings: dict[int, Meeting] = {}  # by the number of the other


class Meeting:
    """Two members of whom at least one has asked for the other."""

    __slots__ = ("_members", "ends")

    def __init__(self, one: Member, other: Member) -> None:
        self.ends: dict[int, End] = {}  # by the number of the member who asked
        self._members = (one, other)
        one.meetings[other.number] = other.meetings[one.number] = self

    @property
    def up(self) -> bool:
        return len(self.ends) == 2

    def withdraw(self) -> None:
        """Who has asked waits no longer: that it was in vain is nobody's news."""
        self.ends.clear()

    def dissolve(self) -> None:
        """They may meet anew. Whoever still waits for the other waits in vain."""
        one, other = self._members
        if one.meetings.get(other.number) is not self:
            return
        del one.meetings[other.number], other.meetings[one.number]
        if not self.up:
            for end in tuple(self.ends.values()):
                end.in_vain()


class Gathering:
    """One group of one principal."""

    def __init__(self, name: bytes, places: int) -> None:
        self.name = name
        self.members: dict[int, Member] = {}
        self.sleepers: dict[Sleeper, bytes] = {}  # stored members that messages wake, and their names
        self._names: dict[bytes, Member] = {}
        self._places = places
        self._last = 0

    def named(self, name: bytes) -> Member | None:
        return self._names.get(name)

    def sleeps(self, sleeper: Sleeper, name: bytes) -> None:
        """A member that is stored. Where there are too many already it is only missed."""
        if len(self.sleepers) < self._places:
            self.sleepers[sleeper] = name

    def wake(self, name: bytes) -> bool:
        """Somebody asks for this member. False: nobody of this name sleeps."""
        called = [sleeper for sleeper, known in self.sleepers.items() if known == name]
        for sleeper in called:
            sleeper.wanted()
        return bool(called)

    def join(self, resident: Neighbour, name: bytes, listener: Listener | None, about: bytes) -> Member | Refusal:
        if name in self._names:
            return Refusal.NAME_TAKEN
        if len(self.members) >= self._places:
            return Refusal.FULL
        self._last += 1
        member = Member(self, resident, self._last, name)
        member.about = about
        self._names[name] = member
        others = tuple(self.members.values())
        self.members[member.number] = member
        for other in others:
            if other.listener is not None:
                other.listener.joined(other, member)
        member.listener = listener
        return member

    def leave(self, member: Member, reason: Reason) -> None:
        del self.members[member.number], self._names[member.name]
        for other in tuple(self.members.values()):
            if other.listener is not None:
                other.listener.left(other, member, reason)
        for meeting in tuple(member.meetings.values()):
            meeting.dissolve()

    def tell(self, sender: Member, content: bytes, *, echo: bool) -> tuple[int, int]:
        """To all others, and to the sender too if it wants to. How many mailboxes took it and how many did not."""
        taken = dropped = 0
        for member in tuple(self.members.values()):
            listener = member.listener
            if listener is None or (member is sender and not echo):
                continue
            if listener.heard(member, sender, content, direct=False):
                taken += 1
            else:
                dropped += 1
        for sleeper in tuple(self.sleepers):
            kept = sleeper.said(self.name, sender.number, content)
            taken, dropped = taken + kept, dropped + (not kept)
        return taken, dropped

    def tell_one(self, sender: Member, number: int, content: bytes) -> tuple[int, int] | None:
        """None: there is no such member who hears anything."""
        member = self.members.get(number)
        if member is None or member.listener is None:
            return None
        taken = member.listener.heard(member, sender, content, direct=True)
        return (1, 0) if taken else (0, 1)
