"""Wire: one link to a host, greeted: messages of the host to whoever opened their channel, and back.

In:  a link, what the host says (untrusted; the session checks it). Out: calls of Hearer methods, bytes on the link.

One task reads (`run`). Everything that is said is written without waiting: while a slow link has much to send, streams
wait in their flows, and a task that exists only then moves them on when there is room. A cancelled operation says
`cancel` and leaves; its answer, when it comes, is nobody's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from gatebus.bounds import LINK_HIGH_WATER
from gatebus.client.complaints import PASSING, BusError, HostError, HostNonsense, host_error
from gatebus.protocol import Authenticated, Broken, LocalProtocolError, PingDue, Session, State
from gatebus.protocol.messages import (
    Cancel,
    Error,
    Farewell,
    HostHello,
    Message,
    Ping,
    Pong,
    Result,
    Welcome,
)
from gatebus.web.link import Link, LinkClosed

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatebus.protocol import Event, Flows
    from gatebus.protocol.messages import Parameters


class Hearer(Protocol):
    """Who opened a channel. Nothing here may wait or raise."""

    def hear(self, message: Message) -> None: ...

    def lost(self, fault: BusError | None) -> None:
        """The link is gone, and with it the channel. `fault`: another link will not do better."""


class HostLine:
    """Made by gatebus.client.handshake. `run` is its one task."""

    def __init__(self, link: Link, session: Session, host: HostHello, principal: str) -> None:
        self.host, self.principal = host, principal
        self.fault: BusError | None = None  # why it ended, when the host or the protocol says so
        self._link, self._session = link, session
        self._hearers: dict[int, Hearer] = {}
        self._full: dict[int, None] = {}  # channels that wait for room on the link
        self._nursery: trio.Nursery | None = None

    @property
    def usable(self) -> bool:
        """New operations may begin here."""
        return self._session.state is State.OPEN and self._nursery is not None

    async def run(self, up: Callable[[], None]) -> None:
        """Until the link is over. `up` is called when operations may begin."""
        try:
            async with trio.open_nursery() as self._nursery:
                up()
                await self._read()
                self._nursery.cancel_scope.cancel()
        finally:
            self._nursery = None
            self._session.close()
            hearers, self._hearers = self._hearers, {}
            for hearer in hearers.values():
                hearer.lost(self._for_good())

    def _for_good(self) -> BusError | None:
        passing = isinstance(self.fault, HostError) and self.fault.code in PASSING
        return None if passing else self.fault

    async def _read(self) -> None:
        try:
            while self._session.state in (State.OPEN, State.FAREWELL):
                for event in self._session.receive_many(await self._link.receive_many()):
                    self._heard(event)
                self._link.flush()
        except LinkClosed:
            return

    def _heard(self, event: Event) -> None:
        match event:
            case Ping(number):
                self.say(Pong(number))
            case Error(0, code, text, details):
                self.fault = host_error(code, text, details)
            case Broken(_, text):
                self.fault = HostNonsense(f"The host does not keep to the protocol: {text}")
                self._link.abort()
            case Authenticated() | PingDue() | Pong() | Farewell() | HostHello() | Welcome():
                return
            case _:
                self._for_channel(event)

    def _for_channel(self, message: Message) -> None:
        number = message[0]
        assert isinstance(number, int)
        over = isinstance(message, Result | Error)
        hearer = self._hearers.pop(number, None) if over else self._hearers.get(number)
        if hearer is not None:
            hearer.hear(message)

    # What is said. Nothing waits.

    def open(
        self,
        hearer: Hearer,
        operation: str,
        parameters: Parameters,
        window: int = 0,
        flows: Flows | None = None,
        first: int = 0,
    ) -> int:
        """The number of the new channel; `flush` sends. LocalProtocolError when the line is not usable."""
        number, message = self._session.open(operation, parameters, window, flows, first)
        self._hearers[number] = hearer
        self._write(message)
        return number

    def flush(self) -> None:
        self._link.flush()

    def flows(self, number: int) -> Flows:
        return self._session.flows(number)

    def say(self, message: Message) -> None:
        try:
            self._write(self._session.send(message))
        except LocalProtocolError:
            return  # the channel or the link is over, and whoever needs to know hears of it
        self._link.flush()

    def pump(self, number: int) -> None:
        """What the flows of a channel may send now; later, when the link is full."""
        if self._link.waiting > LINK_HIGH_WATER and self._nursery is not None:
            if not self._full:
                self._nursery.start_soon(self._make_room)
            self._full[number] = None
            return
        for parts in self._session.unsent(number):
            self._write(*parts)
        self._link.flush()

    async def _make_room(self) -> None:
        while self._full:
            try:
                await self._link.room()
            except LinkClosed:
                return
            number = next(iter(self._full))
            del self._full[number]
            for parts in self._session.unsent(number):
                self._write(*parts)

    def let_go(self, number: int) -> None:
        """Whoever opened the channel does not want it any more."""
        if self._hearers.pop(number, None) is not None:
            self.say(Cancel(number))

    def _write(self, *parts: bytes | memoryview) -> None:
        try:
            self._link.write(*parts)
        except LinkClosed:
            return  # `run` hears of it
