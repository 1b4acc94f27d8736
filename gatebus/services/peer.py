"""The services `peer` and `peerindex/principal`: who else of my principal runs here, and streams to them; words.

In:  calls, credit and data of a program (untrusted), in Gate's layout (docs/peers.md has every byte).
Out: replies, notices, and on other programs' streams what this program sends on its own.

Both sides have to ask for each other: the first one's question is a notice to the second, and when that one asks too,
both are told the numbers of their streams. What the connections do is in gatebus.peers.
"""

from struct import Struct, error
from typing import TYPE_CHECKING

from gatebus.bounds import MAX_CREDIT, PEER_STREAMS
from gatebus.faults import StateRefused, Violation
from gatebus.flow import Chunk, Run
from gatebus.peers.gathering import Meeting, Reason
from gatebus.peers.neighbourhood import INDEX, Resident
from gatebus.peers.peerstream import End, Whom
from gatebus.peers.shorttexts import texts, texts_untrusted
from gatebus.services.base import Call, Flow, Info, Outlet, Packet, Service

if TYPE_CHECKING:
    from gatebus.peers.gathering import Member

_REPLY = Struct("<hH")  # error, 0
_KIND = Struct("<I")
_QUESTION = Struct("<II")  # kind, reserved
_NOTICE = Struct("<iI")  # stream or -1, reserved
_STATE = Struct("<iI")  # the next number, how many connections; then for each
_END = Struct("<iBI")  # its number, ends (a bit each) and whether it is up, credit; then the two texts of Whom
_UP = 16
_BITS = 31
_ASKED = -1
_NUMBERS = 2**31
_REGISTERED = b"\x01"

NOT_REGISTERED = 1  # error of the index: nobody of this principal is

# Errors of a connect call: 1 to 6 are Gate's, the others ours.
MALFORMED, NO_GROUP, NO_PEER, SINGULAR, CONNECTING, CONNECTED, TOO_MANY, BUSY = range(1, 9)


class Peer(Service):
    """The connections of one program."""

    def __init__(self, outlet: Outlet, resident: Resident) -> None:
        super().__init__(outlet)
        self._resident = resident
        self._ends: dict[int, End] = {}
        self._next = 0
        resident.caller = self

    def packet(self, packet: Packet) -> None:
        match packet:
            case Call(ticket, content):
                self._connect(ticket, content)
            case Flow(changes):
                for change in changes:
                    self._known(change.stream).granted(change.value)
            case Chunk(stream):
                self._known(stream).wrote(packet)
            case Info():
                pass  # "I am here"

    def run(self, run: Run) -> None:
        self._known(run.stream).wrote_run(run)

    def _known(self, number: int) -> End:
        end = self._ends.get(number)
        if end is None or not end.up:
            raise Violation(f"The service peer has no stream {number}.")
        return end

    def room_again(self) -> None:
        for end in tuple(self._ends.values()):
            if end.up:
                end.room_again()

    def close(self) -> None:
        self._resident.caller = None
        for end in tuple(self._ends.values()):
            end.leave()
        for member in self._resident.memberships.values():
            for meeting in tuple(member.meetings.values()):
                meeting.dissolve()  # others asked for us and we never shall

    # Connecting.

    def _connect(self, ticket: int, content: bytes) -> None:
        if len(content) >= _KIND.size and content[: _KIND.size] != bytes(_KIND.size):
            self.outlet.reply(ticket)  # another kind of call: there is none yet
            return
        asked = _question_untrusted(content)
        if asked is None:
            self._answer(ticket, MALFORMED)
            return
        group, name, handshake = asked
        found = self._find(group, name)
        if isinstance(found, int):
            self._answer(ticket, found)
        else:
            self._meet(ticket, found, handshake)

    def _answer(self, ticket: int, error: int) -> None:
        self.outlet.reply(ticket, _REPLY.pack(error, 0))

    def _find(self, group: bytes, name: bytes) -> "tuple[Member, Member] | int":
        """(Us, the other), or an error."""
        me = self._resident.memberships.get(group)
        if me is None:
            return NO_GROUP
        if name == me.name:
            return SINGULAR
        other = me.group.named(name)
        if other is None and me.group.wake(name):
            return BUSY
        if other is None or other.resident.caller is None:
            return NO_PEER
        meeting = me.meetings.get(other.number)
        if meeting is not None and me.number in meeting.ends:
            return CONNECTED if meeting.up else CONNECTING
        if len(self._ends) >= PEER_STREAMS:
            return TOO_MANY
        if meeting is None and other.resident.caller.outlet.room <= 0:
            return BUSY
        return me, other

    def _meet(self, ticket: int, pair: "tuple[Member, Member]", handshake: bytes) -> None:
        me, other = pair
        meeting = me.meetings.get(other.number) or Meeting(me, other)
        end = End(self, self._number(), Whom(me.group.name, other.name), handshake)
        end.meeting = meeting
        self._ends[end.number] = meeting.ends[me.number] = end
        self._answer(ticket, 0)
        first = meeting.ends.get(other.number)
        if first is not None:
            end.join(first)
        elif other.resident.caller is not None:
            other.resident.caller.asked(me, handshake)

    def _number(self) -> int:
        """Counted up: a number comes again only after all others."""
        while self._next in self._ends:
            self._next = (self._next + 1) % _NUMBERS
        number, self._next = self._next, (self._next + 1) % _NUMBERS
        return number

    # Caller: what the neighbours say.

    def asked(self, other: "Member", handshake: bytes) -> None:
        self._tell(_ASKED, Whom(other.group.name, other.name), handshake)

    def met(self, end: End, handshake: bytes) -> None:
        self._tell(end.number, end.whom, handshake)

    def over(self, end: End) -> None:
        self._ends.pop(end.number, None)

    def _tell(self, number: int, whom: Whom, handshake: bytes) -> None:
        self.outlet.info(_NOTICE.pack(number, 0) + texts(*whom, handshake))

    # Saving. A connection ends when one of its programs is saved: the other one is told that it is gone.

    def save(self) -> bytes:
        """Never empty: a program that has said "I am here" can be asked when it goes on, too."""
        return _STATE.pack(self._next, len(self._ends)) + b"".join(_saved(end) for end in self._ends.values())

    def for_copy(self, state: bytes) -> bytes:
        """All: its streams end."""
        return state

    def restore(self, state: bytes) -> None:
        """What was open ends both ways; what was asked for comes up and ends at once."""
        if not state:
            return
        try:
            following, ends = _restored_untrusted(state)
        except (error, IndexError):
            raise StateRefused("The saved state of the service peer is malformed.") from None
        self._next = following
        for number, bits, credit, whom in ends:
            end = self._ends[number] = End(self, number, whom)
            if bits & _UP:
                end.restore(bits, credit)
            else:
                end.in_vain()


def _saved(end: End) -> bytes:
    bits, credit = end.save()
    return _END.pack(end.number, bits | _UP * end.up, credit) + texts(*end.whom)


def _restored_untrusted(state: bytes) -> tuple[int, list[tuple[int, int, int, Whom]]]:
    following, count = _STATE.unpack_from(state)
    ends, at = [], _STATE.size
    for _ in range(count):
        number, bits, credit = _END.unpack_from(state, at)
        found, at = texts_untrusted(state, at + _END.size, 2)
        ends.append((number, bits, credit, Whom(*found)))
    numbers = {number for number, *_ in ends}
    bad = any(number < 0 or bits > _BITS or credit > MAX_CREDIT for number, bits, credit, _ in ends)
    if at != len(state) or bad or len(numbers) < count or count > PEER_STREAMS or following < 0:
        raise error
    return following, ends


def _question_untrusted(content: bytes) -> tuple[bytes, bytes, bytes] | None:
    """None: it is malformed. What follows the three texts is ignored."""
    if len(content) < _QUESTION.size:
        return None
    try:
        (group, name, handshake), _ = texts_untrusted(content, _QUESTION.size, 3)
    except IndexError:
        return None
    return group, name, handshake


class PeerIndex(Service):
    """Registers its program under its instance's id, and lists the others."""

    def __init__(self, outlet: Outlet, resident: Resident) -> None:
        super().__init__(outlet)
        self._resident = resident

    def packet(self, packet: Packet) -> None:
        if isinstance(packet, Info):
            self._register()
        else:
            super().packet(packet)

    def _register(self) -> None:
        if INDEX not in self._resident.memberships:
            self._resident.join(INDEX, self._resident.name)

    def call(self, call: Call) -> None:
        group = self._resident.neighbours.group(INDEX)
        if group is None or not group.members:
            self.outlet.reply(call.ticket, _REPLY.pack(NOT_REGISTERED, 0))
            return
        names = sorted(member.name for member in group.members.values() if member.resident is not self._resident)
        self.outlet.reply(call.ticket, _REPLY.pack(0, len(names)) + texts(*names))

    def close(self) -> None:
        self._resident.leave(INDEX, Reason.ENDED)

    def save(self) -> bytes:
        return _REGISTERED if INDEX in self._resident.memberships else b""

    def for_copy(self, state: bytes) -> bytes:
        """All: it registers under its own id."""
        return state

    def restore(self, state: bytes) -> None:
        if state not in (b"", _REGISTERED):
            raise StateRefused("The saved state of the service peerindex/principal is malformed.")
        if state:
            self._register()
