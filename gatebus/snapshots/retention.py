"""Which snapshots go by themselves; words.

In:  lines of all snapshots, records of instances, who lives, the time. Out: those that go. Nothing goes on doubt: what
a person asked for (a snapshot, a warm start, an import) goes only when it is dropped; what a record points to stays;
what is young stays; of an instance that lives only what is older than what it goes on from, and checkpoints beyond the
last ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gatebus.snapshots.savedwords import CHECKPOINT, CLONE, ENDED, IMPORTED, SUSPENDED, Record, SnapshotLine
from gatebus.snapshots.snapshotbounds import CHECKPOINTS_KEPT, LEFT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

AUTOMATIC = frozenset({SUSPENDED, CHECKPOINT, CLONE})


class Living(NamedTuple):
    """What the host knows at the moment: `instances` in its memory, with or without a record; seconds since 1970."""

    instances: frozenset[bytes]
    now: float


def expired(lines: Iterable[SnapshotLine], records: Iterable[Record], living: Living) -> list[SnapshotLine]:
    of_instance: dict[tuple[str, bytes], list[SnapshotLine]] = {}
    for line in lines:
        if line.kind in AUTOMATIC and not line.about.get(IMPORTED):
            of_instance.setdefault((line.account, line.instance), []).append(line)
    found = {(each.account, each.instance): each for each in records if each.state != ENDED}
    pointed = {(each.account, each.snapshot) for each in found.values()}
    gone: list[SnapshotLine] = []
    for (account, instance), mine in of_instance.items():
        mine.sort(key=lambda line: (-line.taken, line.id))
        free = [line for line in mine if (account, line.id) not in pointed]
        record = found.get((account, instance))
        if record is not None:
            gone += _superseded(mine, free, record, living.now)
        elif instance in living.instances:
            gone += _many(mine, free)
        else:
            gone += [line for line in free if _is_old(line, living.now)]
    return gone


def _superseded(
    mine: Sequence[SnapshotLine], free: Sequence[SnapshotLine], record: Record, now: float
) -> list[SnapshotLine]:
    """Beyond the last checkpoints, and what was stored before that from which it goes on."""
    current = next((line for line in mine if line.id == record.snapshot), None)
    if current is None:
        return []
    stored = [line for line in free if line.kind != CHECKPOINT and line.taken < current.taken and _is_old(line, now)]
    return _many(mine, free) + stored


def _many(mine: Sequence[SnapshotLine], free: Sequence[SnapshotLine]) -> list[SnapshotLine]:
    """Checkpoints beyond the last ones; the newest says how many its instance keeps."""
    checkpoints = [line for line in mine if line.kind == CHECKPOINT]
    beyond = checkpoints[_kept(checkpoints[0]) :] if checkpoints else []
    return [line for line in beyond if line in free]


def _kept(line: SnapshotLine) -> int:
    policy = line.about.get("policy")
    last = policy.get("keep_last") if isinstance(policy, dict) else None
    return max(1, last) if isinstance(last, int) else CHECKPOINTS_KEPT


def _is_old(line: SnapshotLine, now: float) -> bool:
    return line.taken / 1000 < now - LEFT_SECONDS
