"""Wire: what a program of the fake sandbox (testing.py) sees, and the stream in memory between it and the host.

In:  packets of a test's host. Out: packets of a Python function in a program's place. A function that is stopped is
cancelled where it waits; called again after a resume, it finds `memory` as it left it and what it had not read.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import trio

from sandbox.control import (
    ARGUMENT,
    BEGIN,
    BEGIN_LAYOUT,
    CONTENT,
    ENVIRONMENT,
    FLAG_FILES,
    FLAG_KEEP,
    FLAG_RESUMED,
    FUNCTION,
    GO,
    LOG,
    NODE,
    RESTORE,
    SUSPEND,
    LeftContent,
    LeftNode,
    TreeCollector,
    decode_untrusted,
    lifecycle_of,
)  # fmt: skip
from sandbox.lifecycle import Lifecycle
from sandbox.packets import CALL, CODE_CONTROL, HEADER, HEADER_SIZE, Buffer, Packet, encode, padded
from sandbox.statewords import PAGE, look_untrusted
from sandbox.tree import Tree

if TYPE_CHECKING:
    from sandbox.limits import Limits

# What a Unix socket holds in one direction by default; full pipes must be met in tests.
PIPE_SIZE = 208 << 10
# A state as statewords.py reads it: version, no name yet, in the entry `_start`, so many pages, bytes of frames. One
# frame of site 0 follows, then what was not read.
_STATE = struct.Struct("<I32sBI6sII")
_WORLD = struct.Struct("<HBB4Q4I")  # sandbox/STATE.md: the head, and of Gate's inbox its numbers


class EndOfInput(Exception):
    """The host closed the connection."""


class Pipe:
    """One direction.

    `closed` by the writer: the reader gets the rest, then b"". Broken by the reader: the writer is told.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.closed = self.broken = False
        self._changed = trio.lowlevel.ParkingLot()

    def write(self, data: Buffer) -> int:
        if self.broken or self.closed:
            raise BrokenPipeError
        room = PIPE_SIZE - len(self.data)
        if room <= 0:
            raise BlockingIOError
        self.data += data[:room]
        self.wake()
        return min(room, len(data))

    def read_into(self, buffer: memoryview) -> int:
        if not self.data:
            if self.closed or self.broken:
                return 0
            raise BlockingIOError
        count = min(len(buffer), len(self.data))
        buffer[:count] = self.data[:count]
        del self.data[:count]
        self.wake()
        return count

    def wake(self) -> None:
        self._changed.unpark_all()

    async def readable(self) -> None:
        while not self.data and not self.closed and not self.broken:
            await self._changed.park()

    async def holds(self, count: int) -> None:
        """Until there are so many bytes. Raises EndOfInput."""
        while len(self.data) < count:
            if self.closed or self.broken:
                raise EndOfInput
            await self._changed.park()

    async def writable(self) -> None:
        while len(self.data) >= PIPE_SIZE and not self.closed and not self.broken:
            await self._changed.park()


class FakeTransport:
    """Implements backend.Transport in memory: the host's end."""

    def __init__(self) -> None:
        self.to_guest, self.to_host = Pipe(), Pipe()

    def recv_into(self, buffer: memoryview) -> int:
        return self.to_host.read_into(buffer)

    def send(self, data: Buffer) -> int:
        return self.to_guest.write(data)

    def fileno(self) -> int:
        return -1

    async def wait_readable(self) -> None:
        await trio.lowlevel.checkpoint()  # as waiting for a socket does, also when there is something
        await self.to_host.readable()

    async def wait_writable(self) -> None:
        await self.to_guest.writable()

    def close(self) -> None:
        self.to_host.broken = True
        self.to_host.wake()
        self.end_input()

    def end_input(self) -> None:
        self.to_guest.closed = True
        self.to_guest.wake()


class FakeGuest:
    """What a fake program sees. `memory`: what a stop keeps of it, filled up to whole pages with zeros. `lifecycle`:
    how it came here. While it is parked, every receive and send waits.
    """

    def __init__(self, transport: FakeTransport, limits: Limits) -> None:
        self._transport = transport
        self._unsent = b""
        self.running = trio.Event()
        self.running.set()
        self.limits = limits
        self.arguments: list[str] = []
        self.environment: dict[str, str] = {}
        self.function: str | None = None
        self.tree = Tree()
        self.instance = b""
        self.wants_tree = self.kept = False
        self.lifecycle = Lifecycle.STARTED
        self.memory = bytearray()
        self._restore = b""
        self._unread: list[bytes] = []

    @property
    def resumed(self) -> bool:
        """It goes on from a state."""
        return bool(self._restore)

    async def receive(self) -> Packet:
        """The next packet from the host. Raises EndOfInput. Cancelled, it has taken nothing."""
        await self.running.wait()
        if self._unread:
            await trio.lowlevel.checkpoint()
            return _packet(self._unread.pop(0))
        return _packet(await self._next())

    async def _next(self) -> bytes:
        pipe = self._transport.to_guest
        await pipe.holds(HEADER_SIZE)
        size = padded(HEADER.unpack_from(pipe.data)[0])
        await pipe.holds(size)
        whole = bytearray(size)
        pipe.read_into(memoryview(whole))
        return bytes(whole)

    async def send(self, data: Buffer) -> None:
        """Raw bytes: also those that are no packet. What a stop finds unsent is sent all the same."""
        rest = memoryview(data)
        try:
            await self.running.wait()
            while rest:
                await self._transport.to_host.writable()
                rest = rest[self._transport.to_host.write(rest) :]
        except trio.Cancelled:
            self._unsent = bytes(rest)
            raise
        await trio.lowlevel.checkpoint()

    async def log(self, data: bytes, stream: int = 2) -> None:
        await self.send(encode(CODE_CONTROL, CALL, bytes([stream]) + data, LOG))

    async def read_setup(self) -> None:
        collector = TreeCollector(self.limits.files, self.limits.nodes)
        while (packet := _packet(await self._next())).place != GO:
            self._setup(packet, collector)
        self.tree = collector.tree_untrusted()
        if self._restore:
            (guide,) = struct.unpack_from("<I", self._restore)
            state = self._restore[4 + guide :]
            frames = look_untrusted(state).frames
            self._unread = _packets(state[frames.stop :]) if frames else []

    async def stopped(self) -> bytes:
        """The host has asked for a stop: the state, once everything that the host says before it was read."""
        await self.send(self._unsent)
        while not _is_suspend(whole := await self._next()):
            self._unread.append(whole)
        return _STATE.pack(*self._head(), 4) + bytes(4) + b"".join(self._unread)

    def halted(self) -> bytes:
        """The state of one that came to its end: without frames, globals, tables, segments and further memories, and
        with a world of Gate's whose inbox is empty: what sandbox.stateworld has to find its way through.
        """
        world = _WORLD.pack(1, 1, 0, *bytes(4), *bytes(4))
        return _STATE.pack(*self._head(), 0) + bytes(6 * 4) + struct.pack("<I", len(world)) + world

    def _head(self) -> tuple[int, bytes, int, int, bytes, int]:
        return 1, bytes(32), 2, 6, b"_start", -(-len(self.memory) // PAGE)

    def _setup(self, packet: Packet, collector: TreeCollector) -> None:
        text = packet.content
        if packet.place == BEGIN:
            _version, flags, *_limits, self.instance = BEGIN_LAYOUT.unpack(text)
            self.wants_tree, self.kept = bool(flags & FLAG_FILES), bool(flags & FLAG_KEEP)
            self.lifecycle = lifecycle_of(flags)
            assert (self.lifecycle is Lifecycle.STARTED) is not bool(flags & FLAG_RESUMED)
        elif packet.place == ARGUMENT:
            self.arguments.append(text.decode("utf-8", "surrogateescape"))
        elif packet.place == ENVIRONMENT:
            name, _, value = text.decode("utf-8", "surrogateescape").partition("=")
            self.environment[name] = value
        elif packet.place == FUNCTION:
            self.function = text.decode()
        elif packet.place == RESTORE:
            self._restore += text
        elif packet.place in (NODE, CONTENT):
            part = decode_untrusted(encode(packet.code, packet.domain, text, packet.place))
            assert isinstance(part, LeftNode | LeftContent)
            collector.add_untrusted(part)


def _packet(whole: bytes) -> Packet:
    size, code, domain, index = HEADER.unpack_from(whole)
    return Packet(code, domain, whole[HEADER_SIZE:size], index)


def _is_suspend(whole: bytes) -> bool:
    packet = _packet(whole)
    return packet.code == CODE_CONTROL and packet.place == SUSPEND


def _packets(data: bytes) -> list[bytes]:
    packets, at = [], 0
    while at < len(data):
        end = at + padded(HEADER.unpack_from(data, at)[0])
        packets.append(data[at:end])
        at = end
    return packets
