"""Words: the state of a program under Gate's rules: the two directions of its packet stream (gate_inbox.py,
gate_outbox.py), its log between its packets, and its waits.

LOG packets of ours stand between the guest's. They wait in a bounded buffer while the socket is full; what does not fit
is dropped and counted. The log never makes the guest wait: in Gate it is a channel of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.packets import PACKET_MAX
from sandbox.portable.debug_log import PIECE, log_packet
from sandbox.portable.gate_inbox import GateInbox
from sandbox.portable.gate_outbox import GateOutbox
from sandbox.portable.guest_errno import GuestEnd
from sandbox.portable.packet_pipe import STATUS_INTERNAL, STATUS_ORPHANED
from sandbox.portable.saved_world import StoppedWait

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.portable.debug_log import DebugLog
    from sandbox.portable.guest_memory import GuestMemory
    from sandbox.portable.guest_time import GuestClock
    from sandbox.portable.packet_pipe import PacketPipe

PACKET_FD = 4
# Of the flag word of `io`; the next two bits are how it came to run (sandbox/lifecycle.py).
STARTED = 1
SEED = 16  # bytes of randomness in one run; more is a deficiency
# When one more LOG packet is to wait: two full pieces, so that one call of the guest always fits when nothing waits,
# behind what two packets of the guest's may have left.
WAITING = 2 * PIECE + 4096 + 2 * PACKET_MAX
STATUS_DEFICIENCY = 47


@dataclass(slots=True)
class GateWorld:
    """What a Gate program can reach, and what it has used up of it."""

    memory: GuestMemory
    pipe: PacketPipe
    log: DebugLog
    clock: GuestClock
    random: Callable[[int], bytes]
    seed_left: int = SEED
    started_unread: bool = True
    lifecycle: int = 0
    stopped: StoppedWait = field(default_factory=StoppedWait)
    inbox: GateInbox = field(init=False)
    outbox: GateOutbox = field(init=False)

    def __post_init__(self) -> None:
        self.inbox, self.outbox = GateInbox(self.pipe), GateOutbox(self.pipe)

    def log_later(self, stream: int, data: bytes) -> None:
        for piece in self.log.admit(data):
            packet = log_packet(stream, piece)
            if len(self.outbox.ready) + len(packet) > WAITING:
                self.log.dropped += len(piece)
                continue
            self.outbox.ready += packet
            self.outbox.flush()

    def wait(self, *, readable: bool, writable: bool, until: int | None) -> tuple[bool, bool]:
        """Once, not at all when the program is to stop; may come back early with nothing. What waits of the log goes
        out on the way, and packets are taken in, wanted or not.
        """
        free = self.outbox.flush()
        here = readable and self.inbox.available > 0
        if here or self.inbox.asked_to_stop:
            until = self.pipe.clock()
        listens = not here and self.inbox.has_room
        came, can_write = self.pipe.wait(readable=listens, writable=writable or not free, until=until)
        if came and not here:
            # not listening and yet told: there is nobody there any more
            if not listens:
                raise GuestEnd(STATUS_ORPHANED)
            self.inbox.fill()
        if not free and can_write:
            free = self.outbox.flush()
        return readable and self.inbox.available > 0, writable and can_write and free

    def drain_until_suspend(self) -> None:
        """Take in everything that the host says before its word to stop, and send everything that is ready. Blocks."""
        self.inbox.look_for_a_stop()
        while not self.inbox.asked_to_stop:
            if not self.inbox.has_room:
                raise GuestEnd(STATUS_INTERNAL, text="too much input to be saved")
            if not self.inbox.fill():
                self.pipe.wait(readable=True, writable=False, until=None)
        while not self.outbox.flush():
            self.pipe.wait(readable=False, writable=True, until=None)
