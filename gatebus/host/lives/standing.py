"""What is on record of a program that somebody has parked: a host that crashes does not run it; a wire.

Where it stands: behind the operation `suspend` and whatever wakes a program, in front of Keeping. In: an instance. Out:
its record says, a little later, that it stands still; that it goes on is on record before whoever has asked for it is
answered. One that its own policy has parked is none of these: it would be parked again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatebus.faults import GatebusError
from gatebus.host.lives.lifetable import Life
from gatebus.host.lives.live import live_of

if TYPE_CHECKING:
    from gatebus.host.instances import Instance
    from gatebus.host.lives.keeping import Keeping


def parked(keeping: Keeping, instance: Instance) -> None:
    """By somebody, unless it is awake again. Nobody waits for a disk; of which nothing is stored, a crash ends it."""
    live = live_of(instance)
    if live.life is Life.PARKED:
        live.at_rest = True
        if live.revision and live.snapshot is not None:
            keeping.behind(instance)


async def awake(keeping: Keeping, instance: Instance) -> None:
    """It runs. What cannot be written now is written later. That it stands still may be on its way to the disk."""
    live = live_of(instance)
    live.at_rest = False
    if live.revision and (not live.runs or keeping.is_writing(instance)):
        try:
            await keeping.runs_on(instance)
        except GatebusError as trouble:
            keeping.on_trouble(trouble)
            keeping.behind(instance)
