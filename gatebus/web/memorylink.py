"""Assembly: links in memory for tests: the product's Link and framing at both ends, over memorytransport.

- `async with memory_links() as (client, host):` two open links; `MemoryPair(to_host=Wires(cut_after=1000))` cuts them
  at a byte, makes them late or slow (Wires).
- `MemoryNetwork(attendant)` is a host: `attendant(link)` runs for every connection. `async with network.running(),
  network.dial() as link:` is what gatebus.web.dial is, without sockets; `network.cut()` breaks every connection, as a
  lost network does.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from gatebus.bounds import LINK_CLOSE_SECONDS, LINK_SCRATCH_BYTES, MESSAGE_BYTES
from gatebus.web.frames import Scratch
from gatebus.web.link import CannotConnect, LinkClosed, Peer
from gatebus.web.memorytransport import MemoryTransport, Wires, memory_transports
from gatebus.web.websocketlink import WebsocketLink
from sandbox.background import background_tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gatebus.web.link import Link


@dataclass(slots=True)
class MemoryPair:
    """Two links that are open but not entered yet, and what happens between them."""

    to_host: Wires = field(default_factory=Wires)
    to_client: Wires = field(default_factory=Wires)
    peer: Peer = field(default_factory=lambda: Peer("memory"))  # what the host sees of the client
    client_end: MemoryTransport = field(init=False)
    host_end: MemoryTransport = field(init=False)
    client: WebsocketLink = field(init=False)
    host: WebsocketLink = field(init=False)

    def __post_init__(self) -> None:
        self.client_end, self.host_end = memory_transports(self.to_host, self.to_client)
        there = ClientProtocol(parse_uri("ws://memory/bus"), state=State.OPEN, max_size=MESSAGE_BYTES)
        here = ServerProtocol(state=State.OPEN, max_size=MESSAGE_BYTES)
        self.client = WebsocketLink(self.client_end, there, Peer("memory"), Scratch(LINK_SCRATCH_BYTES))
        self.host = WebsocketLink(self.host_end, here, self.peer, Scratch(LINK_SCRATCH_BYTES))

    def cut(self) -> None:
        self.client_end.cut()


@asynccontextmanager
async def memory_links(pair: MemoryPair | None = None) -> AsyncIterator[tuple[Link, Link]]:
    """The client's link and the host's."""
    pair = pair or MemoryPair()
    async with background_tasks() as nursery:
        entered, client_leaves, gone = trio.Event(), trio.Event(), trio.Event()

        async def host_side() -> None:
            async with pair.host:
                entered.set()
                await client_leaves.wait()
            gone.set()

        nursery.start_soon(host_side)
        await entered.wait()
        try:
            async with pair.client:
                try:
                    yield pair.client, pair.host
                finally:
                    client_leaves.set()
        finally:
            with trio.move_on_after(LINK_CLOSE_SECONDS):
                await gone.wait()


class MemoryNetwork:
    """A host that can be dialled. `wires`: made anew for each connection, the way there and the way back."""

    def __init__(
        self,
        attendant: Callable[[Link], Awaitable[None]],
        peer: Peer | None = None,
        wires: Callable[[], tuple[Wires, Wires]] = lambda: (Wires(), Wires()),
    ) -> None:
        self.down = False  # dialling fails
        self.dialled = 0
        self._attendant = attendant
        self._peer = peer or Peer("memory")
        self._wires = wires
        self._pairs: set[int] = set()
        self._ends: list[MemoryPair] = []
        self._nursery: trio.Nursery | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with background_tasks() as self._nursery:
            yield

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[Link]:
        await trio.lowlevel.checkpoint()
        if self.down or self._nursery is None:
            raise CannotConnect("Nobody listens there.")
        self.dialled += 1
        pair = MemoryPair(*self._wires(), peer=self._peer)
        self._ends.append(pair)
        self._nursery.start_soon(self._attend, pair)
        async with pair.client:
            yield pair.client

    def cut(self) -> None:
        """Every connection there is breaks at once."""
        for pair in self._ends:
            pair.cut()
        self._ends.clear()

    async def _attend(self, pair: MemoryPair) -> None:
        try:
            async with pair.host:
                await self._attendant(pair.host)
        except LinkClosed:
            pass
