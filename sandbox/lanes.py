"""So many at a time of each key, in order of arrival; a wire."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable


class Lanes:
    """`at_once`: how many of one key. Its length: keys that somebody uses or waits for; others are not remembered. Who
    waits is an instance or a request, and has their bound.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
        self._limiters: dict[Hashable, trio.CapacityLimiter] = {}

    def __len__(self) -> int:
        return len(self._limiters)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._limiters

    @asynccontextmanager
    async def one(self, key: Hashable) -> AsyncIterator[None]:
        """Inside it is one of them: without a turn of the loop where nobody has to be waited for."""
        limiter = self._limiters.setdefault(key, trio.CapacityLimiter(self._at_once))
        try:
            limiter.acquire_nowait()
        except trio.WouldBlock:
            await limiter.acquire()
        try:
            yield
        finally:
            limiter.release()  # to whoever waits
            if not limiter.borrowed_tokens:
                self._limiters.pop(key, None)
