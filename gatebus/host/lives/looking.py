"""What is in a snapshot, and in what two of them differ, for a person; a wire.

In:  a snapshot of the store, its program's bytes. Out: maps of an answer. Frames are named by a compile worker in its
jail, because names are a stranger's. Only what is shown is read: of memories the names of their chunks, and of two the
chunks that have not the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatebus.accountbounds import FRAMES_TOLD, RANGES_TOLD
from sandbox.statewords import look_untrusted

if TYPE_CHECKING:
    from gatebus.host.hostparts import HostParts
    from gatebus.host.statuses import Map
    from gatebus.snapshots.savedwords import SnapshotLine
    from sandbox.suspended import Suspended


async def shown(parts: HostParts, line: SnapshotLine) -> Map:
    """Raises GatebusError, SandboxError."""
    async with parts.lives.loading.shown(line) as found:
        inner = look_untrusted(found.suspended.state)
        _memory, (_, state), *others = found.lengths
        return {
            "snapshot": line.id,
            "module": bytes.fromhex(line.module),
            "frames": await _frames(parts, found.suspended),
            "memory": {"pages": inner.pages, "touched": found.touched},
            "sizes": {"frames": len(inner.frames), "state": state, **dict(others)},
            "about": {name: value for name, value in line.about.items() if name not in ("account", "output", "key")},
        }


async def difference(parts: HostParts, first: SnapshotLine, second: SnapshotLine) -> Map:
    """Raises GatebusError, SandboxError."""
    loading, frames = parts.lives.loading, []
    found = await loading.changes(first, second, RANGES_TOLD)
    for line in (first, second):
        async with loading.shown(line) as each:
            frames.append(await _frames(parts, each.suspended))
    return {
        "changed": found.pages,
        "ranges": [list(each) for each in found.ranges],
        "sizes": [first.size, second.size],
        "frames": frames,
    }


async def _frames(parts: HostParts, suspended: Suspended) -> list[Map]:
    """The innermost ones."""
    program = await parts.programs.bytes_of(suspended.sha256)
    return (await parts.box.frames(suspended, program))[:FRAMES_TOLD]
