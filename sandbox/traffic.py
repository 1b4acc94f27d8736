"""Wire: how a receiver waits for a program: is its stream so busy that sleeping costs more than looking again?

Waking a sleeping process on another processor costs the program 40 us inside its write, and this task 13 us more; a
look costs 5. So for `SPIN_SECONDS` after data a receiver looks again and yields instead of sleeping. Never before
the second read: at a start the program itself needs the processor. On one processor nothing is gained, so there it
is off. A host that has other sockets, too, waits for all of them in one place, and gives the sandbox its own Watch.
"""

from __future__ import annotations

import os
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# Longer gained nothing (100 us), shorter misses the next packet of a request and reply (50 to 80 us apart).
SPIN_SECONDS = 50e-6


class Watch(Protocol):
    """Of one program, or of all."""

    def came(self) -> None:
        """At every read that brought data."""

    async def readable(self, fileno: Callable[[], int], sleep: Callable[[], Awaitable[None]]) -> None:
        """Until the program's socket may have something; `sleep` is the ordinary way. `fileno`: negative, none."""


class Traffic:
    """The sandbox's own Watch, one for each program."""

    __slots__ = ("_last", "_reads", "_spin")

    def __init__(self, spin_seconds: float) -> None:
        self._spin = spin_seconds
        self._last = self._reads = 0.0

    def came(self) -> None:
        self._reads += 1
        self._last = perf_counter()

    async def readable(self, fileno: Callable[[], int], sleep: Callable[[], Awaitable[None]]) -> None:
        if self._reads > 1 and perf_counter() - self._last < self._spin:
            os.sched_yield()
            await trio.lowlevel.checkpoint()
        else:
            await sleep()


def default_spin() -> float:
    """Off where there is one processor, or no way to yield it."""
    return SPIN_SECONDS if (os.cpu_count() or 1) > 1 and hasattr(os, "sched_yield") else 0.0
