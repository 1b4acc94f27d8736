"""What a snapshot and the record of an instance say, from which a host that crashed finds it again; words.

In:  an instance, what it has left when that is stored just now. Out: the record. It says itself what its snapshot may
     say differently: that has tags of its own, or is another instance's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cbor2

from gatebus.host.lives.remains import SavedAs, limits_map, usage_told
from gatebus.host.lives.streamwords import streams_untrusted
from gatebus.snapshots.savedwords import RUNNING, STORED, Record
from sandbox.limits import STATE_MAX
from sandbox.outcome import Cause

if TYPE_CHECKING:
    from gatebus.host.instances import Instance
    from gatebus.host.lives.live import Live
    from gatebus.host.lives.remains import Leftover


def about_of(instance: Instance, left: Leftover, kind: str, taken: int) -> dict[str, object]:
    """What a snapshot says of its instance. `taken`: milliseconds since 1970."""
    live, order = instance.live, instance.order
    assert live is not None
    return {
        "instance": instance.id,
        "owner": instance.owner,
        "account": order.principal.account,
        "created": round(instance.created * 1000),
        "taken": taken,
        "kind": kind,
        "tags": list(order.tags),
        "limits": limits_map(order.limits),
        "open": order.open,
        "window": order.window,
        "policy": live.policy.told(),
        "usage": usage_told(left.before),
        "lives": live.lives,
        "copies": live.copies,
        "files": live.wants_files,
        "personality": instance.personality,
        "parent": left.base.id or live.snapshot,
    }


def record_of(instance: Instance, state: str, left: Leftover | None) -> Record:
    live, account = instance.live, instance.order.principal.account
    assert live is not None
    order = instance.order
    about: dict[str, object] = {
        "created": round(instance.created * 1000),
        "resumable": live.manner.resumable,
        "tags": list(order.tags),  # these may differ from what its snapshot says: that has tags of its own,
        "limits": limits_map(order.limits),  # or is another instance's
        "open": order.open,
        "policy": live.policy.told(),
    }
    if _is_inherited(live, left):
        about["copied"] = int(live.how)
    else:
        if left is not None:
            live.names = [each.name for each in streams_untrusted(left.streams) if each.name]
        about["streams"] = live.names
    if live.peers:  # whatever its policy: that may change
        about["peers"] = [list(each) for each in live.peers]
    if live.halted is not None:
        about["halted"] = live.halted
    if live.snapshot is None:  # it is all that can be told of it after a crash
        about["module"] = order.module
    if live.at_rest and state == RUNNING:
        about["parked"] = True
    if live.again and state == STORED:
        about["stopped"], state = True, RUNNING
    return Record(instance.id, instance.owner, account, state, live.snapshot, cbor2.dumps(about))


def room_at_stop(instance: Instance) -> int | None:
    """Bytes on the disk. At its host's stop what had its memory may have as much there, whatever its owner's quota
    says: else it would be lost with its process.
    """
    live = instance.live
    return instance.order.limits.memory + STATE_MAX if live is not None and live.again else None


def goes_back(instance: Instance) -> bool:
    """Its record stays, though its host ends it: unless it has ended by itself just then."""
    by_host = instance.outcome is None or instance.outcome.cause is Cause.KILLED
    return by_host and instance.live is not None and instance.live.goes_back


def _is_inherited(live: Live, left: Leftover | None) -> bool:
    """What it goes on from is still its original's."""
    return live.has_inherited(SavedAs(live.snapshot) if left is None else left.saved)
