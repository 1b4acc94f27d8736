"""Wire: whether one program's process is stopped where it stands, and for how long it was.

In:  the wish of its host. Out: a process that takes no step, or goes on. Its memory and its socket stay: what it is
sent waits there until the buffer is full. Two wishes at once are obeyed in the order in which they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from sandbox.backend import Started


class Parking:
    """Of one program."""

    __slots__ = ("_since", "_started", "_total", "_turn")

    def __init__(self, started: Started) -> None:
        self._started = started
        self._turn: trio.Lock | None = None  # hardly any program is ever parked
        self._since: float | None = None
        self._total = 0.0

    @property
    def parked(self) -> bool:
        return self._since is not None

    def _in_turn(self) -> trio.Lock:
        if self._turn is None:
            self._turn = trio.Lock()
        return self._turn

    async def park(self) -> None:
        """Idempotent. Cancelled, it may be parked or not: say it again, or the other."""
        async with self._in_turn():
            if self._since is None:
                self._since = trio.current_time()
                await self._started.park()

    async def unpark(self) -> None:
        """Idempotent."""
        if self._since is None and (self._turn is None or not self._turn.locked()):
            return  # nearly always: without a turn of the loop
        async with self._in_turn():
            if self._since is not None:
                await self._started.unpark()
                self._total += trio.current_time() - self._since
                self._since = None

    def seconds(self, until: float) -> float:
        """How long it has been parked in all."""
        return self._total + (until - self._since if self._since is not None else 0.0)
