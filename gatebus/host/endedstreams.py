"""What programs that have ended left for clients who have not taken it; words, no I/O.

Where it stands: in the registry. In: streams whose program is over, and what each costs. Out: those that must go, when
an account's are too many together. A program that runs is bounded by its account's quota of instances; without this a
client that never reads, or never comes back, would turn one program after the other into memory of the host.

Those that were answered go first: they are kept only in case the answer was lost with its link. Of each kind the oldest
goes first, and the newest stays in any case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gatebus.accountbounds import LEFTOVER_BYTES, LEFTOVER_COST

if TYPE_CHECKING:
    from gatebus.host.busstreams import BusStream


@dataclass(slots=True)
class _Account:
    answered: dict[BusStream, int] = field(default_factory=dict)
    waiting: dict[BusStream, int] = field(default_factory=dict)
    total: int = 0


class Leftovers:
    """By account."""

    def __init__(self, most: int = LEFTOVER_BYTES) -> None:
        self._most = most
        self._accounts: dict[str, _Account] = {}

    def put(self, account: str, stream: BusStream, size: int) -> list[BusStream]:
        """It holds so many bytes, now. Who must go; they are no longer in the book."""
        self.remove(account, stream)
        book = self._accounts.setdefault(account, _Account())
        cost = size + LEFTOVER_COST
        (book.answered if stream.answered else book.waiting)[stream] = cost
        book.total += cost
        return self._make_room(account, book, stream)

    def _make_room(self, account: str, book: _Account, newest: BusStream) -> list[BusStream]:
        gone: list[BusStream] = []
        while book.total > self._most:
            oldest = next((each for part in (book.answered, book.waiting) for each in part if each is not newest), None)
            if oldest is None:
                break
            self.remove(account, oldest)
            gone.append(oldest)
        return gone

    def remove(self, account: str, stream: BusStream) -> None:
        book = self._accounts.get(account)
        if book is None:
            return
        book.total -= book.answered.pop(stream, 0) + book.waiting.pop(stream, 0)
        if not book.total:
            del self._accounts[account]

    def held(self, account: str) -> int:
        book = self._accounts.get(account)
        return book.total if book is not None else 0
