"""Wire: whose turn it is among the links of a server that send what only the library can take apart.

Where it stands: beside websocketlink. In: a link that has had its portion of control frames or fragments. Out: the
link goes on after everybody else had several turns, and after the other links that do the same.
"""

from __future__ import annotations

import trio

from gatebus.bounds import LINK_CONTROL_PASSES, LINK_SCRATCH_BYTES
from gatebus.web.frames import Scratch


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
