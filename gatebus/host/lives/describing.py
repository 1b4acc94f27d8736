"""The policy of an instance in its record, and nothing else of that: so whoever changes how a program lives does not
say anew whether it runs, and from what it goes on; a wire.

In:  an instance with another policy than it had. Out: a host that crashes now finds it with that one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cbor2

from gatebus.host.lives.lifetable import Life
from gatebus.host.lives.live import live_of

if TYPE_CHECKING:
    from gatebus.host.instances import Instance
    from gatebus.host.lives.keeping import Keeping
    from gatebus.snapshots.savedwords import Record


async def described(keeping: Keeping, instance: Instance) -> None:
    """One that has no record yet gets one with its policy soon. Raises GatebusError."""
    async with keeping.alone(instance):
        live = live_of(instance)
        if not live.revision or live.life is Life.ENDED:
            return
        record = await keeping.store.records.get(instance.id)
        if record is not None:
            changed = _with_policy(record, live.policy.told())
            live.revision = (await keeping.store.records.put(changed, live.revision)).revision


def _with_policy(record: Record, policy: dict[str, object]) -> Record:
    """`about` is ours: no other program writes it."""
    return replace(record, about=cbor2.dumps({**cbor2.loads(record.about), "policy": policy}))
