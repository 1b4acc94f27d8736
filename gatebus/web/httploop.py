"""Wire: plain HTTP on a connection, until it ends or becomes a websocket.

In:  requests of a stranger (untrusted; h11 reads them). Out: answers from a table of pages; or the head of an upgrade
request, exactly as it came, with the bytes behind it.

h11 because it is strict and finished; pages are few and need no speed. A request has HTTP_HEAD_SECONDS (the first one)
or HTTP_IDLE_SECONDS; whoever is too slow is told so only if there was something to answer.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING

import h11
import trio

from gatebus import bounds
from gatebus.web.bytetransport import linger, receive_some, send_all
from gatebus.web.pages import Answer, Lent, answer_untrusted, plain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gatebus.web.bytetransport import Transport
    from gatebus.web.pages import Lender, Page


@dataclass(frozen=True, slots=True)
class Upgrade:
    """`head` ends with its empty line; `rest` came behind it."""

    head: bytes
    rest: bytes


class HttpLoop:
    """Made for one connection. `converse` raises OSError or trio.ClosedResourceError when it breaks."""

    def __init__(
        self,
        transport: Transport,
        pages: Mapping[str, Page],
        bus: str,
        lender: Lender | None = None,
        turn: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    ) -> None:
        """`turn`: waited for before what came is taken apart."""
        self._transport, self._turn = transport, turn
        self._pages = pages
        self._bus = bus.encode()
        self._lender = lender
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=bounds.HTTP_HEAD_BYTES)
        self._raw = bytearray()  # of the request that is being read
        self._head_only = False

    async def converse(self, until: float | None = None) -> Upgrade | None:
        """None: the conversation is over. `until`: when the first head must be there; HTTP_HEAD_SECONDS from now."""
        until = trio.current_time() + bounds.HTTP_HEAD_SECONDS if until is None else until
        for left in range(bounds.HTTP_REQUESTS, 0, -1):
            request = await self._hear(until)
            if request is None:
                break
            if self._wants_the_bus(request):
                return self._upgrade()
            await self._reply(request, leave=left == 1)
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                break
            self._http.start_next_cycle()
            self._raw = bytearray(self._http.trailing_data[0])
            until = trio.current_time() + bounds.HTTP_IDLE_SECONDS
        await linger(self._transport)
        return None

    async def _hear(self, until: float) -> h11.Request | None:
        """A whole request, its body dropped; None when there is none, which has been answered."""
        try:
            with trio.move_on_at(until):
                return await self._request()
        except h11.RemoteProtocolError as error:
            await self._complain(error.error_status_hint)
            return None
        if self._raw:  # something came, but not all of it in time
            await self._complain(408)
        return None

    async def _request(self) -> h11.Request | None:
        request, body = None, 0
        while True:
            match self._http.next_event():
                case h11.NEED_DATA if self._http.they_are_waiting_for_100_continue:
                    return request  # the answer comes instead
                case h11.NEED_DATA:
                    data = await receive_some(self._transport)
                    await self._turn()
                    if request is None:
                        self._raw += data
                    self._http.receive_data(data)
                case h11.Request() as found:
                    request = found
                    self._head_only = found.method == b"HEAD"
                case h11.Data(data=some):
                    body += len(some)
                    if body > bounds.HTTP_BODY_BYTES:
                        raise h11.RemoteProtocolError("a large body", 413)
                case h11.ConnectionClosed():
                    self._raw.clear()
                    return None
                case _:  # EndOfMessage, or PAUSED at an offer to switch protocols
                    return request

    def _wants_the_bus(self, request: h11.Request) -> bool:
        upgrades = [value.lower() for name, value in request.headers if name == b"upgrade"]
        return b"websocket" in upgrades and request.target.partition(b"?")[0] == self._bus

    def _upgrade(self) -> Upgrade:
        rest = self._http.trailing_data[0]
        return Upgrade(bytes(self._raw[: len(self._raw) - len(rest)]), rest)

    async def _reply(self, request: h11.Request, *, leave: bool) -> None:
        lender = self._lender
        if lender is None or not request.target.startswith(lender.prefix):
            await self._say(self._answer(request), leave=leave)
            return
        async with lender.lend_untrusted(request.method, request.target, list(request.headers)) as lent:
            if isinstance(lent, Lent):
                await self._pass_on(lent, leave=leave)
            else:
                await self._say(lent, leave=leave)

    async def _pass_on(self, lent: Lent, *, leave: bool) -> None:
        """Piece by piece, as they are taken. One that is not taken in time, or not there, ends the connection."""
        size = () if lent.size is None else (("Content-Length", str(lent.size)),)
        await self._send(self._head(lent, *size, leave=leave))
        if not self._head_only:
            async with aclosing(lent.pieces):
                async for piece in lent.pieces:
                    await self._send(self._http.send(h11.Data(data=piece)))
        await self._send(self._http.send(h11.EndOfMessage()))

    def _answer(self, request: h11.Request) -> Answer:
        if request.target.partition(b"?")[0] == self._bus:
            return plain(426, ("Upgrade", "websocket"))
        return answer_untrusted(self._pages, request.method, request.target)

    async def _complain(self, status: int) -> None:
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._say(plain(status), leave=True)

    async def _say(self, answer: Answer, *, leave: bool) -> None:
        said = self._head(answer, leave=leave) or b""
        if not self._head_only:
            said += self._http.send(h11.Data(data=answer.body)) or b""
        self._http.send(h11.EndOfMessage())
        await self._send(said)

    def _head(self, answer: Answer | Lent, *more: tuple[str, str], leave: bool) -> bytes | None:
        closing = (("Connection", "close"),) if leave else ()
        headers = [*answer.headers, *more, ("Date", formatdate(usegmt=True)), *closing]
        return self._http.send(h11.Response(status_code=answer.status, headers=headers, reason=answer.phrase.encode()))

    async def _send(self, said: bytes | None) -> None:
        with trio.move_on_after(bounds.HTTP_ANSWER_SECONDS) as waited:
            await send_all(self._transport, said or b"")
        if waited.cancelled_caught:
            raise OSError("nobody takes the answer")
