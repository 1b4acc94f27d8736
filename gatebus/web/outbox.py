"""Wire: what the kernel does not take at once; bounded, drained by a task that exists only while something waits.

In:  whole frames of our own, in order. Out: the same bytes to a transport. A send that is cancelled half-way would
leave half a frame, and what follows would be taken for its payload; so nobody sends by awaiting: an attempt takes what
the kernel takes, the rest waits here, and only the drain task, which belongs to the link, goes on with it. A peer that
takes nothing for LINK_STALL_SECONDS is cut.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

import trio

from gatebus.bounds import LINK_HIGH_WATER, LINK_STALL_SECONDS
from gatebus.web.bytetransport import MOST_PARTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gatebus.web.bytetransport import Piece, Transport


class Outbox:
    """`broken`: the transport takes nothing any more; what comes is dropped, and the reading side finds the end.
    `cut`: why we have closed the transport, if the peer was too slow."""

    __slots__ = ("_draining", "_finishing", "_queue", "_room", "_transport", "broken", "cut", "nursery", "waiting")

    def __init__(self, transport: Transport) -> None:
        self.waiting = 0
        self.broken = False
        self.cut = ""
        self.nursery: trio.Nursery | None = None
        self._transport = transport
        self._queue: deque[memoryview] | tuple[()] = ()  # made when something waits: a deque is 0.7 KiB
        self._draining = False
        self._finishing = False
        self._room: trio.Event | None = None

    def push(self, data: bytes) -> None:
        """One attempt; the rest waits. Never raises."""
        if self._queue or self.broken or self._transport.pending():
            self._keep(data)
            return
        try:
            taken = self._transport.send(data)
        except BlockingIOError:
            taken = 0
        except OSError:
            self.drop()
            return
        if taken != len(data):
            self._keep(memoryview(data)[taken:])
        elif self._transport.pending():
            self._want_drain()

    def push_parts(self, parts: Sequence[Piece]) -> None:
        """The same for parts that may change after this call: what is not taken is copied."""
        if self._queue or self.broken or self._transport.pending() or len(parts) > MOST_PARTS:
            self.push(b"".join(parts))
            return
        try:
            taken = self._transport.send_parts(parts)
        except BlockingIOError:
            taken = 0
        except OSError:
            self.drop()
            return
        if taken != sum(map(len, parts)):
            self._keep(memoryview(b"".join(parts))[taken:])
        elif self._transport.pending():
            self._want_drain()

    def finish(self) -> None:
        """Half-close after everything that waits."""
        self._finishing = True
        self._settle()

    def drop(self) -> None:
        """Nothing more will be taken."""
        self.broken = True
        self.waiting = 0
        self._queue = ()
        self._wake()

    async def until_below(self, most: int) -> None:
        """Until at most so many bytes wait (0: until everything is sent), or it is broken."""
        while (self.waiting > most or (most == 0 and self._draining)) and not self.broken:
            if self._room is None:
                self._room = trio.Event()
            await self._room.wait()

    def start(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        if self._queue or self._transport.pending():
            self._want_drain()

    def _keep(self, data: Piece) -> None:
        if self.broken:
            return
        if not isinstance(self._queue, deque):
            self._queue = deque()
        self._queue.append(memoryview(data))
        self.waiting += len(data)
        self._want_drain()

    def _want_drain(self) -> None:
        if not self._draining and self.nursery is not None:
            self._draining = True
            self.nursery.start_soon(self._drain)

    async def _drain(self) -> None:
        try:
            while self._queue or self._transport.pending():
                with trio.fail_after(LINK_STALL_SECONDS):
                    await self._transport.wait_writable()
                self._send_some()
        except trio.TooSlowError:
            self.cut = f"too slow: nothing was taken for {LINK_STALL_SECONDS:.0f} s"
            self.drop()
            self._transport.close()
        except (OSError, trio.ClosedResourceError):
            self.drop()
        finally:
            self._draining = False
            self._wake()
            self._settle()

    def _wake(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def _send_some(self) -> None:
        try:
            taken = self._transport.send_parts(list(islice(self._queue, MOST_PARTS)))
        except BlockingIOError:
            return
        self.waiting -= taken
        while taken and (queue := self._queue):
            first = queue[0]
            if taken < len(first):
                queue[0] = first[taken:]
                break
            taken -= len(first)
            queue.popleft()
        if self.waiting <= LINK_HIGH_WATER // 2:
            self._wake()

    def _settle(self) -> None:
        if self._finishing and not self._queue and not self._transport.pending() and not self.broken:
            self._finishing = False
            self._transport.finish()
