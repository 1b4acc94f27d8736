"""Where the last snapshots that were saved or read lie; words.

Where it stands: in front of the records of snapshots, whose one thread is asked for what is not here. In: what the
records have said, or have been given. Out: the same, for a while. What is here may have been dropped meanwhile: whoever
opens its files finds out, and nothing else is believed of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gatebus.snapshots.snapshotbounds import RECENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gatebus.snapshots.packfolder import Pack


class Whole(NamedTuple):
    """`size`: of what is not zeros. `packs`: its files that are on record, that of its manifest first."""

    id: bytes
    account: str
    size: int
    packs: Sequence[Pack]


class RecentSnapshots:
    """The last RECENT."""

    def __init__(self) -> None:
        self._known: dict[bytes, Whole] = {}

    def get(self, snapshot: bytes, account: str | None) -> Whole | None:
        """Of this account, or of anybody."""
        found = self._known.get(snapshot)
        return found if found is not None and account in (None, found.account) else None

    def note(self, whole: Whole) -> None:
        self._known.pop(whole.id, None)
        self._known[whole.id] = whole
        if len(self._known) > RECENT:
            del self._known[next(iter(self._known))]

    def forget(self, snapshot: bytes) -> None:
        self._known.pop(snapshot, None)
