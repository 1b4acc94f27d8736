"""Whether several accounts want the processors, and which programs must then make do with their account's share; words.

Where it stands: beside the registry; told of every program's beginning and end, asked by a task of the host's whenever
it may have changed. In: accounts, programs (as something that can be told a share), the time. Out: programs are told
the number of their account, or 0; how long nothing can happen.

As long as there is one account nobody is told anything: its programs have all that there is. With a second one, each
program that lasts is told its account's number, and the sandbox's keeper moves those that really compute for long to a
small share (sandbox/native/jail/src/shares.rs). A program that ends at once is never told: it costs nothing here.
"""

from __future__ import annotations

from collections import Counter
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Protocol

from gatebus.accountbounds import CONTEST_SECONDS, SHARE_SECONDS, SHARES_TOLD
from gatebus.host.appetites import Appetites

if TYPE_CHECKING:
    from collections.abc import Callable


class Sharer(Protocol):
    """A program of a host."""

    def share(self, account: int) -> bool:
        """0: nobody else wants anything. False: not now, say it again."""


class Contest:
    """`wake` is called when `turn` should be, sooner than it said."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._numbers: dict[str, int] = {}  # as many as people have ever run something: keys and users of the machine
        self._next = count(1)
        self._running: Counter[str] = Counter()
        self._left: dict[str, float] = {}  # accounts that run nothing now, and since when
        self._untold: dict[Sharer, tuple[str, float]] = {}  # since when, the oldest first
        self._told: dict[Sharer, str] = {}
        self._contested = False
        self.appetites = Appetites()

    def began(self, program: Sharer, account: str, now: float) -> None:
        self.appetites.began(account, now)
        self._running[account] += 1
        self._left.pop(account, None)
        self._untold[program] = account, now
        if self._contested or len(self._running) + len(self._left) > 1:
            self._wake()

    def over(self, program: Sharer, account: str, now: float) -> None:
        self._untold.pop(program, None)
        self._told.pop(program, None)
        self._running[account] -= 1
        if not self._running[account]:
            del self._running[account]
            self._left[account] = now
            if self._contested:
                self._wake()

    def turn(self, now: float) -> float:
        """Tell whom there is to tell, some at a time. Seconds until it has something to do again."""
        while self._left and next(iter(self._left.values())) + CONTEST_SECONDS <= now:
            del self._left[next(iter(self._left))]
        self._contested = len(self._running) + len(self._left) > 1
        if not self._contested:
            return self._release(now)
        due = [(each, account) for each, (account, since) in self._untold.items() if since + SHARE_SECONDS <= now]
        for program, account in due[:SHARES_TOLD]:
            if program.share(self._number(account)):
                self._told[program] = account
                del self._untold[program]
        if self._untold:
            return SHARE_SECONDS
        return max(0.0, next(iter(self._left.values())) + CONTEST_SECONDS - now) if self._left else inf

    def _release(self, now: float) -> float:
        for program, account in list(self._told.items())[:SHARES_TOLD]:
            if program.share(0):
                del self._told[program]
                self._untold[program] = account, now
        return SHARE_SECONDS if self._told else inf

    def _number(self, account: str) -> int:
        if account not in self._numbers:
            self._numbers[account] = next(self._next)
        return self._numbers[account]
