"""The end of an instance that has no process; a wire.

Where it stands: behind `kill` and `delete`, in front of the store. In: an instance that is stored, or has halted. Out:
whoever waits for its end hears of it, once it is on record: it cannot come back when the host crashes just then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from gatebus.faults import GatebusError
from gatebus.host.lives.forgetting import forget_all
from gatebus.host.lives.lifetable import Life
from gatebus.host.lives.live import live_of
from gatebus.host.refusals import Refusal
from sandbox.outcome import Cause, killed

if TYPE_CHECKING:
    from gatebus.host.hostparts import HostParts
    from gatebus.host.instances import Instance


async def end_stored(parts: HostParts, instance: Instance) -> None:
    """One that has gone on meanwhile ends in its own task. Its clients get what is left, and hear of it."""
    await _rouse(parts, instance)
    if await parts.lives.keeping.ended(instance, Life.STORED):
        with parts.turn:
            instance.outcome = killed(Cause.KILLED)
            instance.over(trio.current_time())


async def delete_ended(parts: HostParts, instance: Instance) -> None:
    """One that has ended, and of which something may be stored. Raises GatebusError: then nothing has changed."""
    live, keeping = live_of(instance), parts.lives.keeping
    if live.undeleted:
        await keeping.unrecord(instance)
        parts.registry.forget(instance)
    elif live.halted is not None:
        await _delete_halted(parts, instance)
    else:
        parts.registry.forget(instance)
    if keeping.keeps:
        try:
            await forget_all(keeping.store, instance)
        except GatebusError as trouble:  # it goes with the collections
            keeping.on_trouble(trouble)


async def _delete_halted(parts: HostParts, instance: Instance) -> None:
    """One whose function has returned, with what it has left."""
    live, keeping = live_of(instance), parts.lives.keeping
    if (halted := live.halted) is None:
        raise Refusal("conflict", "Somebody else has resumed or deleted it meanwhile.")
    live.halted = None  # nobody calls it again
    try:
        await keeping.unrecord(instance)
    except GatebusError:
        live.halted = halted
        raise
    keeping.over(instance)
    parts.registry.forget(instance)


async def _rouse(parts: HostParts, instance: Instance) -> None:
    """Streams that are in the store alone. What cannot be read does not keep it alive."""
    if instance.live is not None and instance.live.asleep:
        try:
            await parts.lives.rouse(instance)
        except GatebusError as fault:
            parts.note("streams-not-found", instance=instance.id, code=fault.code)
