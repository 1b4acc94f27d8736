"""Wire: tasks that live as long as a body, whose errors stay their own.

A plain nursery wraps what its body raises into an ExceptionGroup. Whoever opens a sandbox must see a Refused as a
Refused, so the body's exception goes around the nursery, which is cancelled first.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def background_tasks() -> AsyncIterator[trio.Nursery]:
    """A nursery, cancelled when the body ends. A task's error cancels the body and comes out as an ExceptionGroup."""
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except BaseException as error:
            if _cancels(error):
                raise  # a Cancelled belongs to a scope, perhaps to this nursery's: only the nursery can tell
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _cancels(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(trio.Cancelled) is not None
    return isinstance(error, trio.Cancelled)
