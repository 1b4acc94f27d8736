"""Wire: whose turn it is among those of a server who cost more than they say: new connections, and links that send
what only the library can take apart.

Where it stands: beside front and websocketlink. In: a connection that has sent a piece of its opening; a link that has
had its portion of control frames or fragments. Out: it goes on after everybody else had several turns, and after the
others that do the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import trio

from gatebus.bounds import LINK_CONTROL_PASSES, LINK_SCRATCH_BYTES, OPENING_PASSES
from gatebus.web.frames import Scratch

if TYPE_CHECKING:
    from collections.abc import Callable


class Turnstile:
    """Of all openings of a server: one piece of work at a time, sources in turn, and the event loop goes round several
    times between two of them.
    """

    def __init__(self) -> None:
        self._next = trio.Lock()
        self._of: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()  # of sources that open something now

    async def turn(self, source: str, wanted: Callable[[], bool] = lambda: True) -> None:
        """What the caller does when this returns, before it waits again, is its piece. Who is no longer `wanted` when
        its turn comes has none to do, and keeps nobody waiting."""
        if (own := self._of.get(source)) is None:
            own = self._of[source] = trio.Lock()
        async with own:  # at most one of each source waits for the next place
            if not wanted():
                return
            async with self._next:
                for _ in range(OPENING_PASSES):
                    await trio.lowlevel.checkpoint()


class SharedScratch(Scratch):
    """Of all links of a server. The floor is held by one of them at a time."""

    __slots__ = ("floor",)

    def __init__(self) -> None:
        super().__init__(LINK_SCRATCH_BYTES)
        self.floor = trio.Lock()


async def let_others(scratch: Scratch) -> None:
    """A link that has its scratch for itself has nobody to take turns with."""
    floor = scratch.floor if isinstance(scratch, SharedScratch) else trio.Lock()
    async with floor:
        for _ in range(LINK_CONTROL_PASSES):
            await trio.lowlevel.checkpoint()
