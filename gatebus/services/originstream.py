"""One connection between a program and whoever sent it, and who is at its other end; words.

In:  bytes and credit of the program (untrusted, counted here), what the client consumes and feeds. Out: packets through
     the service's outlet; what happens, through the methods of Client.

Part of the service origin: see there for the order of one connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gatebus.flow import Change, Chunk, Receiving, Run, Sending
from sandbox.packets import DATA_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatebus.services.base import Outlet


class Client(Protocol):
    """Who is at the other end of a connection. None of these may block or call back more than `feed` within `room`."""

    def opened(self, stream: Stream) -> None:
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


class Stream:
    """One connection as the client sees it."""

    __slots__ = ("_client", "_held", "_outlet", "_spent", "_window", "inward", "number", "on_over", "outward")

    def __init__(self, number: int, outlet: Outlet, client: Client, window: int) -> None:
        self.number = number
        self.inward = Sending()  # client -> program
        self.outward = Receiving(window)  # program -> client
        self._outlet = outlet
        self._client = client
        self._window = window
        self._held = 0  # bytes the client has, not consumed
        self._spent = 0  # bytes consumed, not granted again
        self.on_over: Callable[[], None] = _nobody_waits  # all four ends are there: its number is free

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
            self._look()

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

    def hold(self, size: int) -> None:
        """Of a stream that goes on: its client has so many bytes and has not consumed them. For the others the program
        has, or gets now, credit again.
        """
        self._held = size
        self._spent = 0
        self.consumed_before(self._window - self.outward.credit - size)

    def consumed_before(self, size: int) -> None:
        if size > 0:
            self._held += size
            self.consumed(size)

    def opened(self) -> None:
        self._client.opened(self)

    def stop(self) -> None:
        """The client reads no more. What is under way to it is dropped."""
        if not self.outward.stopped:
            self.outward.stopped = True
            self._outlet.flow(Change(self.number, 0))
            self._look()

    def granted(self, value: int) -> None:
        """A flow entry of the program. Closing its input is answered by the end of the data."""
        was_refused = self.inward.refused
        self.inward.grant(value)
        if self.inward.refused and not was_refused:
            self.end()
            self._look()
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
            self._look()

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

    @property
    def client(self) -> Client:
        return self._client

    def lost(self) -> None:
        self._client.lost()

    def over(self) -> bool:
        inward, outward = self.inward, self.outward
        return inward.ended and outward.ended and inward.refused and outward.stopped

    def _look(self) -> None:
        if self.over():
            self.on_over()

    def _stop_when_drained(self) -> None:
        if self._held <= 0:
            self.stop()


def _nobody_waits() -> None:
    """For its number."""


class Nobody:
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
