"""The end of an instance that has no process; a wire.

Where it stands: behind `kill`, in front of the store. In: an instance that is stored. Out: whoever waits for its end
hears of it, once it is on record: it cannot come back when the host crashes just then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from gatebus.host.lives.lifetable import Life
from sandbox.outcome import Cause, killed

if TYPE_CHECKING:
    from gatebus.host.hostparts import HostParts
    from gatebus.host.instances import Instance


async def end_stored(parts: HostParts, instance: Instance) -> None:
    """One that has gone on meanwhile ends in its own task."""
    if await parts.lives.keeping.ended(instance, Life.STORED):
        with parts.turn:
            instance.outcome = killed(Cause.KILLED)
            instance.over(trio.current_time())
