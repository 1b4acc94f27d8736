"""Copies of one program on record, all at once; a wire.

In:  what their original had left, instances that went on from it. Out: it is in the store, once for all of them, and
each one's record points to it: a crash of the host goes back to there. One write and two transactions, however many.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from gatebus.host.lives.keeping import is_recorded
from gatebus.host.lives.lifetable import Life
from gatebus.host.lives.live import live_of
from gatebus.host.lives.recordsof import record_of
from gatebus.snapshots.savedwords import CLONE, RUNNING, STORED, Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gatebus.host.instances import Instance
    from gatebus.host.lives.keeping import Keeping
    from gatebus.host.lives.remains import Leftover


async def keep_copies(keeping: Keeping, original: Instance, left: Leftover, copies: Sequence[Instance]) -> None:
    """Those of which something newer is stored, or nothing is to be, stay as they are. Raises GatebusError."""
    copies = [each for each in copies if is_recorded(each)]
    if not keeping.keeps or not copies:
        return
    if left.saved.id is None:
        await keeping.save(original, left, CLONE)
    async with AsyncExitStack() as stack:
        for each in copies:
            await stack.enter_async_context(keeping.alone(each))
        await _put(keeping, [each for each in copies if _goes_on_from(each, left)], left)


async def _put(keeping: Keeping, copies: list[Instance], left: Leftover) -> None:
    changes = [_change(each, left) for each in copies]
    for each, put in zip(copies, await keeping.store.records.put_all(changes), strict=True):
        live = live_of(each)
        if put is not None:
            live.snapshot, live.revision, live.runs = put.snapshot, put.revision, put.state == RUNNING
        if each.ended_at is not None:  # meanwhile
            keeping.over(each)


def _change(instance: Instance, left: Leftover) -> Change:
    """One that could not begin rests."""
    live = live_of(instance)
    state = STORED if live.life is Life.STORED and live.failure is not None else RUNNING
    return Change(replace(record_of(instance, state, left), snapshot=left.saved.id), live.revision)


def _goes_on_from(instance: Instance, left: Leftover) -> bool:
    live = live_of(instance)
    return live.life is not Life.ENDED and live.snapshot in (None, left.saved.id)
