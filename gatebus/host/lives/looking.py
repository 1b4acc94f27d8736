"""What is in a snapshot, and in what two of them differ, for a person; a wire.

In:  a snapshot of the store, its program's bytes. Out: maps of an answer. Frames are named by a compile worker in its
jail, because names are a stranger's; memories are compared in a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatebus.accountbounds import FRAMES_TOLD, RANGES_TOLD
from sandbox.inthread import in_thread
from sandbox.statewords import look_untrusted

if TYPE_CHECKING:
    from gatebus.host.hostparts import HostParts
    from gatebus.host.statuses import Map
    from gatebus.snapshots.savedwords import Memory, SnapshotLine
    from sandbox.suspended import Suspended

PIECE = 4_096


async def shown(parts: HostParts, line: SnapshotLine) -> Map:
    """Raises GatebusError, SandboxError."""
    left = await parts.lives.loading.fetch(line.id, line.account)
    inner = look_untrusted(left.suspended.state)
    touched = sum(length for _, length in left.suspended.memory.data())
    return {
        "snapshot": line.id,
        "module": bytes.fromhex(line.module),
        "frames": await _frames(parts, left.suspended),
        "memory": {"pages": inner.pages, "touched": touched},
        "sizes": {"frames": len(inner.frames), "state": len(left.suspended.state)}
        | {name: len(content) for name, content in left.parts},
        "about": {name: value for name, value in line.about.items() if name not in ("account", "output", "key")},
    }


async def difference(parts: HostParts, first: SnapshotLine, second: SnapshotLine) -> Map:
    """Raises GatebusError, SandboxError."""
    fetch = parts.lives.loading.fetch
    before, after = await fetch(first.id, first.account), await fetch(second.id, second.account)
    one, two = before.suspended, after.suspended
    ranges = await in_thread(changed_ranges, one.memory, two.memory)
    return {
        "changed": sum(length for _, length in ranges) // PIECE,
        "ranges": [list(each) for each in ranges[:RANGES_TOLD]],
        "sizes": [first.size, second.size],
        "frames": [await _frames(parts, one), await _frames(parts, two)],
    }


async def _frames(parts: HostParts, suspended: Suspended) -> list[Map]:
    """The innermost ones."""
    program = await parts.programs.bytes_of(suspended.sha256)
    return (await parts.box.frames(suspended, program))[:FRAMES_TOLD]


def changed_ranges(one: Memory, two: Memory) -> list[tuple[int, int]]:
    """(offset, length) of the pages in which they differ, neighbours joined. What only one of them has differs."""
    found: list[tuple[int, int]] = []
    for at in sorted(_pages(one) | _pages(two)):
        if _page(one, at) != _page(two, at):
            if found and sum(found[-1]) == at:
                found[-1] = (found[-1][0], found[-1][1] + PIECE)
            else:
                found.append((at, PIECE))
    return found


def _pages(memory: Memory) -> set[int]:
    """Of all that may not be zeros."""
    return {page for offset, length in memory.data() for page in range(offset - offset % PIECE, offset + length, PIECE)}


def _page(memory: Memory, at: int) -> bytes:
    return bytes(memory.read(at, PIECE)).ljust(PIECE, b"\0")
