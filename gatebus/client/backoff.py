"""How long to wait before the next attempt to connect; words, no I/O.

Doubling from FIRST to LONGEST, and each wait a random part of that (the caller rolls the dice): when a host comes back,
its thousand clients do not all knock in the same millisecond. And how often one operation is begun again.
"""

from gatebus.client.complaints import LinkLost
from gatebus.clientbounds import LOSSES, RECONNECT_FIRST, RECONNECT_LONGEST, STEADY_SECONDS


def pause(failures: int, dice: float) -> float:
    """Seconds before the next attempt, after so many failures in a row; `dice` is between 0 and 1."""
    longest = min(RECONNECT_LONGEST, RECONNECT_FIRST * 2.0 ** min(failures, 16))
    return longest * (0.5 + dice / 2)


class Losses:
    """Links that broke under one operation."""

    def __init__(self, now: float) -> None:
        self._count = 0
        self._began = now

    def began(self, now: float) -> None:
        """It is begun on another link."""
        self._began = now

    def lost(self, now: float, *, advanced: bool) -> None:
        """... which is lost. `advanced`: something came of it. Raises LinkLost after too many that were for nothing."""
        if advanced or now - self._began >= STEADY_SECONDS:
            self._count = 0
            return
        self._count += 1
        if self._count > LOSSES:
            raise LinkLost(f"The connection broke {self._count} times in a row in the middle of this operation.")
