"""What each account stores, against its quota: one ticket for each, however many snapshots; words.

Where it stands: beside the snapshot store. In: bytes that came or went. Out: a Refusal before more is written than an
account may have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatebus.host.quotas import Amounts
from gatebus.snapshots.snapshotbounds import SNAPSHOT_COST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gatebus.host.quotas import Quotas, Ticket
    from gatebus.snapshots.packfolder import Pack


class StoredBytes:
    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._tickets: dict[str, Ticket] = {}  # by account

    def adopt(self, packs: Iterable[Pack]) -> None:
        """From earlier runs, whatever the quota is now."""
        for pack in packs:
            self.overspend(pack)

    def room(self, account: str) -> int:
        bounds = self._quotas.bounds
        mine = bounds.of(account).stored - self._quotas.used(account).stored
        return max(0, min(mine, bounds.host.stored - self._quotas.total.stored))

    def spend(self, pack: Pack) -> None:
        """Raises Refusal."""
        size = _cost(pack)
        self._merge(pack.account, self._quotas.take(pack.account, Amounts(stored=size)), size)

    def overspend(self, pack: Pack) -> None:
        self._merge(pack.account, None, _cost(pack))

    def give_back(self, pack: Pack) -> None:
        self._merge(pack.account, None, -_cost(pack))

    def _merge(self, account: str, taken: Ticket | None, more: int) -> None:
        had = self._tickets.pop(account, None)
        for ticket in (had, taken):
            if ticket is not None:
                self._quotas.release(ticket)
        size = (had.amounts.stored if had is not None else 0) + more
        if size > 0:
            self._tickets[account] = self._quotas.adopt(account, Amounts(stored=size))


def _cost(pack: Pack) -> int:
    return max(pack.size, SNAPSHOT_COST)
