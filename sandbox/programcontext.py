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
    from types import TracebackType
    from uuid import UUID

    from sandbox.box import Sandbox
    from sandbox.image import Image
    from sandbox.limits import Limits
    from sandbox.program import Program
    from sandbox.setup import Setup
    from sandbox.suspended import Suspended


class Origin(NamedTuple):
    """From what a program goes on."""

    suspended: Suspended
    program: bytes | None
    share: bool = False
    lifecycle: Lifecycle = Lifecycle.RESUMED
    function: str | None = None


class Running:
    """The context of one program: started before the body, gone after it."""

    __slots__ = ("_box", "_entered", "_image", "_instance", "_limits", "_origin", "_program", "_setup")

    def __init__(
        self,
        box: Sandbox,
        image: Image,
        setup: Setup,
        limits: Limits,
        instance: UUID | None,
        origin: Origin | None = None,
    ) -> None:
        self._box, self._image, self._setup, self._limits = box, image, setup, limits
        self._origin = origin
        self._instance = instance.bytes if instance is not None else os.urandom(16)
        self._program: Program | None = None
        self._entered = False

    async def __aenter__(self) -> Program:
        if self._entered:
            raise RuntimeError("a program's context can be entered once")
        self._entered = True
        return self._program or await self.ahead()

    async def ahead(self) -> Program:
        """Begins before the body does. Whoever asks for it enters this afterwards, or calls `aclose`."""
        words = self._image, self._setup, self._limits, self._instance
        if self._origin is None:
            self._program = await self._box._launch(*words)
        else:
            self._program = await self._box._relaunch(*words, self._origin)
        return self._program

    async def aclose(self) -> None:
        """Of one that was begun ahead and that nobody has entered."""
        if self._program is not None and not self._entered:
            self._entered = True
            await self._box._end(self._program)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._program is not None
        try:
            await self._box._end(self._program)
        except StartFailed:
            if error is None or isinstance(error, BrokenProgram):
                raise  # it is the reason; any other error of the body says more
