"""Words: the world of a stopped Gate program as bytes and back (STATE.md; Rust: gatebus-abi, gate_state.rs).

Not in it: the seed of randomness, which is fresh after each resume and whole again, as Gate has it (clones of one state
must not share secrets); and the flag that tells the guest, once, that it was resumed.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from sandbox.portable.gate_inbox import GateInbox
from sandbox.portable.gate_outbox import GateOutbox
from sandbox.portable.gate_world import SEED
from sandbox.portable.guest_errno import GuestEnd
from sandbox.portable.saved_world import GATE, BadWorld, FieldReader, restore_head_untrusted, save_head

if TYPE_CHECKING:
    from sandbox.portable.gate_world import GateWorld

# u32 begun, u32 length of unread, u32 length of unfinished, u32 0
SIZES_LAYOUT = Struct("<IIII")


def save_gate(world: GateWorld) -> bytes:
    """After `world.drain_until_suspend`."""
    unread, unfinished = bytes(world.inbox.unread), bytes(world.outbox.unfinished)
    sizes = SIZES_LAYOUT.pack(world.inbox.begun, len(unread), len(unfinished), 0)
    return save_head(GATE, world.clock, world.stopped, world.log) + sizes + unread + unfinished


def restore_gate_untrusted(world: GateWorld, state: bytes) -> None:
    """A fresh world, with the limits and the clock of whoever goes on, becomes the one that `save_gate` wrote. What has
    come since stays behind what was unread. Raises BadWorld.
    """
    fields = FieldReader(state)
    world.clock, world.stopped = restore_head_untrusted(fields, GATE, world.clock, world.log)
    begun, unread, unfinished, zero = fields.unpack(SIZES_LAYOUT)
    if zero:
        raise BadWorld("reserved field is not zero")
    inbox, outbox, later = GateInbox(world.pipe), GateOutbox(world.pipe), bytes(world.inbox.unread)
    if not _is_restored(inbox, begun, fields.take(unread)):
        raise BadWorld("input that is not packets")
    if not outbox.restore_untrusted(fields.take(unfinished)):
        raise BadWorld("output that does not begin a packet")
    fields.end()
    inbox.push(later)
    inbox.asked_to_stop = world.inbox.asked_to_stop  # the word itself is not among its bytes
    world.inbox, world.outbox = inbox, outbox
    world.seed_left, world.started_unread = SEED, True


def _is_restored(inbox: GateInbox, begun: int, unread: bytes) -> bool:
    try:
        return inbox.restore_untrusted(begun, unread)
    except GuestEnd:
        return False
