"""A host that has traffic looks again instead of sleeping: a wire, one per host.

In:  `pulse()` at each batch of data between programs, or between a program and its client; never at a start.
Out: for 50 us after the last one the event loop polls its sockets and does not sleep in them.

Waking a sleeping process on another processor costs the waker 40 us inside its send, and us 13 more; a look costs 5. An
echo goes through here twice, so that without this a round trip is mostly wake-ups. In between the processor is given
away (sched_yield): whoever else has work there gets it. Not at starts: the new program itself needs the processor.
What lost: spinning longer (100 us gained nothing), spinning in the programs too.
"""

from __future__ import annotations

import os
from time import perf_counter

import trio


class Spinner:
    """`run` is a task of the host's nursery; it is parked while there is no traffic, and then costs nothing."""

    def __init__(self, spin_us: float | None = None) -> None:
        """None: 50 where there are several processors and a way to yield one, else 0 (off)."""
        self._spin = (default_spin_us() if spin_us is None else spin_us) * 1e-6
        self._until = 0.0
        self._sleeper: trio.lowlevel.Task | None = None

    def pulse(self) -> None:
        """There is traffic now."""
        if self._spin > 0:
            self._until = perf_counter() + self._spin
            sleeper, self._sleeper = self._sleeper, None
            if sleeper is not None:
                trio.lowlevel.reschedule(sleeper)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._parked()
            while perf_counter() < self._until:
                os.sched_yield()
                await trio.lowlevel.checkpoint()

    async def _parked(self) -> None:
        self._sleeper = trio.lowlevel.current_task()

        def give_up(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._sleeper = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(give_up)


def default_spin_us() -> float:
    return 50.0 if (os.cpu_count() or 1) > 1 and hasattr(os, "sched_yield") else 0.0
