"""Snapshots that an instance goes on from no more; a wire.

Where it stands: behind Keeping, when something newer is stored of an instance, or it has ended. In: the instance, the
id of a snapshot. Out: that is gone, unless somebody may still want it: then it stays, and goes with the collections
(gatebus.snapshots.retention) if nobody does.

Three may want it: a person who has asked for it; another instance whose record points to it (the store refuses then);
and an original that is stored and has no record, because it is transient: its copies began with its snapshot, and know
no more of it than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatebus.faults import GatebusError
from gatebus.snapshots.retention import AUTOMATIC
from gatebus.snapshots.savedwords import CLONE, IMPORTED, SNAPSHOT, WARM

if TYPE_CHECKING:
    from gatebus.host.instances import Instance
    from gatebus.snapshots.savedwords import SnapshotLine
    from gatebus.snapshots.snapshotstore import SnapshotStore

# Another one goes on from it; or it is gone already: its person, a collection or a copy of the same origin was first.
_NEEDLESS = frozenset({"conflict", "not-found"})


async def forget(store: SnapshotStore, instance: Instance, snapshot: bytes) -> None:
    """Raises GatebusError."""
    account = instance.order.principal.account
    try:
        line = await store.line(snapshot, account)
        if line.kind not in (SNAPSHOT, WARM) and not await _is_another_s(store, instance, line):
            await store.drop(account, snapshot)
    except GatebusError as trouble:
        if trouble.code not in _NEEDLESS:
            raise


async def forget_all(store: SnapshotStore, instance: Instance) -> None:
    """Of one that somebody has removed: all that nobody has asked for. Raises GatebusError."""
    for line in await store.list(instance.order.principal.account):
        if line.instance == instance.id and line.kind in AUTOMATIC and not line.about.get(IMPORTED):
            await forget(store, instance, line.id)


async def _is_another_s(store: SnapshotStore, instance: Instance, line: SnapshotLine) -> bool:
    """... who may have nothing else, and no record that would keep it. What was stored for copies is theirs."""
    mine = line.kind == CLONE or line.instance == instance.id
    return not mine and await store.records.get(line.instance) is None
