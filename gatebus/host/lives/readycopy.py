"""One copy of a warm program that waits to be wanted; a wire.

Where it stands: between those who keep such copies (waitingcopies) and the life loop, which enters one in the place of
a process of its own. In: a program's context, begun ahead. Out: the process; or NotReady, and another way must be gone.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from gatebus.faults import GatebusError
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from types import TracebackType

    from gatebus.host.quotas import Ticket
    from sandbox.program import Program
    from sandbox.programcontext import Running

# A copy that does not end at once when it is killed is the sandbox's problem, and told of there.
_END_SECONDS = 5.0


class NotReady(GatebusError):
    """This copy cannot be had: another way must be gone. Nobody outside hears of it."""


class Ready:
    """One copy. In the place of a Running: whoever enters it has the process; who does not gives it back."""

    def __init__(self, running: Running, ticket: Ticket) -> None:
        self._running, self.ticket = running, ticket
        self._program: Program | None = None
        self.begun = trio.Event()
        self.wanted = False  # whoever took it is on his way
        self.over: trio.Event | None = None  # the instance that it was taken for has ended
        self.settled = trio.Event()  # it was entered or given back
        self.taken = False

    async def begin(self) -> Program:
        try:
            self._program = await self._running.ahead()
        finally:
            self.begun.set()
        return self._program

    async def __aenter__(self) -> Program:
        """Raises NotReady."""
        try:
            if not self.begun.is_set():
                await self.begun.wait()
            if self._program is None or self._program.ended or self.settled.is_set():
                raise NotReady("The copy has ended.")
            await self._program.unpark()
            program = await self._running.__aenter__()
            self.taken = True
            return program
        finally:
            self.settled.set()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._running.__aexit__(kind, error, trace)

    def give_back(self) -> None:
        """Nobody will enter it."""
        self.wanted = True
        self.settled.set()

    async def aclose(self) -> None:
        """Never raises what the sandbox says of it: nobody waits for this copy any more."""
        if not self.taken:
            with (
                suppress(SandboxError),
                trio.CancelScope(shield=True, deadline=trio.current_time() + _END_SECONDS),
            ):
                await self._running.aclose()
