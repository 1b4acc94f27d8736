"""Wire: the time limits of a running guest, watched from the main thread while the guest runs in another.

A guest that computes is reached by the engine's epoch; one that waits ends its wait itself (portable_channel.py).
One that does neither within the grace time (a single very long operation of the engine or of Python) ends with the
process.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from sandbox.portable.portable_channel import STATUS_WALL_TIME

if TYPE_CHECKING:
    import threading

    import wasmtime

STATUS_CPU_TIME = 60
# Between the engine's interruption and the end of the process, which loses the report.
GRACE = 0.5
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

    def watch(self, guest: threading.Thread, engine: wasmtime.Engine) -> None:
        """Returns when the thread of the guest has ended; does not return when it will not."""
        while guest.is_alive():
            guest.join(self._nap())
            self.cause = self._reached()
            if self.cause is not None and guest.is_alive():
                engine.increment_epoch()
                guest.join(GRACE)
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
