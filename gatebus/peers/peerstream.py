"""A connection of two programs: bytes and credit from one to the other, four ends, and what a death leaves; words.

In:  what one program sends on its side (credit checked here, untrusted), and that the other side has room again.
Out: the same bytes and notes on the other side's number, through the Outlet of the other program.

Credit is the two programs' affair: the reader gives it, the writer uses it. But the host keeps what a reader does not
read, so the writer is told of no more than a window at once, and of nothing while the reader's queue is full. Then
bytes that are under way lie end to end in a backlog (packets of one byte would cost a hundred times their size).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from gatebus.bounds import MAX_CREDIT, PEER_WINDOW
from gatebus.faults import Violation
from gatebus.flow import Change, Chunk
from sandbox.packets import DATA_MAX

if TYPE_CHECKING:
    from gatebus.flow import Run
    from gatebus.services.base import Outlet

# The note of the end of data when the peer did not end it but is gone itself.
GONE = 1
_STEP = PEER_WINDOW // 4


class Party(Protocol):
    """A program's service `peer`, as the ends of its connections know it."""

    @property
    def outlet(self) -> Outlet: ...

    def met(self, end: End, handshake: bytes) -> None:
        """The connection is up; `handshake` is what the other has said."""

    def over(self, end: End) -> None:
        """All four ends are there."""


class Appointment(Protocol):
    """What two programs meet by: whoever holds one end can let go of it, for both."""

    def withdraw(self) -> None:
        """Who has asked waits no longer: that it was in vain is nobody's news."""

    def dissolve(self) -> None:
        """They may meet anew."""


class Way:
    """One direction of a connection, from its writer to its reader."""

    __slots__ = ("backlog", "closed", "credit", "ended", "kept", "note", "told")

    def __init__(self) -> None:
        self.credit = 0  # what the writer was told and has not used
        self.kept = 0  # what the reader gave and the writer was not told
        self.ended = False  # the writer said "no more"
        self.note = 0  # with which note
        self.told = False  # the reader has heard that
        self.closed = False  # the reader said "closed"
        self.backlog = bytearray()  # what the reader had no room for

    def spend(self, size: int) -> None:
        if self.ended:
            raise Violation("A stream carries data after its end. Send an empty data packet last.")
        if size > self.credit:
            raise Violation(f"A stream was sent {size} bytes and has only {self.credit} bytes of credit.")
        self.credit -= size

    def give(self, value: int) -> None:
        if self.kept + self.credit + value > MAX_CREDIT:
            raise Violation("A stream was given more than 2^31-1 bytes of credit.")
        self.kept += value


class Whom(NamedTuple):
    """The other side of a connection, as a program names it."""

    group: bytes
    name: bytes


class End:
    """One program's side of a connection: asked for when it is made, up when the other has asked too."""

    def __init__(self, caller: Party, number: int, whom: Whom, handshake: bytes = b"") -> None:
        self.number = number
        self.whom = whom
        self.handshake = handshake
        self.up = False
        self.meeting: Appointment | None = None
        self._caller = caller
        self._outlet = caller.outlet
        self._other: End | None = None
        self._out = Way()
        self._into = Way()

    def join(self, first: End) -> None:
        """Now both have asked. Our way out is the other's way in."""
        self._other, first._other = first, self
        self._into, first._into = first._out, self._out
        self.up = first.up = True
        self._caller.met(self, first.handshake)
        first._caller.met(first, self.handshake)

    def in_vain(self) -> None:
        """The other is gone before it asked: a connection that is over as soon as it is up."""
        self.up = True
        self._caller.met(self, b"")
        self.gone()

    # What our program sends.

    def wrote_run(self, run: Run) -> None:
        self._out.spend(run.size)
        reader = self._other
        if reader is not None and not self._out.closed:
            if self._out.backlog or reader._outlet.room <= 0:
                for chunk in run.chunks():
                    self._out.backlog += chunk.data
            else:
                reader._outlet.relay(run, reader.number)
        self._hear_of_credit()

    def wrote(self, chunk: Chunk) -> None:
        if not chunk.data:
            self._end(chunk.note)
            return
        self._out.spend(len(chunk.data))
        reader = self._other
        if reader is not None and not self._out.closed:
            if self._out.backlog or reader._outlet.room <= 0:
                self._out.backlog += chunk.data
            else:
                reader._outlet.data(Chunk(reader.number, chunk.note, chunk.data))
        self._hear_of_credit()

    def _end(self, note: int) -> None:
        if not self._out.ended:
            self._out.ended, self._out.note = True, note
            if self._other is not None:
                self._other._hear_of_end()
            self._part_when_over()

    def granted(self, value: int) -> None:
        """A flow entry of our program: credit, its close, or a note."""
        writer, way = self._other, self._into
        if value == 0:
            self._close()
        elif value < 0:
            if writer is not None and writer._outlet.room > 0:
                writer._outlet.flow(Change(writer.number, value))
        elif not way.closed and not way.ended:
            way.give(value)
            if writer is not None:
                writer._hear_of_credit()

    def _close(self) -> None:
        way, writer = self._into, self._other
        if not way.closed:
            way.closed = True
            way.backlog.clear()
            self._hear_of_end()
            if writer is not None:
                writer._outlet.flow(Change(writer.number, 0))
            self._part_when_over()

    # What our program is told.

    def _hear_of_credit(self) -> None:
        """In steps of a quarter window, or all that there is; nothing while one of the two does not read."""
        way, reader = self._out, self._other
        if not way.kept or way.closed or way.ended or reader is None or way.backlog:
            return
        amount = min(way.kept, PEER_WINDOW - way.credit)
        if amount < min(way.kept, _STEP) or self._outlet.room <= 0 or reader._outlet.room <= 0:
            return
        way.kept -= amount
        way.credit += amount
        self._outlet.flow(Change(self.number, amount))

    def _hear_of_end(self) -> None:
        way = self._into
        if way.ended and not way.told and not way.backlog:
            way.told = True
            self._outlet.data(Chunk(self.number, way.note, b""))

    def room_again(self) -> None:
        """Our program reads again, or has taken what was queued."""
        way = self._into
        while way.backlog and self._outlet.room > 0:
            piece = bytes(way.backlog[:DATA_MAX])
            del way.backlog[: len(piece)]
            self._outlet.data(Chunk(self.number, 0, piece))
        self._hear_of_end()
        self._hear_of_credit()
        if self._other is not None:
            self._other._hear_of_credit()
        self._part_when_over()

    # Ends.

    def gone(self) -> None:
        """The other program is gone. What it had sent still comes, then its end; it reads no more."""
        self._other = None
        self._dissolve()
        if not self._into.ended:
            self._into.ended, self._into.note = True, GONE
        self._hear_of_end()
        if not self._out.closed:
            self._out.closed = True
            self._outlet.flow(Change(self.number, 0))
        self._part_when_over()

    def leave(self) -> None:
        """Our program is gone, or its service."""
        other, self._other = self._other, None
        if not self.up and self.meeting is not None:
            self.meeting.withdraw()
        self._dissolve()
        if other is not None:
            other.gone()

    def _part_when_over(self) -> None:
        """Each side forgets its number by itself: a slow reader is still to be told of the end."""
        for end in (self, self._other):
            if end is not None and end.over:
                end._dissolve()
                end._caller.over(end)

    def _dissolve(self) -> None:
        if self.meeting is not None:
            self.meeting.dissolve()

    @property
    def over(self) -> bool:
        out, into = self._out, self._into
        return out.ended and out.closed and into.told and into.closed

    # What remains of it when its program is saved: its number, and which ends there are. The connection is gone.

    def save(self) -> tuple[int, int]:
        """(Bits of the four ends, credit that our program has.)"""
        out, into = self._out, self._into
        return out.ended | out.closed << 1 | into.told << 2 | into.closed << 3, out.credit

    def restore(self, ends: int, credit: int) -> None:
        """Our program knows of a connection whose other side is not there any more: it is told so."""
        out, into = self._out, self._into
        out.ended, out.closed, into.told, into.closed = (bool(ends >> bit & 1) for bit in range(4))
        into.ended = into.told
        out.credit = credit
        self.up = True
        self.gone()
