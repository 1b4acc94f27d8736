"""A host that has traffic looks again instead of sleeping: a wire, one per host.

In:  `pulse()` at each batch of data between programs, or between a program and its client; never at a start. Whoever
     reads a socket waits by `readable`.
Out: for SPIN_US after the last pulse the host looks and does not sleep; readers that come in that time are looked after
     here, all by one call, and not by the event loop.

Waking a sleeping process on another processor costs the waker 8 us inside its send when that processor is busy and 40
when it is halted, and us 13 more; a look costs 2. An echo goes through here twice, so that without this a round trip is
mostly wake-ups. A look of trio's loop costs 10, and a reader that sleeps in it two calls more. Between two looks the
processor is given away (sched_yield): whoever else has work there gets it. Not at starts: the new program itself needs
the processor. What lost: sleeping for a while when a given processor came back late (a hypervisor does that, too).
"""

from __future__ import annotations

import os
import select
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# From one batch of a conversation to the next: 20 to handle it, 15 to send it, the rest is the other end. 50 missed it,
# and 80 did where others used the machine.
SPIN_US = 120.0
# Sockets looked after here at once: poll() asks each, and with more of them under way batches are full anyway.
WATCHED = 16
# Looks between two turns of the others: a turn costs as much as five of them.
LOOKS = 4


class Reader(NamedTuple):
    """Who waits here, and until when: who waits long had better sleep."""

    task: trio.lowlevel.Task
    until: float


class Lookout:
    """`run` is a task of the host's nursery; it is parked while there is no traffic, and then costs nothing."""

    def __init__(self, spin_us: float | None = None) -> None:
        """None: SPIN_US where there are several processors and a way to yield one, else 0 (off)."""
        self._spin = (default_spin_us() if spin_us is None else spin_us) * 1e-6
        self._until = 0.0
        self._sleeper: trio.lowlevel.Task | None = None
        self._awake = False  # somebody looks
        self._poll = select.poll()
        self._readers: dict[int, Reader] = {}  # by descriptor, in the order of `until`
        self._seen: set[int] = set()
        self._turns = 0  # that others get before the next look

    def pulse(self) -> None:
        """There is traffic now."""
        now = perf_counter()
        if self._sleeper is not None and self._spin > 0:
            trio.lowlevel.reschedule(self._sleeper)
            self._sleeper, self._awake = None, True
        if self._awake:
            self._until = now + self._spin

    def came(self) -> None:
        """sandbox.Watch: that a program sent something is told by its exchange, who knows what is a start."""

    async def readable(self, fileno: Callable[[], int], sleep: Callable[[], Awaitable[None]]) -> None:
        """Until this socket can be read: here while there is traffic, else by `sleep`. May come back early. It raises
        trio.ClosedResourceError when the socket is closed, also while it was looked after here, where nobody is told.
        """
        if perf_counter() < self._until and len(self._readers) < WATCHED:
            descriptor = fileno()
            if descriptor >= 0 and descriptor not in self._readers and await self._seen_here(descriptor):
                return
        if fileno() < 0:
            raise trio.ClosedResourceError
        await sleep()

    async def _seen_here(self, descriptor: int) -> bool:
        self._readers[descriptor] = Reader(trio.lowlevel.current_task(), perf_counter() + self._spin)
        self._seen.discard(descriptor)
        self._poll.register(descriptor, select.POLLIN)

        def give_up(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._forget(descriptor)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(give_up)
        self._turns = 0
        return descriptor in self._seen

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._parked()
            try:
                await self._look_around()
            finally:
                self._awake, self._until = False, 0.0
                self._send_to_sleep(perf_counter() + self._spin)

    async def _look_around(self) -> None:
        while (now := perf_counter()) < self._until:
            self._send_to_sleep(now)
            if not self._turns and self._look():
                self._turns = 2  # theirs first, whichever order the loop takes
            self._turns -= self._turns > 0
            await trio.lowlevel.checkpoint()

    def _look(self) -> bool:
        """A few times; whether somebody was woken."""
        for _ in range(LOOKS):
            found = self._poll.poll(0) if self._readers else ()
            for descriptor, _events in found:
                self._seen.add(descriptor)
                trio.lowlevel.reschedule(self._forget(descriptor))
            if found:
                return True
            os.sched_yield()
        return False

    def _send_to_sleep(self, now: float) -> None:
        while self._readers:
            descriptor, reader = next(iter(self._readers.items()))
            if reader.until > now:
                return
            trio.lowlevel.reschedule(self._forget(descriptor))

    def _forget(self, descriptor: int) -> trio.lowlevel.Task:
        self._poll.unregister(descriptor)
        return self._readers.pop(descriptor).task

    async def _parked(self) -> None:
        self._sleeper = trio.lowlevel.current_task()

        def give_up(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._sleeper = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(give_up)


def default_spin_us() -> float:
    return SPIN_US if (os.cpu_count() or 1) > 1 and hasattr(os, "sched_yield") else 0.0
