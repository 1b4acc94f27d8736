"""Which accounts take more of the processors than the others who want them: words, no clock.

Where it stands: beside the contest (gatebus.host.contest), asked before each start. In: every start and what every
program has cost when it is over. Out: whether an account's next program is to start low, where it computes on what the
others leave (sandbox.Setup.low).

An account's use is a mean over the last seconds, which forgets as time passes. Greedy is who uses a quarter of a
processor and half as much again as the mean of the others that have started something lately; it stays so until it
uses less than that mean or an eighth of a processor. So of several that want the same nobody is greedy, and whoever is
alone never is.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

from gatebus.accountbounds import APPETITE_SECONDS, CONTEST_SECONDS, GREEDY_EXCESS, GREEDY_USE, START_COST_SECONDS


@dataclass(slots=True)
class _Use:
    seconds: float = 0.0
    at: float = 0.0
    began: float = 0.0
    greedy: bool = False

    def spend(self, seconds: float, now: float) -> None:
        self.seconds = self.now(now) + seconds
        self.at = now

    def now(self, now: float) -> float:
        return self.seconds * exp((self.at - now) / APPETITE_SECONDS)


class Appetites:
    """Of the accounts that have started something lately: the bound is theirs."""

    def __init__(self) -> None:
        self._lately: dict[str, _Use] = {}  # whoever has begun something last is the last
        self._all = _Use()

    def began(self, account: str, now: float) -> None:
        use = self._lately.pop(account, None) or _Use(at=now)
        use.began = now
        self._lately[account] = use
        while (oldest := next(iter(self._lately))) != account and self._is_past(oldest, now):
            del self._lately[oldest]

    def _is_past(self, account: str, now: float) -> bool:
        return self._lately[account].began + CONTEST_SECONDS < now

    def spent(self, account: str, seconds: float, now: float) -> None:
        """A program of it is over; `seconds` of a processor were its own."""
        seconds += START_COST_SECONDS
        self._all.spend(seconds, now)
        if (use := self._lately.get(account)) is not None:
            use.spend(seconds, now)

    def is_greedy(self, account: str, now: float) -> bool:
        use = self._lately.get(account)
        if use is None or len(self._lately) < 2:
            return False
        own, others = use.now(now), (self._all.now(now) - use.now(now)) / (len(self._lately) - 1)
        least, share = (GREEDY_USE / 2, 1.0) if use.greedy else (GREEDY_USE, GREEDY_EXCESS)
        use.greedy = own >= least * APPETITE_SECONDS and own > share * others
        return use.greedy
