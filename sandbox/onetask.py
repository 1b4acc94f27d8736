"""Wire: one direction of a program's stream belongs to one task at a time.

In:  who wants it. Out: an error for a second one; a place to wait for who may (a stop).
"""

from __future__ import annotations

import trio


class OneTask:
    """One task at a time may do this; a second one is told so, because two readers would each get half of a stream."""

    __slots__ = ("_what", "busy", "waiting")

    def __init__(self, what: str) -> None:
        self._what = what
        self.busy = False
        self.waiting: trio.lowlevel.ParkingLot | None = None  # of a stop, which may wait

    def __enter__(self) -> None:
        if self.busy:
            raise trio.BusyResourceError(f"another task is {self._what} this program")
        self.busy = True

    def __exit__(self, *_exception: object) -> None:
        self.busy = False
        self.wake()

    def wake(self) -> None:
        if self.waiting is not None:
            self.waiting.unpark_all()

    async def changed(self) -> None:
        """Until another task is done with it, or with a part."""
        if self.waiting is None:
            self.waiting = trio.lowlevel.ParkingLot()
        await self.waiting.park()
