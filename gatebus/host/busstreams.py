"""One stream between a client of the bus and a program: it survives the client's link; no I/O of its own.

Where it stands: on one side it is a Client of the service origin (bytes of the program, untrusted); on the other side
it rides on a channel of a session (bytes of a client, untrusted), or on none while the client's link is lost.

Nothing is sent while packets or messages are taken apart: at the end of the turn (gatebus.turn) each stream that was
touched moves what it can, joined: one feed of the program, one message to the client. The program gets credit again
when the client has taken its bytes, so credit goes from end to end, and all that waits here for one stream, sent or
not, is at most one window each way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gatebus.accountbounds import SMALL_DATA
from gatebus.bounds import DATA_BYTES
from gatebus.host.lives.streamwords import StreamKept
from gatebus.host.principals import Kind, Principal
from gatebus.protocol.streams import Flows, Outflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatebus.host.connections import Verdict
    from gatebus.host.instances import Instance
    from gatebus.protocol.streams import Inflow
    from gatebus.services.origin import Stream
    from gatebus.turn import Turn


class Carrier(Protocol):
    """A channel of a session, as long as its link is there. Nothing here waits; it leaves at the end of the turn."""

    def full(self) -> bool:
        """The link takes no more now. It touches this stream when it does again."""

    def pump(self) -> None:
        """Everything that the flows may send now: data, credit, ends."""

    def answer(self, verdict: Verdict) -> None:
        """Result or error: the channel is over."""

    def log(self, source: int, data: bytes) -> bool:
        """False: the link is slow, and what was logged is dropped."""

    def answered(self, stream: BusStream) -> None:
        """Its verdict went out here; whether it arrives nobody knows yet."""


class Keeper(Protocol):
    """Who finds streams again by their names."""

    def left(self, stream: BusStream) -> None:
        """Its link is lost, or it was answered."""


class BusStream:
    """Made when a client opens it; gone when its verdict was delivered, or when nobody came back for it in time."""

    __slots__ = (
        "_pending", "_pending_size", "_seen", "_stream", "_told", "_touched", "_turn", "answered", "carrier", "closing",
        "flows", "instance", "keeper", "left_at", "name", "on_abandoned", "on_broken", "on_cancelled", "owner",
        "stranger", "verdict",
    )  # fmt: skip

    def __init__(self, name: bytes, owner: Principal, flows: Flows, turn: Turn) -> None:
        self.name, self.flows = name, flows
        self.own(owner)
        self.instance: Instance
        self.carrier: Carrier | None = None
        self.verdict: Verdict | None = None
        self.closing: Verdict | None = None  # what both ends of the directions mean; None: nothing, the program goes on
        self.answered = False
        self.left_at: float | None = None  # when its last link was lost, or its verdict handed over
        self.keeper: Keeper = _NOBODY
        self.on_abandoned: Callable[[BusStream], None] = _ignore  # nobody comes back for it, and it had no answer yet
        self.on_cancelled: Callable[[BusStream], None] = _ignore  # its client does not want it any more
        self.on_broken: Callable[[BusStream, Exception], None] = _raise
        self._turn = turn
        self._touched = False
        self._stream: Stream | None = None  # from the program's accept to its end
        self._pending: list[bytes | bytearray] = []  # of the client, for want of room at the program
        self._pending_size = 0
        self._told = 0  # bytes for which the program has got new credit
        self._seen: tuple[int, int | None] = 0, None  # of the client, when the program was suspended

    def own(self, owner: Principal) -> None:
        self.owner, self.stranger = owner.id, owner.kind is Kind.ANONYMOUS

    # The program's side (origin.Client).

    def opened(self, stream: Stream) -> None:
        self._stream = stream
        if self.flows.out.stopped:
            stream.stop()
        self.touch()

    def stays(self) -> None:
        """The program has no process for a while: what comes waits here, within its window."""
        self._stream = None

    def rests(self) -> Stream | None:
        """The program's process waits: what comes waits here, too, until `moves_on` gives back what this returns."""
        stream, self._stream = self._stream, None
        return stream

    def moves_on(self, stream: Stream) -> None:
        self._stream = stream
        self.touch()

    def returns(self, stream: Stream) -> None:
        """It has one again, which goes on where the last one stopped."""
        self._stream = stream
        out, into = self.flows
        stream.hold(out.taken + out.held - self._told)
        if out.stopped:
            stream.stop()
        if into.stopped:
            stream.end()
        self.touch()

    def keep(self, number: int, *, call: bool) -> StreamKept:
        """What is kept of it while there is no program, or no host. Of what nobody reads any more nothing is
        under way.
        """
        out, into = self.flows
        taken = out.sent if out.stopped else out.taken
        consumed, pending = (into.received, b"") if into.stopped else (into.consumed, b"".join(self._pending))
        return StreamKept(
            number, self.name, self.owner, self.stranger, call, taken, out.sent, out.owed, out.note, out.stopped,
            into.received, consumed, into.edge, into.finished, into.stopped, pending, max(0, self._told),
            out.bound,
        )  # fmt: skip

    def begin_anew(self, into: Inflow) -> None:
        """Its client never comes back, and the next one counts from zero: what nobody has taken is for him, and what
        had come, stays the program's (`into`).
        """
        out = Outflow(0, self.flows.out.bound)
        out.go_on(0, self.flows.out.owed)
        out.note, out.stopped = self.flows.out.note, self.flows.out.stopped
        into.close(self.flows.into.finished)
        into.stopped = self.flows.into.stopped
        self._told -= self.flows.out.taken
        self.flows = Flows(out, into)
        self.name, self.closing, self.left_at = b"", None, None
        self.on_abandoned = self.on_cancelled = _ignore
        self.mark()

    @property
    def is_over(self) -> bool:
        """Nothing comes any more, in either direction."""
        out, into = self.flows
        return (out.stopped or out.note is not None) and (into.stopped or into.finished is not None)

    @property
    def pending(self) -> int:
        """Bytes of its client that wait for the program."""
        return self._pending_size

    def goes_on(self, pending: bytes, told: int) -> None:
        """Made anew from what was kept: bytes for which the program had no room, and its credit so far."""
        self._pending, self._pending_size = [pending] if pending else [], len(pending)
        self._told = told
        self.mark()

    def ready(self) -> None:
        self.touch()

    def data(self, data: bytes | memoryview) -> None:
        self.flows.out.append(data)
        self.touch()

    def ended(self, note: int) -> None:
        self.flows.out.end(note)
        self.touch()

    def lost(self) -> None:
        """The program has ended: what it wrote is still delivered, then the verdict; what was for it is nobody's."""
        self._stream = None
        self._refuse()
        self.flows.into.stop_sent = True  # the verdict says it, in the same message

    def _refuse(self) -> None:
        """The program reads no more."""
        self._pending.clear()
        self._pending_size = 0
        into = self.flows.into
        into.consume(into.received - into.consumed)
        into.stop()

    # The client's side. The session has checked and counted what comes; for credit and ends, `touch` is enough.

    def begins(self, data: bytes) -> None:
        """What came with its open."""
        self.flows.into.arrived(len(data))
        if data:
            self.came(data)

    def came(self, data: bytes) -> None:
        if not (self.flows.into.stopped or self.flows.into.closed):
            self._keep(data)
            self._pending_size += len(data)
            self.touch()

    def _keep(self, data: bytes | bytearray) -> None:
        """The first one stays as it is: most often it is the only one."""
        if self._pending and len(data) < SMALL_DATA:
            last = self._pending[-1]
            if type(last) is bytearray and len(last) < DATA_BYTES:
                last += data
                return
            data = bytearray(data)
        self._pending.append(data)

    def let_go(self) -> None:
        """The client is done with it, in both directions."""
        out, into = self.flows
        out.stop()
        into.stop()
        self._pending.clear()
        self._pending_size = 0
        if self._stream is not None:
            self._stream.end()
            self._stream.stop()

    def abandon(self) -> None:
        """Nobody will come back for it."""
        if not self.answered:
            self.on_abandoned(self)
        self.let_go()

    def mark(self) -> None:
        """The program is going to be suspended: only what comes from now on may wake it."""
        self._seen = self.flows.into.received, self.flows.into.finished

    @property
    def has_news(self) -> bool:
        return self._seen != (self.flows.into.received, self.flows.into.finished)

    @property
    def kept(self) -> int:
        """Bytes that wait here, or were sent and may be asked for again."""
        return self.flows.out.held + self._pending_size

    def give_up(self, verdict: Verdict) -> None:
        """Its client let too much wait. It hears why, unless it has had the answer."""
        if not self.answered:
            self.verdict = verdict
        self.let_go()
        self.touch()

    @property
    def attached(self) -> bool | None:
        if self.carrier is not None:
            return True
        return None if self.answered or self.is_over else False

    def log(self, source: int, data: bytes) -> bool:
        return self.carrier is not None and self.carrier.log(source, data)

    def conclude(self, verdict: Verdict) -> None:
        """Answered as soon as everything before it is sent. The first verdict counts."""
        if self.verdict is None:
            self.verdict = verdict
            self.touch()

    # The link.

    def carry(self, carrier: Carrier) -> None:
        """From now on on this channel."""
        self.carrier = carrier
        self.answered, self.left_at = False, None
        self.touch()

    def dropped(self, carrier: Carrier) -> None:
        """That link is lost. It may be that another one carries it already."""
        if self.carrier is carrier:
            self.carrier = None
            self.keeper.left(self)

    def cancelled(self, _carrier: Carrier) -> None:
        """Its client does not want it any more."""
        self.on_cancelled(self)

    # The end of a turn.

    def touch(self) -> None:
        if not self._touched:
            self._touched = True
            self._turn.at_end(self.move)

    def move(self) -> None:
        """Never raises: whoever has the turn is not to blame."""
        try:
            self._move()
        except Exception as problem:
            self.on_broken(self, problem)

    def _move(self) -> None:
        self._touched = False
        if self._stream is not None:
            self._feed(self._stream)
        elif self.instance.live is not None and self.has_news:
            self.instance.live.on_io()  # it is suspended, and may be woken
        if self.carrier is not None:
            self._deliver(self.carrier)
        if self._stream is not None:
            self._give_credit(self._stream)

    def _feed(self, stream: Stream) -> None:
        into = self.flows.into
        if self._pending:
            self._feed_pending(stream)
        if stream.refused and not into.stopped:
            self._refuse()  # and `_deliver` says so
        if into.finished is not None and not self._pending:
            stream.end()

    def _give_credit(self, stream: Stream) -> None:
        out = self.flows.out
        if out.stopped:
            stream.stop()
        elif stream.outward.ended:
            if _all_sent(out) and self.instance.personality != "wasi":  # whose one stream is never used again
                stream.stop()
        elif (out.taken - self._told) << 2 >= out.bound:  # a quarter window: each packet of credit wakes the program
            stream.consumed(out.taken - self._told)
            self._told = out.taken

    def _feed_pending(self, stream: Stream) -> None:
        size = min(stream.room, self._pending_size)
        if size <= 0:
            return
        data = bytes(self._pending[0]) if len(self._pending) == 1 else b"".join(self._pending)
        rest = data[size:]
        self._pending = [rest] if rest else []
        self._pending_size -= size
        self.flows.into.consume(size)
        stream.feed(data[:size])

    def _deliver(self, carrier: Carrier) -> None:
        if not carrier.full():
            carrier.pump()
        if self.verdict is None and self.closing is not None and self._both_ended():
            self.verdict = self.closing
        if self.verdict is not None and _all_sent(self.flows.out):
            self.answered, self.carrier = True, None
            carrier.answer(self.verdict)
            carrier.answered(self)
            self.keeper.left(self)

    def _both_ended(self) -> bool:
        out, into = self.flows
        return (out.stopped or out.end_sent) and (into.stopped or (into.finished is not None and not self._pending))


def bus_streams(instance: Instance) -> list[BusStream]:
    """All streams of the bus that its program may talk to."""
    return [each for each in instance.connected() if isinstance(each, BusStream)]


def claim(instance: Instance) -> BusStream | None:
    """The connection that a launched WASI program has had from its start, if nobody has it."""
    stream = instance.claim()
    assert stream is None or isinstance(stream, BusStream)
    return stream


def _all_sent(out: Outflow) -> bool:
    return out.stopped or out.held == out.sent - out.taken


def _ignore(_stream: BusStream) -> None:
    """Of a stream that nobody has opened yet."""


class _Nobody:
    def left(self, stream: BusStream) -> None:
        pass


_NOBODY = _Nobody()


def _raise(_stream: BusStream, problem: Exception) -> None:
    raise problem
