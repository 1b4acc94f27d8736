"""Wire: bytes to the host (upload) and from it (download, events) that are no program's.

In:  a file or bytes of ours; bytes of the host (untrusted: a download is held to its hash and its bound). Out: the
same at the other end. A line that is lost costs nothing but time: an upload goes on where the host is, a download
begins again and skips what it has.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import trio

from gatebus.client.answers import Uploaded, digest_untrusted, uploaded_untrusted
from gatebus.client.backoff import Losses
from gatebus.client.complaints import BusError, HostNonsense, TooMuchOutput, host_error
from gatebus.clientbounds import READ_PIECE
from gatebus.faults import UsageError
from gatebus.protocol import LocalProtocolError
from gatebus.protocol.messages import Accept, Data, End, Error, Message, Result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gatebus.client.hostline import HostLine
    from gatebus.client.lifeline import Lifeline


class Source(Protocol):
    """What is uploaded. `size` and `sha256` are known before the first byte goes."""

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> bytes: ...

    async def read(self, start: int, size: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class BytesSource:
    data: bytes = field(repr=False)

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.data).digest()

    async def read(self, start: int, size: int) -> bytes:
        return self.data[start : start + size]


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file; it must not change meanwhile, or the host refuses what it got."""

    path: str
    size: int
    sha256: bytes

    async def read(self, start: int, size: int) -> bytes:
        return await trio.to_thread.run_sync(_read_at, self.path, start, size)


async def file_source(path: str) -> FileSource:
    """Reads the file once, for its hash. Raises OSError."""
    size, sha256 = await trio.to_thread.run_sync(_hashed, path)
    return FileSource(path, size, sha256)


def _hashed(path: str) -> tuple[int, bytes]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        return file.tell(), digest


def _read_at(path: str, start: int, size: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(start)
        return file.read(size)


class Channel:
    """One channel of one line, for a task: `change` waits until something is different."""

    def __init__(self) -> None:
        self.accepted: Mapping[str, Any] | None = None
        self.answer: Mapping[str, Any] | None = None
        self.fault: BusError | None = None
        self.gone = False
        self.came: deque[bytes] = deque()
        self.ended = False
        self._changed = trio.Event()

    @property
    def over(self) -> bool:
        return self.gone or self.answer is not None or self.fault is not None

    def hear(self, message: Message) -> None:
        match message:
            case Accept(_, about, _):
                self.accepted = about
            case Data(_, data):
                self.came.append(data)
            case End():
                self.ended = True
            case Result(_, value):
                self.answer = value
            case Error(_, code, text, details):
                self.fault = host_error(code, text, details)
        self._changed.set()

    def lost(self, fault: BusError | None) -> None:
        self.gone, self.fault = True, fault
        self._changed.set()

    async def change(self) -> None:
        await self._changed.wait()
        self._changed = trio.Event()


class Order(NamedTuple):
    """What a channel is opened with."""

    operation: str
    parameters: Mapping[str, Any]
    window: int = 0


async def _attempts(
    lifeline: Lifeline, order: Order, converse: Callable[[HostLine, int, Channel], Awaitable[None]]
) -> Mapping[str, Any]:
    """The host's answer, on as many lines as it takes. Raises HostError, LinkLost."""
    losses = Losses(trio.current_time())
    while True:
        channel = Channel()
        line = await lifeline.line()
        losses.began(trio.current_time())
        try:
            number = line.open(channel, order.operation, order.parameters, order.window)
        except LocalProtocolError:
            continue  # the line has just become unusable
        try:
            line.flush()
            await converse(line, number, channel)
        finally:
            line.let_go(number)
        if channel.fault is not None:
            raise channel.fault
        if channel.answer is not None:
            return channel.answer
        losses.lost(trio.current_time(), advanced=channel.accepted is not None)


async def ask(lifeline: Lifeline, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """One operation without a stream, asked again when its line is lost: all of them may be."""

    async def until_over(_line: HostLine, _number: int, channel: Channel) -> None:
        while not channel.over:
            await channel.change()

    return await _attempts(lifeline, Order(operation, parameters), until_over)


async def upload(lifeline: Lifeline, source: Source, progress: Callable[[int, int], None] | None = None) -> Uploaded:
    """Skipped when the host has it; resumed where the host is. `progress(bytes that the host has, size)`."""
    return uploaded_untrusted(await send(lifeline, "upload", source, progress))


async def send(
    lifeline: Lifeline, operation: str, source: Source, progress: Callable[[int, int], None] | None = None
) -> Mapping[str, Any]:
    """Bytes to the host, by an operation that takes them like `upload`. Its answer."""
    show = progress or _nobody

    async def converse(line: HostLine, number: int, channel: Channel) -> None:
        await _send_source(line, number, channel, source, show)

    order = Order(operation, {"sha256": source.sha256, "size": source.size})
    answer = await _attempts(lifeline, order, converse)
    show(source.size, source.size)
    return answer


async def _send_source(
    line: HostLine, number: int, channel: Channel, source: Source, progress: Callable[[int, int], None]
) -> None:
    """Until the host has answered, or the line is lost."""
    while channel.accepted is None and not channel.over:
        await channel.change()
    if channel.over:
        return
    out = line.flows(number).out
    at = out.sent
    while not channel.over:
        progress(out.taken, source.size)
        room = min(out.room, source.size - at, READ_PIECE)
        if room > 0:
            piece = await source.read(at, room)
            if not piece:
                raise UsageError("The file became shorter while it was uploaded.")
            at += len(piece)
            out.append(piece)
        if at == source.size:
            out.end()
        line.pump(number)
        if room <= 0 or at == source.size:
            await channel.change()


async def download(lifeline: Lifeline, sha256: bytes, most: int) -> bytes:
    """Content by its hash, which is checked. Raises TooMuchOutput beyond `most` bytes."""
    received = bytearray()

    def take(data: bytes | memoryview) -> None:
        received.extend(data)
        if len(received) > most:
            raise TooMuchOutput(f"The file has more than {most} bytes.")

    await _fetch(lifeline, Order("download", {"sha256": sha256}, READ_PIECE), take)
    if hashlib.sha256(received).digest() != sha256:
        raise HostNonsense("The host sent other bytes than those that the hash names.")
    return bytes(received)


async def export(lifeline: Lifeline, order: Order, write: Callable[[bytes], object]) -> int:
    """Bytes that the host makes for us, checked by the hash that it tells at the end. How many."""
    digest, size = hashlib.sha256(), 0

    def take(data: bytes | memoryview) -> None:
        nonlocal size
        digest.update(data)
        size += len(data)
        write(bytes(data))

    if digest_untrusted(await _fetch(lifeline, order, take), "sha256") != digest.digest():
        raise HostNonsense("The host sent other bytes than it says. Ask again.")
    return size


async def _fetch(lifeline: Lifeline, order: Order, take: Callable[[bytes | memoryview], None]) -> Mapping[str, Any]:
    """Each byte once, over as many lines as it takes. The host's answer."""
    had = 0

    async def receive(line: HostLine, number: int, channel: Channel) -> None:
        nonlocal had
        skip = had
        while True:
            while channel.came:
                data = channel.came.popleft()
                skipped = min(skip, len(data))
                skip -= skipped
                had += len(data) - skipped
                take(data[skipped:])
                if not channel.over:
                    line.flows(number).into.consume(len(data))
                    line.pump(number)
            if channel.over:
                return
            await channel.change()

    return await _attempts(lifeline, order, receive)


def _nobody(_done: int, _size: int) -> None:
    """No progress is shown."""
