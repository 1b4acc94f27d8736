"""Wire: is a program's stream so busy that sleeping between two packets costs more than looking again?

Waking a sleeping process on another processor costs the program 40 us inside its write, and this task 13 us more; a
look costs 5. So for `SPIN_SECONDS` after data a receiver looks again and yields instead of sleeping. Never before
the second read: at a start the program itself needs the processor. On one processor nothing is gained, so there it
is off.
"""

from __future__ import annotations

import os
from time import perf_counter

# Longer gained nothing (100 us), shorter misses the next packet of a request and reply (50 to 80 us apart).
SPIN_SECONDS = 50e-6


class Traffic:
    """`came` at every read that brought data, `is_dense` when there was nothing: True means look again, False sleep."""

    __slots__ = ("_last", "_reads", "_spin")

    def __init__(self, spin_seconds: float) -> None:
        self._spin = spin_seconds
        self._last = self._reads = 0.0

    def came(self) -> None:
        self._reads += 1
        self._last = perf_counter()

    def is_dense(self) -> bool:
        return self._reads > 1 and perf_counter() - self._last < self._spin


def default_spin() -> float:
    """Off where there is one processor, or no way to yield it."""
    return SPIN_SECONDS if (os.cpu_count() or 1) > 1 and hasattr(os, "sched_yield") else 0.0
