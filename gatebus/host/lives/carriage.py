"""Whose file of a snapshot is on its way in or out: places that nobody can take up for all the others; a wire.

Where it stands: around the operations `export` and `import`. In: accounts that want a place, how many bytes of their
files have moved. Out: a place of a few, for as long as the file needs; or a Refusal, also in the middle: where all
places are taken and somebody without one waits, the slow give way, and those whose account has several.

Whoever waits is served before whoever comes later, accounts without a place first: so that a place which is given back
does not go to the one that had it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from gatebus.accountbounds import (
    CARRIED_AT_ONCE,
    CARRIED_EACH,
    CARRIED_GRACE,
    CARRIED_LOOK,
    CARRIED_RATE,
    CARRIED_WAIT,
)
from gatebus.host.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_TOO_MANY = f"{CARRIED_EACH} files of yours are on their way already. Wait for the end of one."
_FULL = "Other snapshots are being brought in or taken out. Try again later."
_GAVE_WAY = (
    f"Somebody else waits for the place: a file that moves slower than {CARRIED_RATE >> 10} KiB a second, or is not "
    "the only one of its account, makes room. Ask again later."
)


class Carried:
    """One file. It may have to give way once its bytes move, until all have."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.scope = trio.CancelScope()
        self.place = trio.Event()
        self._since: float | None = None
        self._moved = 0

    def begins(self) -> None:
        """Its client is to send, or to take."""
        self._since = trio.current_time()

    def moved(self, size: int) -> None:
        self._moved += size

    def whole(self) -> None:
        """What is left is the host's work."""
        self._since = None

    def rate(self, now: float) -> float | None:
        """Bytes a second; None: it is too early or too late to say."""
        since = self._since
        return None if since is None or now - since < CARRIED_GRACE else self._moved / (now - since)


class Carriage:
    """One for a host."""

    def __init__(self) -> None:
        self._under_way: list[Carried] = []
        self._waiting: list[Carried] = []

    @asynccontextmanager
    async def place(self, account: str, over: Callable[[], bool] = lambda: False) -> AsyncIterator[Carried]:
        """`over`: nobody waits for it any more. Raises Refusal, also while it is held."""
        if _count(self._under_way + self._waiting, account) >= CARRIED_EACH:
            raise Refusal("busy", _TOO_MANY)
        carried = Carried(account)
        self._waiting.append(carried)
        try:
            await self._has_place(carried, over)
            with carried.scope:
                yield carried
        finally:
            for among in (self._waiting, self._under_way):
                if carried in among:
                    among.remove(carried)
            self._serve()
        if carried.scope.cancelled_caught:
            raise Refusal("busy", _GAVE_WAY)

    async def _has_place(self, carried: Carried, over: Callable[[], bool]) -> None:
        with trio.move_on_after(CARRIED_WAIT):
            while not (carried.place.is_set() or over()):
                self._serve()
                with trio.move_on_after(CARRIED_LOOK):
                    await carried.place.wait()
        if not carried.place.is_set():
            raise Refusal("busy", _FULL)

    def _serve(self) -> None:
        while self._waiting and len(self._under_way) < CARRIED_AT_ONCE:
            carried = min(self._waiting, key=lambda each: _count(self._under_way, each.account))
            self._waiting.remove(carried)
            self._under_way.append(carried)
            carried.place.set()
        if self._waiting:
            self._make_room()

    def _make_room(self) -> None:
        """One for each account that has none."""
        without = {each.account for each in self._waiting} - {each.account for each in self._under_way}
        staying = [each for each in self._under_way if not each.scope.cancel_called]
        for _ in range(len(without) - (len(self._under_way) - len(staying))):
            leaving = _least(staying, trio.current_time())
            if leaving is not None:
                staying.remove(leaving)
                leaving.scope.cancel()


def _least(staying: list[Carried], now: float) -> Carried | None:
    """Who gives way: of the account that has the most, the slowest. None: nobody need."""
    rates = {each: each.rate(now) for each in staying}
    several = {each: _count(staying, each.account) for each in staying}
    may = [(-several[each], rate, each) for each, rate in rates.items() if rate is not None]
    may = [(most, rate, each) for most, rate, each in may if rate < CARRIED_RATE or most < -1]
    return min(may, key=lambda each: each[:2])[2] if may else None


def _count(among: list[Carried], account: str) -> int:
    return sum(each.account == account for each in among)
