"""Words: what a Gate program writes, on its way to the host: bytes come in, whole packets go out.

The guest may write a packet in pieces of any size; the pieces wait here until the packet is whole. So the stream to the
host never stands in the middle of a packet for longer than the socket is full: LOG packets of ours can go between, and
a program that is stopped keeps its unfinished packet. A guest that forges a control packet ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sandbox.packets import CODE_DISCOVERY, HEADER, HEADER_SIZE, PACKET_MAX, padded
from sandbox.portable.guest_errno import GuestEnd

if TYPE_CHECKING:
    from sandbox.portable.packet_pipe import PacketPipe

KNOWN_HEADERS = 1024  # a hundred bytes each
STATUS_VIOLATION = 48


class Place(NamedTuple):
    """Where in its packets the program's output stands."""

    header: bytes = b""
    left: int = 0  # bytes of the present packet, padding included, after its header
    begun: int = 0  # bytes of it so far


class PacketGuard:
    """Looks at the headers of what the program writes."""

    def __init__(self) -> None:
        self.place = Place()
        # headers that were found good, and the bytes behind them: a program sends few different ones
        self._known: dict[bytes, int] = {}

    def after_untrusted(self, data: bytes) -> Place:
        """The place when these bytes are written next. Raises GuestEnd at a header that no program may write."""
        (header, left, begun), at, end = self.place, 0, len(data)
        while at < end:
            if left:
                step = min(left, end - at)
                at, left, begun = at + step, left - step, begun + step
            else:
                piece = data[at : at + HEADER_SIZE - len(header)]
                header, at, begun = header + piece, at + len(piece), begun + len(piece)
                if len(header) < HEADER_SIZE:
                    break
                left = self._rest_of_packet(header)
                header = b""
            if not left:
                begun = 0
        return Place(header, left, begun)

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


class GateOutbox:
    """Packets of the guest's, and of its log."""

    def __init__(self, pipe: PacketPipe) -> None:
        self._pipe = pipe
        self._guard = PacketGuard()
        # whole packets that have to go out before anything else; the first may be half gone
        self.ready = bytearray()
        # what the guest has written of the packet that it has not finished
        self.unfinished = bytearray()

    def restore_untrusted(self, unfinished: bytes) -> bool:
        """False: these bytes do not begin a packet."""
        try:
            self._guard.place = self._guard.after_untrusted(unfinished)
        except GuestEnd:
            return False
        self.unfinished[:] = unfinished
        return self._guard.place.begun == len(unfinished)

    def write(self, data: bytes) -> int:
        """Takes bytes of the guest's: all of them, or none while the socket is full. Raises GuestEnd when they are no
        packets.
        """
        if not data or not self.flush():
            return 0
        after = self._guard.after_untrusted(data)
        # of a packet that has begun earlier everything is unfinished, not only these bytes
        end = len(data) - min(after.begun, len(data))
        if end and not self._send(bytes(self.unfinished) + data[:end]):
            return 0
        self.unfinished += data[end:]
        self._guard.place = after
        return len(data)

    def _send(self, packets: bytes) -> bool:
        done = self._pipe.send(packets)
        if not done:
            return False
        self.ready += packets[done:]
        self.unfinished.clear()
        self.flush()
        return True

    def flush(self) -> bool:
        """Send what is ready. False: not all of it, and the guest's own bytes have to wait."""
        while self.ready:
            done = self._pipe.send(bytes(self.ready))
            if done == 0:
                return False
            del self.ready[:done]
        return True
