"""The service `origin`: streams between a program and whoever sent it; words: the clients' own I/O happens elsewhere.

In:  calls (each accepts one connection), credit and data of the program (untrusted); clients through the Door.
Out: the number of a stream for each accepted connection, credit, data. Clients are told what happens through the
     methods of Client.

Order of one connection: a client waits at the door; a call takes it; the reply names the stream (lowest free number);
at once the program gets credit of one window; the client is fed as the program grants credit. Each direction ends by
itself (gatebus.flow). Only the clients' bytes wait here, never in a queue: a client feeds no more than `Stream.room`,
and holds no more than a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, error, pack
from typing import TYPE_CHECKING

from gatebus.bounds import ORIGIN_STREAMS, ORIGIN_WAITING, ORIGIN_WINDOW
from gatebus.faults import StateRefused, Violation
from gatebus.flow import Change, Chunk, Run
from gatebus.services.base import Call, Flow, Info, Outlet, Packet, Service
from gatebus.services.originstream import Client, Nobody, Stream

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Client", "Door", "Origin", "Stream", "Windows"]

_COUNTS = Struct("<HH")  # unanswered accepts, streams
_TICKET = Struct("<I")
_STREAM = Struct("<iBII")  # number, ends (a bit each), credit given to us, credit given to the program


class Door:
    """Where clients wait until the program accepts them, and stay while it has no process: see `stay`."""

    __slots__ = ("_places", "_waiting", "kept", "on_return", "on_stay", "origin")

    def __init__(self, places: int = ORIGIN_WAITING) -> None:
        self._places = places
        self._waiting: list[Client] = []  # an empty deque takes 760 bytes of every program
        self.origin: Origin | None = None
        self.kept: dict[int, Client] | None = None  # by number of their streams, from `stay` to the next process
        self.on_stay: Callable[[Client], None] = _nobody_cares
        self.on_return: Callable[[Client, Stream], None] = _opened

    def stay(self) -> None:
        """The program is going to stop and to go on: whoever is connected keeps what it has, and waits."""
        if self.kept is None:
            self.kept = {}

    def resolve(self) -> None:
        """It has gone on, or never will: whoever stayed and has no stream any more is told."""
        kept, self.kept = self.kept, None
        for client in (kept or {}).values():
            client.lost()

    @property
    def waiting(self) -> tuple[Client, ...]:
        return tuple(self._waiting)

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
                for stream, value in [(self._known(number), value) for number, value in changes]:
                    if stream.over():  # since then; its number may be another one's
                        raise _no_stream(stream.number)
                    stream.granted(value)
            case Chunk(number):
                self._known(number).received(packet)
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
        self._accepts.clear()
        (streams, self._streams), kept = (self._streams, {}), self._door.kept
        for stream in streams.values():
            if kept is None:
                stream.lost()
            elif not isinstance(stream.client, Nobody):
                kept[stream.number] = stream.client
                self._door.on_stay(stream.client)

    def _open(self, number: int, client: Client) -> None:
        client.opened(self._made(number, client))

    def _made(self, number: int, client: Client) -> Stream:
        stream = self._streams[number] = Stream(number, self.outlet, client, self._windows.window)
        stream.on_over = self.arrived
        return stream

    def _known(self, number: int) -> Stream:
        stream = self._streams.get(number)
        if stream is None or stream.over():
            raise _no_stream(number)
        return stream

    def _forget_finished(self) -> None:
        finished = [number for number, stream in self._streams.items() if stream.over()]
        for number in finished:
            del self._streams[number]

    def pause(self) -> None:
        """What a client has and has not consumed is its own from now on: the program may send as much again. A client
        that stays goes on counting.
        """
        if self._door.kept is not None:
            return
        for stream in self._streams.values():
            stream.settle()

    def go_on_at_start(self, state: bytes) -> None:
        """A WASI program that goes on has its streams, with the client that stayed or a new one in the place of the old
        one. Raises StateRefused.
        """
        for number, *kept in _read_untrusted(state)[1]:
            if not self._returned(number, kept):
                client = self._door.take()
                stream = self._kept(number, client or Nobody(), kept)
                if client is not None:
                    self._door.on_return(client, stream)

    def save(self) -> bytes:
        """Clients are not saved: who wants to go on with a stream attaches to it again."""
        self._forget_finished()
        if not self._accepts and not self._streams:
            return b""
        accepts = b"".join(_TICKET.pack(ticket) for ticket in self._accepts)
        streams = b"".join(_saved(stream) for stream in self._streams.values())
        return _COUNTS.pack(len(self._accepts), len(self._streams)) + accepts + streams

    def for_copy(self, state: bytes) -> bytes:
        """All: its streams end, and its calls wait for new clients."""
        return state

    def restore(self, state: bytes) -> None:
        """Waiting calls wait on. Streams whose client is gone end both ways, as Gate means it."""
        if not state:
            return
        accepts, streams = _read_untrusted(state)
        self._accepts.extend(accepts)
        for number, *kept in streams:
            if not self._returned(number, kept):
                stream = self._kept(number, Nobody(), kept)
                stream.end()
                stream.stop()
        self.arrived()

    def _returned(self, number: int, kept: list[int]) -> bool:
        """Its client stayed."""
        client = self._door.kept.pop(number, None) if self._door.kept is not None else None
        if client is not None:
            self._door.on_return(client, self._kept(number, client, kept))
        return client is not None

    def _kept(self, number: int, client: Client, kept: list[int]) -> Stream:
        ends, inward, outward = kept
        stream = self._made(number, client)
        stream.inward.credit = inward
        stream.outward.credit = min(outward, self._windows.window)  # a stranger's word: its client holds no more
        stream.inward.ended, stream.inward.refused = bool(ends & 1), bool(ends & 2)
        stream.outward.ended, stream.outward.stopped = bool(ends & 4), bool(ends & 8)
        return stream


def _no_stream(number: int) -> Violation:
    return Violation(f"The service origin has no stream {number}.")


def _saved(stream: Stream) -> bytes:
    inward, outward = stream.inward, stream.outward
    ends = inward.ended | inward.refused << 1 | outward.ended << 2 | outward.stopped << 3
    return _STREAM.pack(stream.number, ends, inward.credit, outward.credit)


def streams_untrusted(state: bytes) -> list[int]:
    """Numbers of those that a saved origin has. Raises StateRefused."""
    return [number for number, *_kept in _read_untrusted(state)[1]] if state else []


def _read_untrusted(state: bytes) -> tuple[list[int], list[tuple[int, int, int, int]]]:
    """Raises StateRefused."""
    try:
        return _restored_untrusted(state)
    except error:
        raise StateRefused("The saved state of the service origin is malformed.") from None


def _restored_untrusted(state: bytes) -> tuple[list[int], list[tuple[int, int, int, int]]]:
    accepts, streams = _COUNTS.unpack_from(state)
    at = _COUNTS.size + accepts * _TICKET.size
    if len(state) != at + streams * _STREAM.size:
        raise error
    tickets = [ticket for (ticket,) in _TICKET.iter_unpack(state[_COUNTS.size : at])]
    return tickets, list(_STREAM.iter_unpack(state[at:]))


def _nobody_cares(_client: Client) -> None:
    """Of a program that never stops."""


def _opened(client: Client, stream: Stream) -> None:
    client.opened(stream)
