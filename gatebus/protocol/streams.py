"""One stream of bytes in each direction, counted from zero, longer-lived than any link; words, no I/O.

In:  bytes to send, what the receiver has taken; bytes that came, what the reader has consumed. Out: pieces that may be
sent now, credit that is due. Nothing here knows a link: a Flows belongs to a call (or io, upload ...), and every
channel that carries it, one after another, works on the same counts. This is why nothing is lost or doubled.

An Outflow keeps what is not taken yet. On a new link it goes on where the receiver says it is: everything behind is
sent once more. An Inflow counts; who reads it says what it has consumed, and a quarter window later credit is due
(one credit message per quarter window costs little, and the sender never runs dry meanwhile).

All numbers are absolute, so a credit that is doubled or late changes nothing.
"""

from collections import deque
from typing import NamedTuple, TypeAlias

from gatebus.accountbounds import SMALL_DATA
from gatebus.bounds import DATA_BYTES, RETAINED_BYTES, STREAM_WINDOW, WINDOW_MAX
from gatebus.protocol.breaches import LocalProtocolError, RemoteFault

Piece: TypeAlias = bytes | memoryview
"""Bytes that stay as they are: a program's large packets are views of what was received."""


class Crumbs(bytearray):
    """Small pieces in a row: as an object of its own, a byte costs as much as three hundred."""


def _put(pieces: deque[Piece | Crumbs] | list[Piece | Crumbs], data: Piece) -> None:
    """A piece that is alone stays what it is: most often it is the only one."""
    if pieces and len(data) < SMALL_DATA:
        last = pieces[-1]
        if len(last) < SMALL_DATA and type(last) is not Crumbs:
            last = pieces[-1] = Crumbs(last)
        if isinstance(last, Crumbs) and len(last) < DATA_BYTES:
            last += data
            return
    pieces.append(data)


def _front(pieces: deque[Piece | Crumbs], first: Crumbs, size: int) -> bytes:
    """Up to `size` bytes of the first one, which stays when there is more of it."""
    front = bytes(first[:size])
    del first[:size]
    if not first:
        pieces.popleft()
    return front


def _drop(pieces: list[Piece | Crumbs], size: int) -> None:
    """Of the first one, which is larger."""
    first = pieces[0]
    if isinstance(first, Crumbs):
        del first[:size]
    else:
        pieces[0] = first[size:]


class Outflow:
    """The direction in which we write."""

    __slots__ = ("_kept", "_waiting", "bound", "edge", "end_sent", "held", "note", "sent", "stopped", "taken")

    def __init__(self, start: int = 0, bound: int = RETAINED_BYTES) -> None:
        self.taken = start  # the receiver has everything before
        self.sent = start  # sent on the present link, or earlier and taken
        self.edge = start  # may be sent up to here; taken + window
        self.bound = bound  # bytes that we hold, at most
        self.held = 0  # bytes that we hold: sent but not taken, and waiting
        self.note: int | None = None  # we said "no more", with this note
        self.end_sent = False  # ... on the present link
        self.stopped = False  # the receiver said that it reads no more
        self._kept: list[Piece | Crumbs] | None = None  # a deque takes 700 bytes more of every idle stream
        self._waiting: deque[Piece | Crumbs] | None = None

    @property
    def room(self) -> int:
        """Bytes that `append` takes now."""
        return 0 if self.note is not None or self.stopped else self.bound - self.held

    def append(self, data: Piece) -> None:
        """Bytes to send, no more than `room`; after a stop they go nowhere."""
        if self.stopped or not data:
            return
        if self.note is not None:
            raise LocalProtocolError("A stream is written to after its end.")
        if self.held + len(data) > self.bound:
            raise LocalProtocolError("More bytes were given to a stream than it has room for.")
        if self._waiting is None:
            self._waiting = deque()
        _put(self._waiting, data)
        self.held += len(data)

    def end(self, note: int = 0) -> None:
        """No more will be appended. The second time changes nothing."""
        if self.note is None:
            self.note = note

    def take(self) -> Piece | None:
        """The next piece that may be sent, of at most one message; it counts as sent now."""
        if not self._waiting:
            return None
        size = min(self.edge - self.sent, DATA_BYTES)
        if size <= 0:
            return None
        piece = self._piece(size)
        if not self._waiting:
            self._waiting = None  # an empty deque takes 760 bytes of every idle stream
        if self._kept is None:
            self._kept = []
        _put(self._kept, piece)
        self.sent += len(piece)
        return piece

    def _piece(self, size: int) -> Piece:
        """Up to `size` bytes from the front of what waits; small ones are joined."""
        waiting = self._waiting
        assert waiting
        first = waiting.popleft()
        if isinstance(first, Crumbs):  # a link may keep what it gets: it must not grow
            waiting.appendleft(first)
            return _front(waiting, first, size)
        if len(first) > size:
            waiting.appendleft(first[size:])
            return first[:size]
        if not waiting or len(first) + len(waiting[0]) > size:
            return first
        joined: list[Piece | Crumbs] = [first]
        total = len(first)
        while waiting and total + len(waiting[0]) <= size:
            joined.append(waiting.popleft())
            total += len(joined[-1])
        return b"".join(joined)

    @property
    def waits(self) -> bool:
        """There are bytes that were not sent on the present link."""
        return bool(self._waiting)

    def first(self, most: int) -> bytes:
        """What goes with the open of its stream, up to `most` bytes, which count as sent then. What went with an
        earlier open, which was lost, goes again.
        """
        self.resume(self.taken, most)
        found = b""
        while (piece := self.take()) is not None:
            found += piece
        return found

    def end_is_due(self) -> bool:
        """Everything is sent, and only the end is missing."""
        return self.note is not None and not self.end_sent and not self._waiting

    def credited(self, taken: int, window: int) -> None:
        """The receiver's credit. A smaller number than before is old news: the right edge never moves back."""
        if taken > self.sent:
            raise RemoteFault("Credit says that more was taken than was sent.")
        self._release(taken)
        self.edge = max(self.edge, min(taken + window, self.taken + self.bound))

    def _release(self, taken: int) -> None:
        """What the receiver has need not be kept. A piece goes when its last byte is taken."""
        free = taken - self.taken
        if free <= 0:
            return
        kept = self._kept
        self.taken = taken
        self.held -= free
        whole = 0
        for piece in kept or ():
            if len(piece) > free:
                break
            free -= len(piece)
            whole += 1
        if kept:
            del kept[:whole]
        if kept and free:
            _drop(kept, free)

    def holds(self, taken: int) -> bool:
        """A receiver that has so many bytes can go on from here."""
        return self.taken <= taken <= self.sent

    def resume(self, taken: int, window: int) -> None:
        """A new link: the receiver has `taken` bytes. What it has not is sent again."""
        if not self.holds(taken):
            raise RemoteFault("A stream cannot go on there: those bytes are gone, or were never sent.", "bad-request")
        self._release(taken)
        if self._kept:
            self._waiting = deque((*self._kept, *(self._waiting or ())))
            self._kept = None
            self.end_sent = False
        self.sent = taken
        self.edge = taken + min(window, self.bound)

    def begin(self, taken: int, window: int) -> None:
        """The first accept. While we hold nothing, the receiver may have the beginning from elsewhere (an upload)."""
        if self.held == 0 and self.sent == 0:
            self.taken = self.sent = taken
        self.resume(taken, window)

    @property
    def owed(self) -> bytes:
        """Everything behind `taken`, sent or not."""
        return b"".join((*(self._kept or ()), *(self._waiting or ())))

    def go_on(self, sent: int, owed: bytes) -> None:
        """Of an Outflow made anew at `taken`: what was owed, and up to where it was on a link that is gone."""
        known, rest = owed[: sent - self.taken], owed[sent - self.taken :]
        self._kept = [known] if known else None
        self._waiting = deque([rest]) if rest else None
        self.sent, self.held = sent, len(owed)

    def stop(self) -> None:
        """The receiver reads no more: what waits is dropped."""
        self.stopped = True
        self._kept = self._waiting = None
        self.held = 0

    @property
    def over(self) -> bool:
        """Nothing will ever be sent again."""
        return self.stopped or (self.end_sent and self.held == 0)


class Inflow:
    """The direction in which the other side writes."""

    __slots__ = (
        "closed",
        "consumed",
        "edge",
        "ended",
        "finished",
        "kept",
        "received",
        "stop_sent",
        "stopped",
        "window",
    )

    def __init__(self, window: int = STREAM_WINDOW, start: int = 0) -> None:
        self.received = start
        self.consumed = start  # our reader is done with everything before
        self.window = window  # bytes beyond `consumed` that may be under way
        self.kept = WINDOW_MAX  # bytes that the sender holds until we say that we have them
        self.edge = start + window  # the largest number that we have ever allowed
        self.ended = False  # the end came on the present link
        self.finished: int | None = None  # the note of the first end
        self.closed = False  # that end was an earlier writer's: what comes from this one goes nowhere
        self.stopped = False  # our reader reads no more
        self.stop_sent = False  # ... and the present link was told of either

    def begin(self, taken: int, window: int) -> None:
        """Our first accept: we have `taken` bytes already, and let `window` more come."""
        self.received = self.consumed = taken
        self.window, self.edge = window, taken + window

    def arrived(self, size: int) -> None:
        """A data message."""
        received = self.received + size
        if received > self.edge:
            raise RemoteFault("More data came than the window allows. Wait for credit.")
        if self.ended or (self.finished is not None and size and not self.closed):
            raise RemoteFault("Data came after the end of its stream.")
        self.received = received
        if self.stopped or self.closed:
            self.consumed = received

    def end(self, note: int) -> None:
        if self.ended:
            raise RemoteFault("A stream ended twice.")
        self.ended = True
        if self.finished is None:
            self.finished = note

    def close(self, note: int | None) -> None:
        """Of a writer who has just come: an earlier one has ended it with this note, or has not."""
        self.finished, self.closed = note, note is not None

    def consume(self, size: int) -> None:
        """Our reader is done with so many bytes."""
        if self.consumed + size > self.received:
            raise LocalProtocolError("More bytes were consumed than have come.")
        self.consumed += size

    def credit_is_due(self) -> bool:
        """The edge would move by a quarter window or more; or by a quarter of what the sender keeps, when that is less:
        else both would wait for each other.
        """
        further = self.consumed + self.window - self.edge
        most = self.window if self.window < self.kept else self.kept
        return further > 0 and not self.ended and not self.stopped and further << 2 >= most

    def credit(self) -> tuple[int, int]:
        """(taken, window) to say now."""
        self.edge = max(self.edge, self.consumed + self.window)
        return self.consumed, self.window

    def resume(self) -> tuple[int, int]:
        """(taken, window) for a new link: everything that came is ours, read or not."""
        self.ended = self.stop_sent = False
        self.edge = max(self.received, self.consumed + self.window)
        return self.received, self.edge - self.received

    def stop(self) -> None:
        """Our reader reads no more."""
        self.stopped = True


class Flows(NamedTuple):
    """Both directions, as one side sees them."""

    out: Outflow
    into: Inflow
