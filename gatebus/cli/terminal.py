"""The person's side of a program: stdin, stdout and stderr of this process; a wire.

In:  bytes that a person or a pipe gives us; bytes of the program (untrusted, passed on as they are).
Out: a Client for the service origin, which reads stdin only as the program gives credit, and writes stdout at the
     reader's speed.

Descriptors are never set non-blocking: they are shared with the shell and other processes. Before a read or a small
write the descriptor is waited for; a large write, which may block, goes through a thread that is left behind when the
command ends.
"""

import os
import select
import stat
from collections.abc import Callable
from functools import partial

import trio

from gatebus.services.origin import Stream

# One read: a packet's worth. More would only wait in our memory for credit.
_READ = 65_536
# POSIX: a pipe that is writable takes so many bytes without blocking.
_PIPE_ATOMIC = 4096


class Source:
    """Reads a descriptor without blocking the event loop.

    Whoever reads says how much when there is something, and not before: between the wait and the read others have
    their turn, and what is read then for a program that has stopped meanwhile would be lost. It is left where it is,
    for whoever reads there next.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._never_waits = _never_waits(descriptor)

    async def read(self, wanted: Callable[[], int]) -> bytes | None:
        """b"" at the end, and for a descriptor that is closed. None: nothing is wanted any more; nothing was read."""
        try:
            return await self._read(wanted)
        except OSError:
            return b""

    async def _read(self, wanted: Callable[[], int]) -> bytes | None:
        if os.name == "nt":  # pipes and consoles there cannot be waited for
            size = min(wanted(), _READ)
            return await trio.to_thread.run_sync(os.read, self._descriptor, size, abandon_on_cancel=True)
        while True:
            if self._never_waits:
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(self._descriptor)
            size = min(wanted(), _READ)
            if size <= 0:
                return None
            try:
                return os.read(self._descriptor, size)
            except BlockingIOError:
                continue


class Sink:
    """Bytes on their way to one descriptor, in order. Who puts them in bounds them: credit for stdout, the log's
    limit for stderr. They lie end to end: a million pieces of one byte would be forty times their size.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._never_waits = _never_waits(descriptor)
        self._queue = bytearray()
        self._changed = trio.Event()
        self._ended = False
        self.broken = False
        self.on_written: Callable[[int], None] = _nobody
        self.on_broken: Callable[[OSError], None] = _not_told

    def put(self, data: bytes | memoryview) -> None:
        self._queue += data
        self._changed.set()

    def end(self) -> None:
        """Nothing more is put in: `run` returns when everything is written."""
        self._ended = True
        self._changed.set()

    async def run(self) -> None:
        while self._queue or not self._ended:
            if not self._queue:
                self._changed = trio.Event()
                await self._changed.wait()
                continue
            data, self._queue = bytes(self._queue), bytearray()
            await self._write(data)
            self.on_written(len(data))

    async def _write(self, data: bytes) -> None:
        try:
            if not self.broken:
                await self._write_all(data)
        except OSError as problem:  # the reader has gone (EPIPE), or the disk is full
            self.broken = True
            self.on_broken(problem)

    async def _write_all(self, data: bytes) -> None:
        if self._never_waits:
            await trio.lowlevel.checkpoint()
            _write_blocking(self._descriptor, data)
        elif os.name != "nt" and len(data) <= _PIPE_ATOMIC:
            await trio.lowlevel.wait_writable(self._descriptor)
            _write_blocking(self._descriptor, data)
        else:
            await trio.to_thread.run_sync(_write_blocking, self._descriptor, data, abandon_on_cancel=True)


class CountingSink(Sink):
    """Of a program that may be stopped: it is always known what was written, and a reader that takes nothing is not
    waited for any more once the program has stopped. Small pieces, which no thread holds: a fifth of the speed.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self._patience = float("inf")
        self._scope = trio.CancelScope()

    def hurry(self, seconds: float) -> None:
        """From now on the reader has so long for each piece."""
        self._patience = seconds
        self._scope.deadline = trio.current_time() + seconds

    @property
    def unwritten(self) -> bytes:
        """After `run`: nothing, unless nobody took it."""
        return b"" if self.broken else bytes(self._queue)

    async def run(self) -> None:
        while self._queue or not self._ended:
            if not self._queue:
                self._changed = trio.Event()
                await self._changed.wait()
                continue
            piece = bytes(self._queue[:_PIPE_ATOMIC])
            with trio.move_on_after(self._patience) as self._scope:
                await self._write(piece)
            if self._scope.cancelled_caught:
                return
            del self._queue[: len(piece)]
            self.on_written(len(piece))


def _write_blocking(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # somebody else has set it non-blocking
            select.select([], [descriptor], [])


def _never_waits(descriptor: int) -> bool:
    """Files are always ready, and epoll refuses them."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return True
    return not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor))


def _nobody(_size: int) -> None:
    pass


def _not_told(_problem: OSError) -> None:
    """What cannot be said on stderr cannot be said."""


class Terminal:
    """The origin of a program that was started by hand (services.origin.Client). `owed`: bytes of an earlier time that
    are in the sink already: no stream counts them.
    """

    def __init__(self, source: Source, sink: Sink, owed: int = 0) -> None:
        self._owed = owed
        self._source = source
        self._sink = sink
        self._stream: Stream | None = None
        self._changed = trio.Event()
        self._lost = False
        sink.on_written = self._written

    # What the service says.

    def opened(self, stream: Stream) -> None:
        self._stream = stream
        self._changed.set()

    def ready(self) -> None:
        self._changed.set()

    def data(self, data: bytes | memoryview) -> None:
        self._sink.put(data)

    def ended(self, note: int) -> None:
        self._sink.end()

    def lost(self) -> None:
        self._lost = True
        self._sink.end()
        self._changed.set()

    @property
    def accepted(self) -> bool:
        """The program has taken the connection."""
        return self._stream is not None

    def _written(self, size: int) -> None:
        owed = min(size, self._owed)
        self._owed -= owed
        size -= owed
        if size and self._stream is not None and not self._lost:
            self._stream.consumed(size)

    # What the person types.

    async def read_input(self) -> None:
        """Until the end of stdin, or until the program wants no more of it."""
        while (stream := await self._stream_with_room()) is not None:
            data = await self._source.read(partial(self._wanted, stream))
            if data is None or self._lost or stream.refused:  # of bytes that were read only Windows comes here
                continue
            if not data:
                stream.end()
                return
            stream.feed(data)

    def _wanted(self, stream: Stream) -> int:
        return 0 if self._lost or stream.refused else stream.room

    async def _stream_with_room(self) -> Stream | None:
        while not self._lost:
            if self._stream is not None and self._stream.refused:
                return None
            if self._stream is not None and self._stream.room:
                return self._stream
            self._changed = trio.Event()
            await self._changed.wait()
        return None
