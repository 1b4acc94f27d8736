"""Wire: two ends of a stream in memory, for tests: may be cut at any byte, late, slow to be read, or in small pieces.

In:  bytes from one end. Out: the same bytes at the other, no sooner than Wires.delay, at most Wires.piece at a time.
Time is trio's, so a simulated clock makes delays free. Nothing blocks a thread, no descriptor is used; the shape is
bytetransport.Transport.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gatebus.web.bytetransport import Piece


@dataclass(slots=True)
class Wires:
    """What one direction does to the bytes; may be changed while it is used."""

    capacity: int = 256 * 1024  # bytes under way before a sender is refused, as a kernel's buffers
    delay: float = 0.0  # seconds
    piece: int = 1 << 30  # bytes of one read, and of one send, at most
    cut_after: int | None = None  # bytes from the beginning; then both directions break


class _Direction:
    """Bytes on their way to one end."""

    def __init__(self, wires: Wires) -> None:
        self.wires = wires
        self.passed = 0
        self.queue: deque[tuple[float, memoryview]] = deque()
        self.queued = 0
        self.finished = False
        self.changed = trio.Event()

    def wake(self) -> None:
        self.changed.set()
        self.changed = trio.Event()


class MemoryTransport:
    """One end. `cut()` breaks the stream for both, as a lost network does when it is noticed."""

    def __init__(self, incoming: _Direction, outgoing: _Direction) -> None:
        self._in = incoming
        self._out = outgoing
        self._closed = False
        self.broken = False
        self.other: MemoryTransport | None = None

    def send(self, data: Piece) -> int:
        return self.send_parts((data,))

    def send_parts(self, parts: Sequence[Piece]) -> int:
        self._check()
        if self._out.finished or self.other is None or self.other.is_closed:
            raise BrokenPipeError
        wires = self._out.wires
        data = b"".join(parts)
        room = min(wires.capacity - self._out.queued, wires.piece)
        if wires.cut_after is not None:
            room = min(room, wires.cut_after - self._out.passed)
        if room <= 0 and data:
            raise BlockingIOError
        self._put(data[:room])
        if wires.cut_after is not None and self._out.passed >= wires.cut_after:
            self.cut()
        return min(room, len(data))

    def receive_into(self, buffer: memoryview) -> int:
        if self.broken:
            raise ConnectionResetError
        if self._closed:
            raise OSError("closed")
        if not self._in.queue:
            if self._in.finished:
                return 0
            raise BlockingIOError
        due, first = self._in.queue[0]
        if due > trio.current_time():
            raise BlockingIOError
        size = min(len(first), len(buffer), self._in.wires.piece)
        buffer[:size] = first[:size]
        self._in.queue.popleft()
        if size < len(first):
            self._in.queue.appendleft((due, first[size:]))
        self._in.queued -= size
        self._in.wake()
        return size

    def pending(self) -> bool:
        return False

    async def wait_readable(self) -> None:
        while not self._readable():
            due = self._in.queue[0][0] if self._in.queue else trio.current_time() + 3600
            with trio.move_on_at(due):
                await self._in.changed.wait()
        await trio.lowlevel.checkpoint()
        self._check_open()

    async def wait_writable(self) -> None:
        while not self._writable():
            await self._out.changed.wait()
        await trio.lowlevel.checkpoint()
        self._check_open()

    def finish(self) -> None:
        self._out.finished = True
        self._out.wake()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.finish()
            self._in.wake()
            self._in.queue.clear()

    def cut(self) -> None:
        """Both ends notice at once; what is under way is lost."""
        for end in (self, self.other):
            if end is not None:
                end.broken = True
                end._in.queue.clear()
                end._in.wake()

    @property
    def is_closed(self) -> bool:
        return self._closed

    def _put(self, data: bytes) -> None:
        if data:
            self._out.passed += len(data)
            self._out.queued += len(data)
            self._out.queue.append((trio.current_time() + self._out.wires.delay, memoryview(data)))
            self._out.wake()

    def _readable(self) -> bool:
        arrived = bool(self._in.queue) and self._in.queue[0][0] <= trio.current_time()
        return arrived or (self._in.finished and not self._in.queue) or self.broken or self._closed

    def _writable(self) -> bool:
        gone = self.broken or self._closed or self.other is None or self.other.is_closed
        return gone or self._out.queued < self._out.wires.capacity

    def _check(self) -> None:
        if self.broken:
            raise ConnectionResetError
        if self._closed:
            raise OSError("closed")

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError


def memory_transports(there: Wires, back: Wires) -> tuple[MemoryTransport, MemoryTransport]:
    """Two ends; `there` is what happens to bytes from the first to the second."""
    forward, backward = _Direction(there), _Direction(back)
    first, second = MemoryTransport(backward, forward), MemoryTransport(forward, backward)
    first.other, second.other = second, first
    return first, second
