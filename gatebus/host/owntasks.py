"""Tasks of a host that are about one thing each: an instance, a link, a record; a wire.

Where it stands: in the place of the host's nursery. In: work that nobody waits for. Out: it is done. A bug in it is
told, and costs nobody else anything: an error that leaves a nursery ends all that is in it, and in this one are all
programs of the host. What goes round for ever goes on after a pause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVarTuple, Unpack

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Arguments = TypeVarTuple("Arguments")

# Until a loop that has failed goes on: what made it fail may have gone by, and the log is not flooded.
AGAIN_SECONDS = 10.0


class OwnTasks:
    """`on_bug`: hears of every error that none of the work's own had in mind."""

    def __init__(self, nursery: trio.Nursery, on_bug: Callable[[Exception], None]) -> None:
        self._nursery, self._on_bug = nursery, on_bug

    def start_soon(self, work: Callable[[Unpack[Arguments]], Awaitable[object]], *arguments: *Arguments) -> None:
        self._nursery.start_soon(self._once, work, arguments)

    def keep_up(self, work: Callable[[], Awaitable[object]]) -> None:
        """`work` goes round until it is cancelled, or has nothing to do any more."""
        self._nursery.start_soon(self._again, work)

    def cancel(self) -> None:
        self._nursery.cancel_scope.cancel()

    async def _once(self, work: Callable[..., Awaitable[object]], arguments: tuple[object, ...]) -> bool:
        try:
            await work(*arguments)
        except Exception as bug:
            self._on_bug(bug)
            return False
        return True

    async def _again(self, work: Callable[[], Awaitable[object]]) -> None:
        while True:
            if await self._once(work, ()):
                return
            await trio.sleep(AGAIN_SECONDS)
