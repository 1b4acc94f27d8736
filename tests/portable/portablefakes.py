"""What the tests of the portable back-end's words stand on: a guest memory of plain bytes, a pipe that is two
lists, a clock by hand.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from sandbox.packets import CODE_CONTROL, Framer, Packet, split_untrusted
from sandbox.portable.debug_log import DebugLog
from sandbox.portable.descriptor_table import DescriptorTable
from sandbox.portable.file_nodes import Quota
from sandbox.portable.gate_world import GateWorld
from sandbox.portable.guest_calls import bind
from sandbox.portable.guest_errno import GuestEnd
from sandbox.portable.guest_memory import GuestMemory
from sandbox.portable.guest_time import GuestClock, gate_tick
from sandbox.portable.import_table import Personality, find_function_untrusted
from sandbox.portable.memory_files import MemoryFiles
from sandbox.portable.origin_stream import OriginStream
from sandbox.portable.packet_pipe import STATUS_ORPHANED, PacketReader, PacketWriter
from sandbox.portable.wasi_layout import PREVIEW1, Layout
from sandbox.portable.wasi_world import WasiWorld

MILLISECOND = 1_000_000
NOW = 1_700_000_000_000_000_000
PAGE = 65536


class StuckForever(Exception):  # noqa: N818 - an answer, not an error
    """The program waits for what will never come: in a test that is an answer."""


@dataclass
class FakePipe:
    """`incoming`: what the host still sends, piece by piece. `room`: bytes the kernel still takes. Waiting moves
    the clock.
    """

    incoming: list[bytes] = field(default_factory=list)
    sent: bytearray = field(default_factory=bytearray)
    room: int = 1 << 30
    now: int = 5_000_000_000
    waits: list[tuple[bool, bool, int | None]] = field(default_factory=list)
    later: list[bytes] = field(default_factory=list)
    gone: bool = False

    def send(self, data: bytes | memoryview) -> int:
        if self.gone:
            raise GuestEnd(STATUS_ORPHANED)
        taken = min(self.room, len(data))
        self.room -= taken
        self.sent += data[:taken]
        return taken

    def receive(self, limit: int) -> bytes:
        if not self.incoming:
            if self.gone:
                raise GuestEnd(STATUS_ORPHANED)
            return b""
        piece, rest = self.incoming[0][:limit], self.incoming[0][limit:]
        self.incoming[:1] = [rest] if rest else []
        return piece

    def clock(self) -> int:
        return self.now

    def wait(self, *, readable: bool, writable: bool, until: int | None) -> tuple[bool, bool]:
        self.waits.append((readable, writable, until))
        if readable and not self.incoming and self.later:
            self.incoming.append(self.later.pop(0))
        ready = readable and bool(self.incoming or self.gone), writable and self.room > 0
        if any(ready):
            return ready
        if until is None:
            raise StuckForever
        self.now = max(self.now, until)
        return False, False

    def packets(self) -> list[Packet]:
        """What the program sent to services, whole packets."""
        return list(split_untrusted(Framer().receive(bytes(self.sent))[0]))

    def controls(self) -> list[tuple[int, bytes]]:
        """Control packets: (kind, content)."""
        return [control(raw) for raw in Framer().receive(bytes(self.sent))[1]]


def control(raw: bytes) -> tuple[int, bytes]:
    size, code, _, kind = struct.unpack_from("<IhBB", raw)
    assert code == CODE_CONTROL
    return kind, raw[8:size]


class Caller:
    """Calls imports by name, as a guest would, and puts things into its memory."""

    def __init__(self, personality: Personality, world: WasiWorld | GateWorld, memory: bytearray, module: str) -> None:
        self._personality, self.world, self.bytes, self._module = personality, world, memory, module
        self._free = 1024

    def __call__(self, name: str, *arguments: int) -> int | None:
        function = find_function_untrusted(self._personality, self._module, name)
        assert function is not None, name
        return bind(function, self.world, self._personality)(*arguments)

    def put(self, data: bytes) -> int:
        """The address of a copy of these bytes in guest memory, eight-byte aligned."""
        at = self._free
        self.bytes[at : at + len(data)] = data
        self._free += (len(data) + 15) & ~7
        return at

    def room(self, size: int) -> int:
        return self.put(bytes(size))

    def u32(self, at: int) -> int:
        return int.from_bytes(self.bytes[at : at + 4], "little")

    def u64(self, at: int) -> int:
        return int.from_bytes(self.bytes[at : at + 8], "little")

    def vectors(self, *parts: bytes) -> tuple[int, int]:
        pairs = [(self.put(part), len(part)) for part in parts]
        return self.put(b"".join(struct.pack("<II", *pair) for pair in pairs)), len(pairs)


def make_files(bytes_limit: int = 1 << 20, names: int = 1000, opened: int = 1024) -> MemoryFiles:
    return MemoryFiles(Quota(bytes_limit, names, opened), NOW)


def wasi_caller(
    pipe: FakePipe | None = None,
    *,
    files: MemoryFiles | None = None,
    arguments: tuple[bytes, ...] = (),
    environment: tuple[bytes, ...] = (),
    credit: int = 65536,
    log_limit: int = 1000,
    layout: Layout = PREVIEW1,
    module: str = "wasi_snapshot_preview1",
) -> tuple[Caller, FakePipe]:
    pipe = pipe or FakePipe()
    memory = bytearray(4 * PAGE)
    files = files or make_files()
    writer = PacketWriter(pipe)
    world = WasiWorld(
        memory=GuestMemory(lambda: memoryview(memory)),
        layout=layout,
        files=files,
        table=DescriptorTable(files),
        arguments=arguments,
        environment=environment,
        clock=GuestClock(10 * MILLISECOND, False, lambda: NOW + 123, lambda: pipe.now, pipe.now),
        random=lambda count: bytes(range(7, 7 + count)) if count < 200 else b"r" * count,
        origin=OriginStream(pipe, PacketReader(), writer, credit),
        log=DebugLog(wanted=True, limit=log_limit),
        pipe=pipe,
    )
    return Caller("wasi", world, memory, module), pipe


def gate_caller(
    pipe: FakePipe | None = None, *, resolution: int = 10 * MILLISECOND, log: bool = True
) -> tuple[Caller, FakePipe]:
    pipe = pipe or FakePipe()
    memory = bytearray(4 * PAGE)
    clock = GuestClock(gate_tick(resolution), True, lambda: NOW + 123_456_789, lambda: pipe.now, pipe.now)
    debug = DebugLog(wanted=log, limit=1000)
    world = GateWorld(GuestMemory(lambda: memoryview(memory)), pipe, debug, clock, lambda count: b"r" * count)
    return Caller("gate", world, memory, "wasi_snapshot_preview1"), pipe
