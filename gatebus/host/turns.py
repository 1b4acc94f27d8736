"""So many at a time of each key, in order of arrival; a wire."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable


class Turns:
    """`at_once`: how many of one key. Its length: keys that somebody uses or waits for; others are not remembered. Who
    waits is an instance or a request, and has their bound.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
        self._limiters: dict[Hashable, trio.CapacityLimiter] = {}

    def __len__(self) -> int:
        return len(self._limiters)

    @asynccontextmanager
    async def one(self, key: Hashable) -> AsyncIterator[None]:
        """Inside it is one of them."""
        limiter = self._limiters.setdefault(key, trio.CapacityLimiter(self._at_once))
        try:
            async with limiter:
                yield
        finally:
            statistics = limiter.statistics()
            if not statistics.borrowed_tokens and not statistics.tasks_waiting:
                self._limiters.pop(key, None)
