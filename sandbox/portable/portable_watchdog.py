"""Wire: the time limits of a running guest, watched from the main thread while the guest runs in another.

A guest that waits ends its wait itself (portable_channel.py), and its report is still sent. One that computes ends with
the process: the engine could interrupt it, but that costs each loop and call a check, and the compiler twice the time
and memory (measured: 9.8 against 3.9 s, 715 against 317 MB for 2.9 MB of Go).
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from sandbox.portable.portable_channel import STATUS_WALL_TIME

if TYPE_CHECKING:
    import threading

STATUS_CPU_TIME = 60
# For a guest that waits, to say at the end of its wall time that it has ended. Who computes does not hear of it.
GRACE = 0.1
# CPU time passes at most this often faster than the clock: the guest, and this thread.
THREADS = 2
SHORTEST_NAP = 0.002


class Watchdog:
    """`cause`: the status of the limit that was reached, None so far."""

    def __init__(self, cpu_ms: int, wall_end: float | None) -> None:
        self.cause: int | None = None
        self._cpu_limit = cpu_ms / 1000
        self._cpu_start = time.process_time()
        self._wall_end = wall_end

    def start_counting(self) -> None:
        """The guest's CPU time begins here; what was loaded before is ours."""
        self._cpu_start = time.process_time()

    def watch(self, guest: threading.Thread) -> None:
        """Returns when the thread of the guest has ended; does not return when it will not."""
        while guest.is_alive():
            guest.join(self._nap())
            self.cause = self._reached()
            if self.cause is not None and guest.is_alive():
                guest.join(GRACE if self.cause == STATUS_WALL_TIME else 0)
                if guest.is_alive():
                    os._exit(self.cause)

    def _nap(self) -> float:
        left = (self._cpu_limit - (time.process_time() - self._cpu_start)) / THREADS
        if self._wall_end is not None:
            left = min(left, self._wall_end - time.monotonic())
        # an hour at most: what a lock can wait for is bounded on some systems
        return min(max(SHORTEST_NAP, left), 3600.0)

    def _reached(self) -> int | None:
        if time.process_time() - self._cpu_start >= self._cpu_limit:
            return STATUS_CPU_TIME
        if self._wall_end is not None and time.monotonic() >= self._wall_end:
            return STATUS_WALL_TIME
        return None
