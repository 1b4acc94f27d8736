"""How long to wait before the next attempt to connect; words, no I/O.

Doubling from FIRST to LONGEST, and each wait a random part of that (the caller rolls the dice): when a host comes back,
its thousand clients do not all knock in the same millisecond.
"""

from gatebus.clientbounds import RECONNECT_FIRST, RECONNECT_LONGEST


def pause(failures: int, dice: float) -> float:
    """Seconds before the next attempt, after so many failures in a row; `dice` is between 0 and 1."""
    longest = min(RECONNECT_LONGEST, RECONNECT_FIRST * 2.0 ** min(failures, 16))
    return longest * (0.5 + dice / 2)
