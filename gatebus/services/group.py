"""The service `group`: names that come and go, messages to one or to all of them; words.

In:  calls and messages of a program (untrusted); what happens in its groups, from gatebus.peers.
Out: replies; notices and messages, through a bounded Mailbox. docs/peers.md has every byte and what is promised.

A message is taken by a mailbox or dropped, at once: nobody who sends ever waits for somebody who does not read.
"""

from struct import Struct, error
from typing import NamedTuple

from gatebus.bounds import GROUP_MESSAGE, GROUP_NAME, GROUPS_JOINED
from gatebus.faults import StateRefused, Violation
from gatebus.peers.gathering import Member, Reason
from gatebus.peers.mailbox import Kind, Letter, Mailbox
from gatebus.peers.neighbourhood import RESERVED, Resident
from gatebus.peers.shorttexts import texts, texts_untrusted
from gatebus.services.base import Call, Info, Outlet, Packet, Service

JOIN, LEAVE, LIST, SEND = range(1, 5)
WATCH, ECHO = 1, 2  # bits of a JOIN

# Errors. 2, 3, 4 and 6 are gathering.Refusal.
MALFORMED, BAD_NAME, MANY, UNKNOWN_HANDLE, NO_MEMBER, TOO_LONG = 1, 5, 7, 8, 9, 10

_HEAD = Struct("<HH")  # operation, handle or flags
_LETTER = Struct("<HHI")  # kind or SEND, handle, number of a member
_JOINED = Struct("<hHII")  # error, handle, our number, how many others there are
_PLAIN = Struct("<hH")  # error, 0 or a count
_SENT = Struct("<hHII")  # error, 0, taken, dropped
_NUMBER = Struct("<I")
_SEAT = Struct("<HHI")  # handle, flags, messages lost; then the three texts of Wish
_EVERYBODY = 0


class Wish(NamedTuple):
    """What a program wants to be in a group."""

    group: bytes
    name: bytes
    about: bytes


class Seat(NamedTuple):
    """One program's place in one group, under the number that it uses for it."""

    handle: int
    flags: int
    member: Member


class Lost(NamedTuple):
    """A place that a program had when it was saved, and somebody else has now: the original of a copy, perhaps."""

    flags: int
    wish: Wish


class Group(Service):
    """The groups of one program."""

    def __init__(self, outlet: Outlet, resident: Resident) -> None:
        super().__init__(outlet)
        self._resident = resident
        self._seats: dict[int, Seat] = {}
        self._handles: dict[Member, int] = {}
        self._lost: dict[int, Lost] = {}  # by handle
        self._mailbox = Mailbox(self._deliver, lambda: outlet.room > 0)

    def packet(self, packet: Packet) -> None:
        if isinstance(packet, Info):
            self._send_untrusted(packet.content)
        else:
            super().packet(packet)

    def call(self, call: Call) -> None:
        """Every answer begins with an error; an unknown operation gets an empty one, as in Gate's services."""
        content = call.content
        if len(content) < _HEAD.size:
            self.outlet.reply(call.ticket, _PLAIN.pack(MALFORMED, 0) if content else b"")
            return
        operation, second = _HEAD.unpack_from(content)
        if operation == JOIN:
            self._join_untrusted(call, second)
        elif operation == LEAVE:
            self.outlet.reply(call.ticket, _PLAIN.pack(self._leave(second), 0))
        elif operation == LIST:
            self.outlet.reply(call.ticket, self._list(second))
        elif operation == SEND:
            self.outlet.reply(call.ticket, _SENT.pack(*self._sent_untrusted(content)))
        else:
            self.outlet.reply(call.ticket)

    # Being in groups.

    def _join_untrusted(self, call: Call, flags: int) -> None:
        wish = _wish_untrusted(call.content, self._resident.name)
        member = self._admitted(wish, flags)
        if not isinstance(member, Member):
            self.outlet.reply(call.ticket, _JOINED.pack(member, 0, 0, 0))
            return
        seat = self._sit(self._free_handle(), flags, member)
        others = len(member.group.members) - 1
        self.outlet.reply(call.ticket, _JOINED.pack(0, seat.handle, member.number, others))
        self._introduce(seat)

    def _admitted(self, wish: Wish | None, flags: int) -> Member | int:
        """Or an error."""
        if wish is None or flags & ~(WATCH | ECHO):
            return MALFORMED
        if not _is_name(wish.group) or not _is_name(wish.name) or wish.group.startswith(RESERVED):
            return BAD_NAME
        if len(self._seats) >= GROUPS_JOINED:
            return MANY
        return self._resident.join(wish.group, wish.name, self, wish.about)

    def _free_handle(self) -> int:
        """A lost one last: the program may not have heard of it yet."""
        free = [handle for handle in range(GROUPS_JOINED) if handle not in self._seats]
        handle = min(free, key=lambda each: (each in self._lost, each))
        self._lost.pop(handle, None)
        return handle

    def _sit(self, handle: int, flags: int, member: Member) -> Seat:
        self._seats[handle] = seat = Seat(handle, flags, member)
        self._handles[member] = handle
        return seat

    def _introduce(self, seat: Seat) -> None:
        """Who watches hears of those who are there already."""
        if seat.flags & WATCH:
            for other in seat.member.group.members.values():
                if other is not seat.member:
                    self._mailbox.joined(Letter(Kind.JOINED, seat.handle, other.number, member=other))

    def _leave(self, handle: int) -> int:
        seat = self._seats.pop(handle, None)
        if seat is None:
            return UNKNOWN_HANDLE if self._lost.pop(handle, None) is None else 0
        del self._handles[seat.member]
        self._mailbox.forget(handle)
        self._resident.leave(seat.member.group.name, Reason.LEFT)
        return 0

    def _list(self, handle: int) -> bytes:
        seat = self._seats.get(handle)
        if seat is None:
            return _PLAIN.pack(UNKNOWN_HANDLE, 0)
        members = seat.member.group.members
        listed = b"".join(_NUMBER.pack(number) + texts(member.name) for number, member in members.items())
        return _PLAIN.pack(0, len(members)) + listed

    # Messages.

    def _send_untrusted(self, content: bytes) -> None:
        """Without an answer: what is malformed ends the program; a member that is gone meanwhile is nobody's fault."""
        if len(content) < _LETTER.size or content[:2] != _LETTER.pack(SEND, 0, 0)[:2]:
            raise Violation("An information packet to the service group is not a message.")
        fault = self._sent_untrusted(content)[0]
        if fault == UNKNOWN_HANDLE and _LETTER.unpack_from(content)[1] not in self._lost:
            raise Violation("A message is for a group that the program is not in.")
        if fault == TOO_LONG:
            raise Violation(f"A message to a group is longer than {GROUP_MESSAGE} bytes. Use a stream.")

    def _sent_untrusted(self, content: bytes) -> tuple[int, int, int, int]:
        """(Error, 0, how many took it, how many dropped it.)"""
        if len(content) < _LETTER.size:
            return MALFORMED, 0, 0, 0
        _operation, handle, number = _LETTER.unpack_from(content)
        seat, message = self._seats.get(handle), content[_LETTER.size :]
        if seat is None:
            return UNKNOWN_HANDLE, 0, 0, 0
        if len(message) > GROUP_MESSAGE:
            return TOO_LONG, 0, 0, 0
        group = seat.member.group
        if number == _EVERYBODY:
            return 0, 0, *group.tell(seat.member, message, echo=bool(seat.flags & ECHO))
        counts = group.tell_one(seat.member, number, message)
        return (NO_MEMBER, 0, 0, 0) if counts is None else (0, 0, *counts)

    # Listener: what happens in the groups.

    def joined(self, me: Member, other: Member) -> None:
        handle = self._handles[me]
        if self._seats[handle].flags & WATCH:
            self._mailbox.joined(Letter(Kind.JOINED, handle, other.number, member=other))

    def left(self, me: Member, other: Member, reason: Reason) -> None:
        handle = self._handles[me]
        if self._seats[handle].flags & WATCH:
            self._mailbox.left(Letter(Kind.LEFT, handle, other.number, _HEAD.pack(reason, 0)))

    def heard(self, me: Member, sender: Member, content: bytes, *, direct: bool) -> bool:
        kind, handle = Kind.DIRECT if direct else Kind.MESSAGE, self._handles[me]
        if self._mailbox.empty and self.outlet.room > 0:  # nearly always: nothing is made for it
            self.outlet.info(_LETTER.pack(kind, handle, sender.number) + content)
            return True
        return self._mailbox.message(Letter(kind, handle, sender.number, content))

    def _deliver(self, letter: Letter) -> None:
        content = letter.content if letter.member is None else texts(letter.member.name, letter.member.about)
        self.outlet.info(_LETTER.pack(letter.kind, letter.handle, letter.number) + content)

    def room_again(self) -> None:
        self._mailbox.room_again()

    def close(self) -> None:
        for seat in self._seats.values():
            self._resident.leave(seat.member.group.name, Reason.ENDED)
        self._seats.clear()
        self._handles.clear()

    # Saving. Whoever is saved leaves, and comes back as somebody else.

    def save(self) -> bytes:
        seats = ((each.handle, each.flags, _wish_of(each.member)) for each in self._seats.values())
        lost = ((handle, each.flags, each.wish) for handle, each in self._lost.items())
        return b"".join(self._saved(*each) for each in (*seats, *lost))

    def _saved(self, handle: int, flags: int, wish: Wish) -> bytes:
        return _SEAT.pack(handle, flags, min(self._mailbox.lost(handle), 2**32 - 1)) + texts(*wish)

    def for_copy(self, state: bytes) -> bytes:
        """All: wishes, which it joins with as anybody may, among its own principal's programs."""
        return state

    def restore(self, state: bytes) -> None:
        """The program is told its new number in each group, 0 where it could not come back, and all members anew."""
        try:
            saved = _seats_untrusted(state)
        except (error, IndexError):
            raise StateRefused("The saved state of the service group is malformed.") from None
        for handle, flags, lost, wish in saved:
            member = self._resident.join(wish.group, wish.name, self, wish.about)
            number = member.number if isinstance(member, Member) else 0
            self._mailbox.notice(Letter(Kind.ANEW, handle, number))
            if lost:
                self._mailbox.lose(handle, lost)
            if isinstance(member, Member):
                self._introduce(self._sit(handle, flags, member))
                self._hear_missed(handle, wish.group)
            else:
                self._lost[handle] = Lost(flags, wish)

    def _hear_missed(self, handle: int, group: bytes) -> None:
        """What was said to all while the program was stored, if that has woken it."""
        missed = self._resident.neighbours.missed(self._resident.name, group)
        for number, content in missed.letters:
            self._mailbox.message(Letter(Kind.MESSAGE, handle, number, content))
        if missed.lost:
            self._mailbox.lose(handle, missed.lost)


def _wish_of(member: Member) -> Wish:
    return Wish(member.group.name, member.name, member.about)


def _wish_untrusted(content: bytes, instance: bytes) -> Wish | None:
    """None: it is malformed. Without a name of its own a program is called as its instance."""
    try:
        (group, name, about), _ = texts_untrusted(content, _HEAD.size, 3)
    except IndexError:
        return None
    return Wish(group, name or instance, about)


def names_untrusted(state: bytes) -> list[tuple[bytes, bytes]]:
    """Group and name of each place in a saved state; none where that is malformed."""
    try:
        return [(wish.group, wish.name) for *_, wish in _seats_untrusted(state)]
    except (error, IndexError):
        return []


def _seats_untrusted(state: bytes) -> list[tuple[int, int, int, Wish]]:
    seats: list[tuple[int, int, int, Wish]] = []
    at = 0
    while at < len(state):
        handle, flags, lost = _SEAT.unpack_from(state, at)
        found, at = texts_untrusted(state, at + _SEAT.size, 3)
        wish = Wish(*found)
        names = _is_name(wish.group) and _is_name(wish.name) and not wish.group.startswith(RESERVED)
        known = [seat[0] for seat in seats]
        if not names or flags & ~(WATCH | ECHO) or handle >= GROUPS_JOINED or handle in known:
            raise error
        seats.append((handle, flags, lost, wish))
    return seats


def _is_name(text: bytes) -> bool:
    return 0 < len(text) <= GROUP_NAME
