"""The service `origin`: streams between a program and whoever sent it; words: the clients' own I/O happens elsewhere.

In:  calls (each accepts one connection), credit and data of the program (untrusted); clients through the Door.
Out: the number of a stream for each accepted connection, credit, data. Clients are told what happens through the
     methods of Client.

Order of one connection: a client waits at the door; a call takes it; the reply names the stream (lowest free number);
at once the program gets credit of one window; the client is fed as the program grants credit. Each direction ends by
itself (gatebus.flow). Only the clients' bytes wait here, never in a queue: a client feeds no more than `Stream.room`,
and holds no more than a window.
"""

from dataclasses import dataclass
from struct import Struct, error, pack
from typing import Protocol

from gatebus.bounds import ORIGIN_STREAMS, ORIGIN_WAITING, ORIGIN_WINDOW
from gatebus.faults import StateRefused, Violation
from gatebus.flow import Change, Chunk, Receiving, Run, Sending
from gatebus.services.base import Call, Flow, Info, Outlet, Packet, Service
from sandbox.packets import DATA_MAX

_COUNTS = Struct("<HH")  # unanswered accepts, streams
_TICKET = Struct("<I")
_STREAM = Struct("<iBII")  # number, ends (a bit each), credit given to us, credit given to the program


class Client(Protocol):
    """Who is at the other end of a connection. None of these may block or call back more than `feed` within `room`."""

    def opened(self, stream: "Stream") -> None:
        """The program accepted; from now on there is a stream."""

    def ready(self) -> None:
        """There is more `stream.room`, or the program reads no more (`stream.refused`)."""

    def data(self, data: bytes | memoryview) -> None:
        """Bytes of the program, never more than a window before `stream.consumed`. They stay as they are and may be
        kept; large pieces are views of what was received, so that nobody copies them. Small packets come joined.
        """

    def ended(self, note: int) -> None:
        """The program writes no more."""

    def lost(self) -> None:
        """The program or the service is gone."""


class Door:
    """Where clients wait until the program accepts them."""

    def __init__(self, places: int = ORIGIN_WAITING) -> None:
        self._places = places
        self._waiting: list[Client] = []  # an empty deque takes 760 bytes of every program
        self.origin: Origin | None = None

    def connect(self, client: Client) -> bool:
        """False: too many wait already; try again later."""
        if len(self._waiting) >= self._places:
            return False
        self._waiting.append(client)
        if self.origin is not None:
            self.origin.arrived()
        return True

    def leave(self, client: Client) -> None:
        """The client gave up before it was accepted."""
        if client in self._waiting:
            self._waiting.remove(client)

    def take(self) -> Client | None:
        return self._waiting.pop(0) if self._waiting else None


@dataclass(frozen=True, slots=True)
class Windows:
    """Bounds of one program's origin."""

    streams: int = ORIGIN_STREAMS
    window: int = ORIGIN_WINDOW


class Stream:
    """One connection as the client sees it."""

    __slots__ = ("_client", "_held", "_outlet", "_spent", "_window", "inward", "number", "outward")

    def __init__(self, number: int, outlet: Outlet, client: Client, window: int) -> None:
        self.number = number
        self.inward = Sending()  # client -> program
        self.outward = Receiving(window)  # program -> client
        self._outlet = outlet
        self._client = client
        self._window = window
        self._held = 0  # bytes the client has, not consumed
        self._spent = 0  # bytes consumed, not granted again

    @property
    def room(self) -> int:
        """Bytes that `feed` takes now."""
        return 0 if self.inward.ended else min(self.inward.credit, self._outlet.room)

    @property
    def refused(self) -> bool:
        """The program reads no more."""
        return self.inward.refused

    def feed(self, data: bytes) -> None:
        self.inward.spend(len(data))
        for at in range(0, len(data), DATA_MAX):
            self._outlet.data(Chunk(self.number, 0, data[at : at + DATA_MAX]))

    def end(self) -> None:
        """The client writes no more."""
        if not self.inward.ended:
            self.inward.ended = True
            self._outlet.data(Chunk(self.number, 0, b""))

    def consumed(self, size: int) -> None:
        """The client is done with so many bytes: the program may send as many again, in steps of a quarter window."""
        self._held -= size
        self._spent += size
        if self.outward.ended:
            self._stop_when_drained()
        elif not self.outward.stopped and (self._spent >= self._window // 4 or not self._held):
            self.outward.grant(self._spent)
            self._outlet.flow(Change(self.number, self._spent))
            self._spent = 0

    def settle(self) -> None:
        """Grants what the client has not consumed, too."""
        owed = self._held + self._spent
        if owed and not self.outward.ended and not self.outward.stopped:
            self.outward.grant(owed)
            self._outlet.flow(Change(self.number, owed))
        self._held = self._spent = 0

    def opened(self) -> None:
        self._client.opened(self)

    def stop(self) -> None:
        """The client reads no more. What is under way to it is dropped."""
        if not self.outward.stopped:
            self.outward.stopped = True
            self._outlet.flow(Change(self.number, 0))

    def granted(self, value: int) -> None:
        """A flow entry of the program. Closing its input is answered by the end of the data."""
        was_refused = self.inward.refused
        self.inward.grant(value)
        if self.inward.refused and not was_refused:
            self.end()
        if value >= 0:
            self._client.ready()

    def received(self, chunk: Chunk) -> None:
        """A data packet of the program. Its end is answered by a closed reader, after the client has consumed
        everything.
        """
        had_ended = self.outward.ended
        self.outward.accept(len(chunk.data))
        if chunk.data and not self.outward.stopped:
            self._held += len(chunk.data)
            self._client.data(chunk.data)
        elif self.outward.ended and not had_ended:
            self._client.ended(chunk.note)
            self._stop_when_drained()

    def received_run(self, run: Run) -> None:
        """Several data packets, none of them the end."""
        if run.size > self.outward.credit or self.outward.ended:
            for chunk in run.chunks():
                self.received(chunk)
            return
        self.outward.credit -= run.size
        if not self.outward.stopped:
            self._held += run.size
            for piece in run.pieces():
                self._client.data(piece)

    def wake(self) -> None:
        self._client.ready()

    def lost(self) -> None:
        self._client.lost()

    def over(self) -> bool:
        inward, outward = self.inward, self.outward
        return inward.ended and outward.ended and inward.refused and outward.stopped

    def _stop_when_drained(self) -> None:
        if self._held <= 0:
            self.stop()


class Origin(Service):
    """The streams of one program, and its calls that wait for a client."""

    def __init__(self, outlet: Outlet, door: Door, windows: Windows = Windows()) -> None:
        super().__init__(outlet)
        self._door = door
        self._windows = windows
        self._accepts: list[int] = []
        self._streams: dict[int, Stream] = {}
        door.origin = self

    def packet(self, packet: Packet) -> None:
        match packet:
            case Call(ticket):
                self._accepts.append(ticket)
                self.arrived()
            case Flow(changes):
                for number, value in changes:
                    stream = self._known(number)
                    stream.granted(value)
                    self._forget_if_over(stream)
            case Chunk(number):
                stream = self._known(number)
                stream.received(packet)
                self._forget_if_over(stream)
            case Info():
                pass

    def run(self, run: Run) -> None:
        self._known(run.stream).received_run(run)

    def arrived(self) -> None:
        """A call, a client or a free number has come: join what fits."""
        self._forget_finished()
        while self._accepts and len(self._streams) < self._windows.streams and (client := self._door.take()):
            number = next(number for number in range(self._windows.streams) if number not in self._streams)
            self.outlet.reply(self._accepts.pop(0), pack("<ihh", number, 0, 0))
            self.outlet.flow(Change(number, self._windows.window))
            self._open(number, client)

    def open_at_start(self) -> None:
        """A WASI program's stream 0 is open from the start, with the credit that its setup names (PROTOCOL.md, C)."""
        client = self._door.take()
        if client is not None:
            self._open(0, client)

    def room_again(self) -> None:
        self._forget_finished()
        for stream in list(self._streams.values()):
            stream.wake()
        self.arrived()

    def close(self) -> None:
        self._door.origin = None
        for stream in self._streams.values():
            stream.lost()
        self._streams.clear()

    def _open(self, number: int, client: Client) -> None:
        stream = Stream(number, self.outlet, client, self._windows.window)
        self._streams[number] = stream
        client.opened(stream)

    def _known(self, number: int) -> Stream:
        stream = self._streams.get(number)
        if stream is None or stream.over():
            raise Violation(f"The service origin has no stream {number}.")
        return stream

    def _forget_if_over(self, stream: Stream) -> None:
        if stream.over():
            self._forget_finished()

    def _forget_finished(self) -> None:
        finished = [number for number, stream in self._streams.items() if stream.over()]
        for number in finished:
            del self._streams[number]

    def pause(self) -> None:
        """What a client has and has not consumed is its own from now on: the program may send as much again."""
        for stream in self._streams.values():
            stream.settle()

    def go_on_at_start(self, state: bytes) -> None:
        """A WASI program that goes on has its streams, with a new client in the place of the old one. Raises
        StateRefused.
        """
        try:
            _accepts, streams = _restored_untrusted(state)
        except error:
            raise StateRefused("The saved state of the service origin is malformed.") from None
        client = self._door.take()
        for number, ends, inward, outward in streams:
            stream = self._kept(number, client or _Nobody(), (ends, inward, outward))
            stream.opened()

    def save(self) -> bytes:
        """Clients are not saved: who wants to go on with a stream attaches to it again."""
        self._forget_finished()
        if not self._accepts and not self._streams:
            return b""
        accepts = b"".join(_TICKET.pack(ticket) for ticket in self._accepts)
        streams = b"".join(_saved(stream) for stream in self._streams.values())
        return _COUNTS.pack(len(self._accepts), len(self._streams)) + accepts + streams

    def restore(self, state: bytes) -> None:
        """Waiting calls wait on. Streams whose client is gone end both ways, as Gate means it."""
        if not state:
            return
        try:
            accepts, streams = _restored_untrusted(state)
        except error:
            raise StateRefused("The saved state of the service origin is malformed.") from None
        self._accepts.extend(accepts)
        for number, ends, inward, outward in streams:
            self._orphan(number, ends, inward, outward)
        self.arrived()

    def _orphan(self, number: int, ends: int, inward: int, outward: int) -> None:
        stream = self._kept(number, _Nobody(), (ends, inward, outward))
        stream.end()
        stream.stop()

    def _kept(self, number: int, client: Client, kept: tuple[int, int, int]) -> Stream:
        ends, inward, outward = kept
        stream = Stream(number, self.outlet, client, self._windows.window)
        stream.inward.credit, stream.outward.credit = inward, outward
        stream.inward.ended, stream.inward.refused = bool(ends & 1), bool(ends & 2)
        stream.outward.ended, stream.outward.stopped = bool(ends & 4), bool(ends & 8)
        self._streams[number] = stream
        return stream


def _saved(stream: Stream) -> bytes:
    inward, outward = stream.inward, stream.outward
    ends = inward.ended | inward.refused << 1 | outward.ended << 2 | outward.stopped << 3
    return _STREAM.pack(stream.number, ends, inward.credit, outward.credit)


def _restored_untrusted(state: bytes) -> tuple[list[int], list[tuple[int, int, int, int]]]:
    accepts, streams = _COUNTS.unpack_from(state)
    at = _COUNTS.size + accepts * _TICKET.size
    if len(state) != at + streams * _STREAM.size:
        raise error
    tickets = [ticket for (ticket,) in _TICKET.iter_unpack(state[_COUNTS.size : at])]
    return tickets, list(_STREAM.iter_unpack(state[at:]))


class _Nobody:
    """The client of a stream whose real one is gone."""

    def opened(self, stream: Stream) -> None:
        pass

    def ready(self) -> None:
        pass

    def data(self, data: bytes | memoryview) -> None:
        pass

    def ended(self, note: int) -> None:
        pass

    def lost(self) -> None:
        pass
