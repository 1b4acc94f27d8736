"""Words: what the host sends to a Gate program, which reads bytes, not packets.

The bytes pass as they are, but each header is looked at before any byte of it passes: the host's word to stop stands in
the same stream and is not the guest's. So a header passes whole or not yet, and what cannot pass yet waits here. The
host is ours: what it never sends ends the program as a bug. Same rules as the Rust crate `gatebus-abi` (gate_inbox.rs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.packets import HEADER, HEADER_SIZE, PACKET_MAX, padded
from sandbox.portable.packet_pipe import is_suspend_untrusted, not_understood

if TYPE_CHECKING:
    from sandbox.portable.packet_pipe import PacketPipe

# Whatever the guest waits for, its packets are taken in meanwhile, or the word to stop could not come; a few times what
# a socket holds on its way (200 KiB by default) and whatever the largest ones hold.
RECEIVED_MAX = 4 << 20
# Of a program that stops: also what was on its way in front of the word to stop.
SAVED_MAX = 2 * RECEIVED_MAX
READ_SIZE = 65_536


class GateInbox:
    """Packets for the guest. `begun`: bytes that it has not read of the packet that it has begun to read."""

    def __init__(self, pipe: PacketPipe) -> None:
        self._pipe = pipe
        self.unread = bytearray()
        self.begun = 0
        self.asked_to_stop = False
        self._limit = RECEIVED_MAX
        # bytes from the first unread one on whose packets have a header that was looked at; some may be still to come
        self._cleared = 0

    @property
    def available(self) -> int:
        """Bytes that the guest can have now."""
        return min(self._cleared, len(self.unread))

    @property
    def has_room(self) -> bool:
        return len(self.unread) < self._limit

    def look_for_a_stop(self) -> None:
        """Whoever has left the guest takes everything in until the word is there."""
        self._limit = SAVED_MAX

    def push(self, data: bytes) -> None:
        """These bytes have come."""
        if data and self.asked_to_stop:
            raise not_understood()
        self.unread += data
        self._look()

    def restore_untrusted(self, begun: int, unread: bytes) -> bool:
        """What was unread when a program was stopped: `begun` bytes that end a packet, and whole packets. False: it is
        something else.
        """
        self.begun = self._cleared = begun
        self.push(unread)
        whole = self._cleared == len(self.unread) and not self.asked_to_stop
        return whole and begun < PACKET_MAX and len(unread) <= SAVED_MAX

    def fill(self) -> bool:
        """Take in what has come, once, without blocking. False: nothing has."""
        data = self._pipe.receive(min(READ_SIZE, self._limit - len(self.unread)))
        self.push(data)
        return bool(data)

    def read(self, limit: int) -> bytes:
        """What the guest can have; b"" = nothing now."""
        while not self.available and not self.asked_to_stop and self.fill():
            continue
        count = min(limit, self.available)
        data = bytes(self.unread[:count])
        self._consume(count)
        return data

    def _consume(self, count: int) -> None:
        at = 0
        while at < count:
            if not self.begun:
                self.begun = padded(HEADER.unpack_from(self.unread, at)[0])
            step = min(count - at, self.begun)
            self.begun -= step
            at += step
        del self.unread[:count]
        self._cleared -= count

    def _look(self) -> None:
        while len(self.unread) >= self._cleared + HEADER_SIZE:
            size, code, domain, index = HEADER.unpack_from(self.unread, self._cleared)
            if not HEADER_SIZE <= size <= PACKET_MAX:
                raise not_understood()
            if is_suspend_untrusted(size, code, domain, index):
                self.asked_to_stop = True
                if len(self.unread) != self._cleared + HEADER_SIZE:
                    raise not_understood()
                del self.unread[self._cleared :]
                return
            self._cleared += padded(size)
