"""Words: what a guest sees of time: ticks of the resolution that the host chose, and never a wake-up between two ticks.

Waking up only at ticks keeps two promises: a sleep is never shorter than asked, as seen by the guest's own clock, and a
guest cannot tell time more finely by sleeping than by looking. Same rules as the Rust crate `gatebus-abi` (time.rs).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 1_000_000_000
COARSEST = SECOND  # Gate's upper bound of a resolution, and ours
REALTIME, MONOTONIC, PROCESS_TIME, THREAD_TIME = 0, 1, 2, 3
NEVER = (1 << 64) - 1
# What no monotonic clock shows, in 146 years.
LATEST = 1 << 62


@dataclass(frozen=True, slots=True)
class GuestClock:
    """The two clocks of a guest. `masked`: within each second, ticks are multiples of a power of two, as Gate's.

    The monotonic clock shows `base` at `started`: the host's uptime is nobody's business. One second at the start,
    since zero means "no time" to some programs; later what was saved.
    """

    tick: int
    masked: bool
    realtime_source: Callable[[], int]
    monotonic_source: Callable[[], int]
    started: int
    base: int = SECOND

    @property
    def resolution(self) -> int:
        """What `clock_res_get` says."""
        return min(self.tick, COARSEST)

    def precise(self, clock: int) -> int:
        """Only for waiting: the guest sees `now`."""
        if clock == REALTIME:
            return self.realtime_source()
        return max(0, self.monotonic_source() - self.started) + self.base

    def now(self, clock: int) -> int:
        """The last tick."""
        time = self.precise(clock)
        within = time % SECOND if self.masked else time
        return time - within % self.tick

    def tick_at(self, time: int) -> int:
        """The first tick at or after this time: when a wait for it ends."""
        if not self.masked:
            return min(NEVER, -(-time // self.tick) * self.tick)
        within = time % SECOND
        return min(NEVER, time - within + min(SECOND, -(-within // self.tick) * self.tick))

    def saved(self) -> int:
        """The monotonic clock as it is saved: the next tick, so that it never goes back, however coarse the clock is of
        whoever goes on.
        """
        return self.tick_at(self.precise(MONOTONIC))

    def resumed_untrusted(self, saved: int) -> GuestClock | None:
        """The monotonic clock shows at least this from the start on. None: no program's clock ever showed it."""
        if not SECOND <= saved < LATEST:
            return None
        return replace(self, base=self.tick_at(saved))

    def until(self, clock: int, time: int) -> int:
        """Nanoseconds from now to the tick of this time; 0: it is over."""
        return max(0, self.tick_at(time) - self.precise(clock))


def wasi_tick(resolution: int) -> int:
    return min(max(resolution, 1), COARSEST)


def gate_tick(resolution: int) -> int:
    """The next power of two above: 1 us -> 1024 ns, 10 ms -> 16777216 ns, 1 s -> 2**30 (reported as one second)."""
    tick: int = 1 << wasi_tick(resolution).bit_length()
    return tick
