"""An instance out of another that was refused is not made; a wire.

Where it stands: behind restore and clone, when what they have made cannot run, or cannot be kept as it was to be. In:
an instance that nobody was told of, and why. Out: there is none: not in a list, not on record, not at work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from gatebus.host.lives.lifetable import Life
from gatebus.host.lives.live import live_of
from gatebus.host.statuses import error_map

if TYPE_CHECKING:
    from gatebus.host.hostparts import HostParts
    from gatebus.host.instances import Instance
    from gatebus.host.refusals import Refusal


async def unmade(parts: HostParts, instance: Instance, why: Refusal) -> None:
    """One that has ended meanwhile stays what it is. What it was to go on from stays, too: it is another's."""
    if _is_over(instance):
        return
    instance.refusal = error_map(why.code, why.text)  # so nobody remembers it
    if await parts.lives.keeping.ended(instance, Life.STORED):
        live_of(instance).snapshot = None
        parts.lives.peers.over(instance)
        with parts.turn:
            instance.over(trio.current_time())
        return
    if _is_over(instance):  # meanwhile
        return
    over = trio.Event()
    instance.on_end[lambda _instance: over.set()] = None
    instance.kill()
    await over.wait()


def _is_over(instance: Instance) -> bool:
    return instance.ended_at is not None
