"""Assembly: one accepted connection: TLS, the first head, then a link or pages.

In:  a connected socket. Out: `Front.on_link(link)` for a websocket at the path of the bus; pages for everything else.
Both on one port, each protocol with the library that is good at it: h11 reads the head; an upgrade's is handed on as it
came. Until it is a link, a connection may be evicted by newer ones (crowd).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import trio

from gatebus import bounds
from gatebus.web.bytetransport import linger, send_all
from gatebus.web.crowd import Capacity
from gatebus.web.entry import Terms, enter_untrusted, turned_away
from gatebus.web.floor import SharedScratch, Turnstile
from gatebus.web.httploop import HttpLoop, Upgrade
from gatebus.web.keepalive import Keepalive
from gatebus.web.link import LinkClosed, Peer
from gatebus.web.tlstransport import TlsTransport
from gatebus.web.websocketlink import WebsocketLink

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from gatebus.web.bytetransport import Transport, Watch
    from gatebus.web.crowd import Seat
    from gatebus.web.link import Link
    from gatebus.web.pages import Lender, Page

    Turn = Callable[[], Awaitable[None]]


def ignore(peer: Peer, error: Exception) -> None:
    """Where nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Front:
    """What a server offers. `on_link` runs as long as its link is wanted; LinkClosed may come out of it. `report`: it
    raised something else, which costs only this connection. `watch`: how to wait for what clients send."""

    on_link: Callable[[Link], Awaitable[None]]
    pages: Mapping[str, Page] = field(default_factory=dict)
    terms: Terms = field(default_factory=Terms)
    capacity: Capacity = field(default_factory=Capacity)
    report: Callable[[Peer, Exception], None] = ignore
    link_class: type[WebsocketLink] = WebsocketLink
    lender: Lender | None = None
    """Who answers everything below its prefix."""
    watch: Watch | None = None


class Reception:
    """What all connections of a server share."""

    def __init__(self, front: Front, nursery: trio.Nursery | None = None) -> None:
        """`nursery` must outlive the connections; None: each link has its own."""
        self.front = front
        self.nursery = nursery
        self.keepalive = Keepalive()
        self.scratch = SharedScratch()
        self._turnstile = Turnstile()

    async def receive(self, transport: Transport, peer: Peer, seat: Seat, context: ssl.SSLContext | None) -> None:
        """To the end of the connection. Raises nothing but Cancelled."""
        try:
            link = await self._enter(transport, peer, seat, context)
            if link is not None:
                await self._attend(link)
        except (OSError, trio.ClosedResourceError, trio.TooSlowError):
            pass  # it broke, was too slow, or was evicted
        except Exception as error:  # one connection's trouble stays its own
            self.front.report(peer, error)
        finally:
            transport.close()

    async def _enter(
        self, transport: Transport, peer: Peer, seat: Seat, context: ssl.SSLContext | None
    ) -> WebsocketLink | None:
        """What a link does not need is gone when this returns. None: it was pages, or a refusal."""
        until = trio.current_time() + bounds.HTTP_HEAD_SECONDS
        source = f"user {peer.uid}" if peer.transport == "unix" else seat.source
        turn = partial(self._turnstile.turn, source, seat.is_open)
        if context is not None:
            transport = await _secured(transport, context, until, turn)
        return await self._open(transport, peer, seat, until, turn)

    async def _open(
        self, transport: Transport, peer: Peer, seat: Seat, until: float, turn: Turn
    ) -> WebsocketLink | None:
        upgrade = await self._converse(transport, peer, until, turn)
        if upgrade is None:
            return None
        entry = enter_untrusted(upgrade.head, self.front.terms, peer.transport)
        if entry.protocol is not None and (why := seat.settle()):
            entry = turned_away(why)
        with trio.fail_after(bounds.HTTP_HEAD_SECONDS):
            await send_all(transport, entry.answer)
        if entry.protocol is None:
            await linger(transport)
            return None
        peer = replace(peer, origin=entry.origin, agent=entry.agent)
        make = self.front.link_class
        return make(transport, entry.protocol, peer, self.scratch, rest=upgrade.rest, nursery=self.nursery)

    async def _converse(self, transport: Transport, peer: Peer, until: float, turn: Turn) -> Upgrade | None:
        loop = HttpLoop(transport, self.front.pages, self.front.terms.path, self.front.lender, turn)
        try:
            return await loop.converse(until)
        except (OSError, trio.ClosedResourceError):
            raise
        except Exception as error:  # a page's trouble is its reader's alone
            self.front.report(peer, error)
            return None

    async def _attend(self, link: WebsocketLink) -> None:
        try:
            with self.keepalive.keeping(link):
                async with link:
                    await self.front.on_link(link)
        except LinkClosed:
            pass
        except Exception as error:  # one connection's trouble stays its own
            self.front.report(link.peer, error)


async def _secured(transport: Transport, context: ssl.SSLContext, until: float, turn: Turn) -> TlsTransport:
    secured = TlsTransport(transport, context)
    with trio.fail_at(until):
        await secured.handshake(turn)
    return secured
