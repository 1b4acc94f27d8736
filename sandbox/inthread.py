"""Wire: a call in a thread, of which nothing is left when it fails.

In:  a function that blocks, its arguments. Out: what it returns, or the same error.

Nobody else here calls trio.to_thread.run_sync: an error that comes through it is held by a frame that the error's own
traceback holds, and with it all frames between: whatever they had in hand (a program's state, its memory) stays until
the collector comes by, which may be never.
"""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, Unpack, cast

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


async def in_thread(
    function: Callable[[Unpack[Arguments]], T],
    *arguments: *Arguments,
    abandon_on_cancel: bool = False,
    limiter: trio.CapacityLimiter | None = None,
) -> T:
    """As trio.to_thread.run_sync. Raises OSError, too: there is no thread to be had."""
    found: list[tuple[T | None, BaseException | None]] = []
    work = partial(_try, partial(function, *arguments), found)
    try:
        await trio.to_thread.run_sync(work, abandon_on_cancel=abandon_on_cancel, limiter=limiter)
    except RuntimeError as none:  # as Python says it; `work` itself raises nothing
        raise OSError(errno.ENOMEM, "No thread could be made") from none
    done, fault = found.pop()
    if fault is None:
        return cast("T", done)
    try:
        raise fault
    finally:
        del fault  # or its traceback would hold this frame, and this frame it


def _try(function: Callable[[], T], found: list[tuple[T | None, BaseException | None]]) -> None:
    """No frame of the thread returns the error: whoever calls a frame is held by it."""
    try:
        found.append((function(), None))
    except BaseException as fault:  # raised where it is waited for
        found.append((None, fault))
