"""Wire: a link to a host that comes back; who needs one waits here.

In:  how to dial and greet, dice. Out: a usable HostLine for whoever asks, or the reason why there is none.

One task dials, greets and then is the line's task, and dials again when the line is lost and somebody waits for another
(an idle client whose host goes away makes no traffic). What may pass (nobody listens, the host stops) is tried again,
with pauses, until whoever waits has no more patience; what will not (a key that is not known, a host that has become
another) is told to all who wait.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal

import trio

from gatebus.client.backoff import pause
from gatebus.client.complaints import CLOSED, PASSING, BusError, HostError, LinkLost
from gatebus.clientbounds import RECONNECT_PATIENCE, STEADY_SECONDS
from gatebus.web.link import CannotConnect, LinkClosed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from gatebus.client.hostline import HostLine
    from gatebus.web.link import Link


def nobody(_what: Literal["lost", "back"]) -> None:
    """Where nobody wants to know."""


class _Waiter:
    """Somebody who needs a line."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.fault: BaseException | None = None


class Lifeline:
    def __init__(
        self,
        dial: Callable[[], AbstractAsyncContextManager[Link]],
        greet: Callable[[Link], Awaitable[HostLine]],
        dice: Callable[[], float],
        patience: float = RECONNECT_PATIENCE,
        on_link: Callable[[Literal["lost", "back"]], None] = nobody,
    ) -> None:
        """`on_link`: hears that somebody waits because the link was lost, and that there is another."""
        self._dial, self._greet, self._dice = dial, greet, dice
        self._patience = patience
        self._on_link = on_link
        self._missed = False  # `on_link` has heard that it was lost
        self._line: HostLine | None = None
        self._waiters: dict[_Waiter, None] = {}
        self._wanted = trio.Event()
        self._reason = "The connection was lost."
        self._connected_once = False
        self._over = False  # whoever made the bus has left it
        self.connections = 0  # how many links there have been

    async def line(self) -> HostLine:
        """A line on which operations may begin. Raises LinkLost, NotTrusted, HostError, CannotConnect at first."""
        if self._line is not None and self._line.usable:
            return self._line
        if self._over:
            raise LinkLost(CLOSED)
        waiter = _Waiter()
        self._waiters[waiter] = None
        self._wanted.set()
        try:
            with trio.move_on_after(self._patience):
                await waiter.done.wait()
        finally:
            self._waiters.pop(waiter, None)
        if waiter.fault is not None:
            raise copy.copy(waiter.fault)
        if self._line is None or not self._line.usable:
            raise LinkLost(f"There is no connection to the host. {self._reason}")
        return self._line

    async def run(self) -> None:
        """For ever."""
        try:
            await self._keep_up()
        finally:
            self._over = True
            self._tell(LinkLost(CLOSED))

    async def _keep_up(self) -> None:
        failures = 0
        while True:
            if not self._waiters:
                self._wanted = trio.Event()
                await self._wanted.wait()
            if self._connected_once and not self._missed:
                self._missed = True
                self._on_link("lost")
            began = trio.current_time()
            fault = await self._live()
            steady = self._line_lived(began)
            failures = 0 if steady else failures + 1
            if fault is not None:
                self._reason = str(fault)
                if not self._passing(fault):
                    self._tell(fault)
                    continue
            if not steady:
                await trio.sleep(pause(failures - 1, self._dice()))

    def _line_lived(self, began: float) -> bool:
        self._line = None
        return trio.current_time() - began >= STEADY_SECONDS

    async def _live(self) -> BusError | CannotConnect | None:
        """One link, from dialling to its end. Why it ended, when that is known."""
        try:
            async with self._dial() as link:
                line = await self._greet(link)
                self._line = line
                await line.run(self._up)
                return line.fault
        except LinkClosed as closed:
            return LinkLost(closed.text)
        except (BusError, CannotConnect) as fault:
            return fault

    def _up(self) -> None:
        self._connected_once = True
        self.connections += 1
        if self._missed:
            self._missed = False
            self._on_link("back")
        for waiter in self._waiters:
            waiter.done.set()
        self._waiters.clear()

    def _passing(self, fault: BusError | CannotConnect) -> bool:
        """Worth another attempt. The very first one is not repeated: the address may be wrong."""
        if not self._connected_once:
            return False
        if isinstance(fault, HostError):
            return fault.code in PASSING
        return isinstance(fault, LinkLost | CannotConnect)

    def _tell(self, fault: BusError | CannotConnect) -> None:
        for waiter in self._waiters:
            waiter.fault = fault
            waiter.done.set()
        self._waiters.clear()
