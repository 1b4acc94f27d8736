"""Words: the state of a program under Gate's rules, and its end of the packet stream.

A Gate program writes packets itself, as bytes. `PacketGuard` watches the boundaries of what it writes: a header
with a size that no packet has, or with the code of control packets, ends the program before these bytes leave
(PROTOCOL.md section C).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.packets import CODE_CONTROL, HEADER, HEADER_SIZE, PACKET_MAX, padded
from sandbox.portable.guest_errno import GuestEnd
from sandbox.portable.wasi_world import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.portable.debug_log import DebugLog
    from sandbox.portable.guest_memory import GuestMemory
    from sandbox.portable.packet_pipe import PacketPipe

PACKET_FD = 4
RANDOM_POOL = 16  # Gate's: a seed, not a source
STATUS_DEFICIENCY, STATUS_VIOLATION = 47, 48


class PacketGuard:
    """Where in its packets the program's output stands."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0  # bytes of the present packet, padding included, after its header

    @property
    def between_packets(self) -> bool:
        return not self._header and self._left == 0

    def check_untrusted(self, data: bytes) -> None:
        """Raises GuestEnd when these bytes, sent next, would complete a header that no program may write."""
        self._scan(data)

    def advance(self, data: bytes) -> None:
        """These bytes were sent."""
        self._header, self._left = self._scan(data)

    def _scan(self, data: bytes) -> tuple[bytes, int]:
        header, left, at = self._header, self._left, 0
        while at < len(data):
            if left:
                step = min(left, len(data) - at)
                at, left = at + step, left - step
                continue
            piece = data[at : at + HEADER_SIZE - len(header)]
            header, at = header + piece, at + len(piece)
            if len(header) == HEADER_SIZE:
                header, left = b"", _rest_of_packet(header)
        return header, left


def _rest_of_packet(header: bytes) -> int:
    size, code, _domain, _index = HEADER.unpack(header)
    if not HEADER_SIZE <= size <= PACKET_MAX:
        raise GuestEnd(STATUS_VIOLATION, text=f"packet of {size} bytes; {HEADER_SIZE} to {PACKET_MAX} are allowed")
    if code == CODE_CONTROL:
        raise GuestEnd(STATUS_VIOLATION, text="packet with the code of control packets")
    return padded(size) - HEADER_SIZE


@dataclass(frozen=True, slots=True)
class GateClock:
    """Gate's time: the part below a second is cut to multiples of a power of two above the resolution asked for."""

    unit: int
    realtime_source: Callable[[], int]
    monotonic_source: Callable[[], int]
    started: int

    @property
    def resolution(self) -> int:
        return min(self.unit, SECOND)

    def realtime(self) -> int:
        return self._cut(self.realtime_source())

    def monotonic(self) -> int:
        """Never below one second, so never 0."""
        return self._cut(self.monotonic_source() - self.started + SECOND)

    def _cut(self, value: int) -> int:
        fraction = value % SECOND
        return value - fraction + (fraction & ~(self.unit - 1))


def gate_unit(resolution: int) -> int:
    """1 us -> 1024 ns, 10 ms -> 16777216 ns, 1 s -> 2**30 (reported as one second)."""
    unit: int = 1 << min(max(resolution, 1), SECOND).bit_length()
    return unit


@dataclass(slots=True)
class GateWorld:
    """What a Gate program can reach, and what it has used up of it."""

    memory: GuestMemory
    pipe: PacketPipe
    log: DebugLog
    clock: GateClock
    random: Callable[[int], bytes]
    guard: PacketGuard = field(default_factory=PacketGuard)
    random_left: int = RANDOM_POOL
    started_unread: bool = True
    # what the host sent behind GO, before the program's first read
    received: bytearray = field(default_factory=bytearray)

    def read_now(self, limit: int) -> bytes:
        """Bytes of the packet stream; b"" = none now."""
        if self.received:
            taken = bytes(self.received[:limit])
            del self.received[:limit]
            return taken
        return self.pipe.receive(limit) if limit else b""

    def write_now(self, data: bytes) -> int:
        self.guard.check_untrusted(data)
        done = self.pipe.send(data) if data else 0
        self.guard.advance(data[:done])
        return done

    def wait(self, *, readable: bool, writable: bool, until: int | None) -> tuple[bool, bool]:
        if self.received and readable:
            return True, False
        return self.pipe.wait(readable=readable, writable=writable, until=until)
