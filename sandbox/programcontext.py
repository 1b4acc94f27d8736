"""Wire: the context of one program: its process begins before the body, or ahead of it, and is gone after it.

In:  what a sandbox was asked to start or to go on with. Out: a Program for the body. Who begins one ahead owns its
process until somebody enters the context, or ends it with `aclose`: a pool of programs that wait to be wanted does so.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from sandbox.errors import BrokenProgram, StartFailed
from sandbox.lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from uuid import UUID

    from sandbox.program import Program
    from sandbox.suspended import Suspended


class Origin(NamedTuple):
    """From what a program goes on."""

    suspended: Suspended
    program: bytes | None
    share: bool = False
    lifecycle: Lifecycle = Lifecycle.RESUMED
    function: str | None = None


def name_bytes(instance: UUID | None) -> bytes:
    """What a program is called; one without a name gets one of its own."""
    return instance.bytes if instance is not None else os.urandom(16)


class Running:
    """The context of one program: started before the body, gone after it. `begin`, `end`: of the sandbox that it is of;
    `end` of one that has ended does nothing, and raises what nobody was told.
    """

    __slots__ = ("_begin", "_end", "_entered", "_program")

    def __init__(self, begin: Callable[[], Awaitable[Program]], end: Callable[[Program], Awaitable[None]]) -> None:
        self._begin, self._end = begin, end
        self._program: Program | None = None
        self._entered = False

    async def __aenter__(self) -> Program:
        if self._entered:
            raise RuntimeError("a program's context can be entered once")
        self._entered = True
        return self._program or await self.ahead()

    async def ahead(self) -> Program:
        """Begins before the body does. Whoever asks for it enters this afterwards, or calls `aclose`."""
        begin, self._begin = self._begin, _begun_already
        self._program = await begin()  # what it goes on from is nobody's here any more: it may be large
        return self._program

    async def aclose(self) -> None:
        """Of one that was begun ahead and that nobody has entered."""
        if self._program is not None and not self._entered:
            self._entered = True
            await self._end(self._program)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._program is not None
        try:
            await self._end(self._program)
        except StartFailed:
            if error is None or isinstance(error, BrokenProgram):
                raise  # it is the reason; any other error of the body says more


async def _begun_already() -> Program:
    raise RuntimeError("a program begins once")
