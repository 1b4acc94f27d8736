"""Words: the state of a program under Gate's rules, and its end of the packet stream.

A Gate program writes packets itself, as bytes. `PacketGuard` watches the boundaries of what it writes: a header
with a size that no packet has, or with a code that is reserved, ends the program before these bytes leave. LOG
packets of ours may only stand between the guest's packets, so they wait in a bounded buffer while it is in the
middle of one or the socket is full; what does not fit is dropped and counted. The log never makes the guest wait:
in Gate it is a channel of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.packets import CODE_DISCOVERY, HEADER, HEADER_SIZE, PACKET_MAX, padded
from sandbox.portable.debug_log import PIECE, log_packet
from sandbox.portable.guest_errno import GuestEnd

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.portable.debug_log import DebugLog
    from sandbox.portable.guest_memory import GuestMemory
    from sandbox.portable.guest_time import GuestClock
    from sandbox.portable.packet_pipe import PacketPipe

PACKET_FD = 4
SEED = 16  # bytes of randomness in one run; more is a deficiency
# Two full pieces of log, so that one call of the guest always fits when nothing waits.
WAITING = 2 * PIECE + 4096
KNOWN_HEADERS = 1024  # a hundred bytes each
STATUS_DEFICIENCY, STATUS_VIOLATION = 47, 48


class PacketGuard:
    """Where in its packets the program's output stands."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0  # bytes of the present packet, padding included, after its header
        # headers that were found good, and the bytes behind them: a program sends few different ones
        self._known: dict[bytes, int] = {}

    @property
    def between_packets(self) -> bool:
        return not self._header and self._left == 0

    def after_untrusted(self, data: bytes) -> tuple[bytes, int]:
        """The state when these bytes are sent next. Raises GuestEnd at a header that no program may write."""
        header, left, at, end = self._header, self._left, 0, len(data)
        while at < end:
            if left:
                step = min(left, end - at)
                at, left = at + step, left - step
                continue
            piece = data[at : at + HEADER_SIZE - len(header)]
            header, at = header + piece, at + len(piece)
            if len(header) == HEADER_SIZE:
                left = self._rest_of_packet(header)
                header = b""
        return header, left

    def move(self, state: tuple[bytes, int]) -> None:
        """They were sent."""
        self._header, self._left = state

    def _rest_of_packet(self, header: bytes) -> int:
        rest = self._known.get(header)
        if rest is None:
            rest = _rest_of_packet_untrusted(header)
            if len(self._known) >= KNOWN_HEADERS:
                self._known.clear()
            self._known[header] = rest
        return rest


def _rest_of_packet_untrusted(header: bytes) -> int:
    size, code, _domain, _index = HEADER.unpack(header)
    if not HEADER_SIZE <= size <= PACKET_MAX:
        raise GuestEnd(STATUS_VIOLATION, text="packet size is outside 8..65536")
    if code < CODE_DISCOVERY:
        raise GuestEnd(STATUS_VIOLATION, text="packet code is reserved")
    return padded(size) - HEADER_SIZE


@dataclass(slots=True)
class GateWorld:
    """What a Gate program can reach, and what it has used up of it."""

    memory: GuestMemory
    pipe: PacketPipe
    log: DebugLog
    clock: GuestClock
    random: Callable[[int], bytes]
    guard: PacketGuard = field(default_factory=PacketGuard)
    seed_left: int = SEED
    started_unread: bool = True
    # what the host sent behind GO, before the program's first read
    received: bytearray = field(default_factory=bytearray)
    # LOG packets on their way out; the first may be half gone
    waiting: bytearray = field(default_factory=bytearray)

    def read_now(self, limit: int) -> bytes:
        """Bytes of the packet stream; b"" = none now."""
        if self.received:
            taken = bytes(self.received[:limit])
            del self.received[:limit]
            return taken
        return self.pipe.receive(limit)

    def write_now(self, data: bytes) -> int:
        """How many bytes the kernel took. Raises GuestEnd when they are no packets."""
        if not data or not self.flush():
            return 0
        after = self.guard.after_untrusted(data)
        done = self.pipe.send(data)
        # a part of good bytes is good
        self.guard.move(after if done == len(data) else self.guard.after_untrusted(data[:done]))
        return done

    def log_later(self, stream: int, data: bytes) -> None:
        for piece in self.log.admit(data):
            packet = log_packet(stream, piece)
            if len(self.waiting) + len(packet) > WAITING:
                self.log.dropped += len(piece)
                continue
            self.waiting += packet
            self.flush()

    def flush(self) -> bool:
        """Send what waits of the log, if it may go now. False: the guest's own bytes must wait for it."""
        while self.guard.between_packets and self.waiting:
            done = self.pipe.send(bytes(self.waiting))
            if done == 0:
                return False
            del self.waiting[:done]
        return True

    def wait(self, *, readable: bool, writable: bool, until: int | None) -> tuple[bool, bool]:
        """Once; may come back early with nothing. What waits of the log goes out on the way."""
        free = self.flush()
        here = readable and bool(self.received)
        if here:
            until = self.pipe.clock()
        can_read, can_write = self.pipe.wait(readable=readable, writable=writable or not free, until=until)
        if not free and can_write:
            free = self.flush()
        return here or (readable and can_read), writable and can_write and free
