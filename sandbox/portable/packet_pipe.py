"""Words: the packets of PROTOCOL.md section C, as the child of the portable back-end speaks them.

Bytes to and from the host go through a `PacketPipe` (portable_channel.py is the real one, the tests have a fake).
Whatever a packet starts it finishes: `PacketWriter.send` returns only when the whole packet is with the kernel, so
that two senders (data, flow, log) can never mix their bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sandbox.control import SUSPEND
from sandbox.packets import CALL, CODE_CONTROL, HEADER, HEADER_SIZE, PACKET_MAX, padded
from sandbox.portable.guest_errno import GuestEnd

if TYPE_CHECKING:
    from collections.abc import Callable

DOMAIN_MASK = 15

STATUS_ORPHANED = 75
STATUS_BAD_SETUP = 74
STATUS_INTERNAL = 70


def not_understood() -> GuestEnd:
    """The host is ours: it never sends this."""
    return GuestEnd(STATUS_INTERNAL, text="the host sent a packet that the runtime does not understand")


def is_suspend_untrusted(size: int, code: int, domain: int, index: int) -> bool:
    """Is this header the host's word to stop? Any other control packet is none that comes after GO."""
    if code != CODE_CONTROL:
        return False
    if (size, domain & DOMAIN_MASK, index) != (HEADER_SIZE, CALL, SUSPEND):
        raise not_understood()
    return True


class PacketPipe(Protocol):
    """The byte stream to the host. No call blocks but `wait`."""

    def send(self, data: bytes | memoryview) -> int:
        """How many bytes the kernel took, maybe 0."""

    def receive(self, limit: int) -> bytes:
        """What is there; b"" = nothing now. Raises GuestEnd(STATUS_ORPHANED) once the host has closed."""

    def wait(self, *, readable: bool, writable: bool, until: int | None) -> tuple[bool, bool]:
        """Until one is true or the clock (nanoseconds, `clock`) passes `until`. Raises GuestEnd at the wall-time
        limit.
        """

    def clock(self) -> int:
        """Nanoseconds, never backwards, of unstated origin."""


@dataclass(frozen=True, slots=True)
class Packet:
    code: int
    domain: int
    index: int
    content: bytes


class PacketReader:
    """Cuts the stream of the host into packets. The host is ours: anything malformed ends the program as a bug."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next_packet(self) -> Packet | None:
        if len(self._buffer) < HEADER_SIZE:
            return None
        size, code, domain, index = HEADER.unpack_from(self._buffer)
        if not HEADER_SIZE <= size <= PACKET_MAX:
            raise GuestEnd(STATUS_BAD_SETUP, text="packet size of the host out of range")
        whole = padded(size)
        if len(self._buffer) < whole:
            return None
        content = bytes(self._buffer[HEADER_SIZE:size])
        del self._buffer[:whole]
        return Packet(code, domain & DOMAIN_MASK, index, content)

    def rest(self) -> bytes:
        """Bytes that are not yet a packet; the reader is empty after this."""
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken


class PacketWriter:
    """Whole packets into the pipe."""

    def __init__(self, pipe: PacketPipe) -> None:
        self._pipe = pipe
        # called when bytes have come in while a write waits for room: two sides that both write cannot stop each other
        self.meanwhile: Callable[[], None] | None = None
        # True for good after an end in the middle of a packet: nothing that is sent then would be understood
        self.broken = False

    def send(self, packet: bytes) -> None:
        view = memoryview(packet)
        while view:
            taken = self._pipe.send(view)
            view = view[taken:]
            self.broken = 0 < len(view) < len(packet)
            if view:
                self._wait()

    def _wait(self) -> None:
        readable, _ = self._pipe.wait(readable=self.meanwhile is not None, writable=True, until=None)
        if readable and self.meanwhile is not None:
            self.meanwhile()
