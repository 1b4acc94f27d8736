"""Wire: one task that looks after the silence of all links of a server.

In:  links. Out: a ping after LINK_PING_SECONDS of silence, the end after LINK_SILENCE_SECONDS, or when a message that
has begun is not whole after LINK_MESSAGE_SECONDS. One sweep instead of a timer per link: a deadline on a read doubles
its cost. Any byte counts as life, not as progress. A link whose reader is busy elsewhere is left alone: the silence is
ours.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import trio

from gatebus.accountbounds import LINK_MESSAGE_SECONDS
from gatebus.bounds import LINK_PING_SECONDS, LINK_SILENCE_SECONDS

SWEEP_SECONDS = 5.0


class Kept(Protocol):
    """What is used of WebsocketLink."""

    receiving: bool
    last_heard: float
    begun: float | None

    def ping(self) -> None: ...

    def abort(self, why: str = "") -> None: ...


class Unfinished(NamedTuple):
    """A message that began then, and since when we have waited for its rest."""

    begun: float
    since: float


class Keeping:
    """A link is looked after in the body. A generator in its place takes 0.5 KiB of every idle link."""

    __slots__ = ("_keepalive", "_link")

    def __init__(self, keepalive: Keepalive, link: Kept) -> None:
        self._keepalive, self._link = keepalive, link

    def __enter__(self) -> None:
        self._keepalive.add(self._link)

    def __exit__(self, *_fault: object) -> None:
        self._keepalive.remove(self._link)


class Keepalive:
    def __init__(self) -> None:
        self._pinged: dict[Kept, bool] = {}
        self._unfinished: dict[Kept, Unfinished] = {}  # few links are in the middle of a message at a sweep

    def keeping(self, link: Kept) -> Keeping:
        """`with keepalive.keeping(link)`."""
        return Keeping(self, link)

    def add(self, link: Kept) -> None:
        self._pinged[link] = False

    def remove(self, link: Kept) -> None:
        del self._pinged[link]
        self._unfinished.pop(link, None)

    async def run(self) -> None:
        """For ever."""
        while True:
            await trio.sleep(SWEEP_SECONDS)
            for link in tuple(self._pinged):
                self._look(link, trio.current_time() - link.last_heard)
                self._look_at_message(link, trio.current_time())

    def _look(self, link: Kept, silence: float) -> None:
        if not link.receiving or silence < LINK_PING_SECONDS:
            self._pinged[link] = False
        elif not self._pinged[link]:
            self._pinged[link] = True
            link.ping()
        elif silence >= LINK_SILENCE_SECONDS:
            link.abort("too slow: nothing was heard")

    def _look_at_message(self, link: Kept, now: float) -> None:
        if not link.receiving or link.begun is None:
            self._unfinished.pop(link, None)
            return
        seen = self._unfinished.get(link)
        if seen is None or seen.begun != link.begun:
            self._unfinished[link] = Unfinished(link.begun, now)
        elif now - seen.since >= LINK_MESSAGE_SECONDS:
            link.abort("too slow: a message did not end")
