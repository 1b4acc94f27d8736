"""Wire: one task that looks after the silence of all links of a server.

In:  links. Out: a ping after LINK_PING_SECONDS of silence, the end after LINK_SILENCE_SECONDS. One sweep instead of a
timer per link: a deadline on a read doubles its cost. Any byte counts as life. A link whose reader is busy elsewhere is
left alone: the silence is ours.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import trio

from gatebus.bounds import LINK_PING_SECONDS, LINK_SILENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

SWEEP_SECONDS = 5.0


class Kept(Protocol):
    """What is used of WebsocketLink."""

    receiving: bool
    last_heard: float

    def ping(self) -> None: ...

    def abort(self) -> None: ...


class Keepalive:
    def __init__(self) -> None:
        self._pinged: dict[Kept, bool] = {}

    @contextmanager
    def keeping(self, link: Kept) -> Iterator[None]:
        self._pinged[link] = False
        try:
            yield
        finally:
            del self._pinged[link]

    async def run(self) -> None:
        """For ever."""
        while True:
            await trio.sleep(SWEEP_SECONDS)
            for link in tuple(self._pinged):
                self._look(link, trio.current_time() - link.last_heard)

    def _look(self, link: Kept, silence: float) -> None:
        if not link.receiving or silence < LINK_PING_SECONDS:
            self._pinged[link] = False
        elif not self._pinged[link]:
            self._pinged[link] = True
            link.ping()
        elif silence >= LINK_SILENCE_SECONDS:
            link.abort()
