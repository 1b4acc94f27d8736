"""Cancelling some work before its n-th step, for every n: what tests of cancellation share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Counts = Callable[[trio.lowlevel.Task, trio.lowlevel.Task], bool]


class CancelAt(trio.abc.Instrument):
    """Cancels a scope right before the n-th step of those that count."""

    def __init__(self, scope: trio.CancelScope, step: int, counts: Counts) -> None:
        self._scope, self._steps, self._counts = scope, step, counts
        self._task = trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._counts(task, self._task):
            self._steps -= 1
            if not self._steps:
                self._scope.cancel()


def anybody(_task: trio.lowlevel.Task, _worker: trio.lowlevel.Task) -> bool:
    """Steps of every task count: of the other end, too."""
    return True


def its_own(task: trio.lowlevel.Task | None, ancestor: trio.lowlevel.Task) -> bool:
    """Steps of the task that works count, and of any that it began."""
    while task is not None and task is not ancestor:
        task = task.parent_nursery.parent_task if task.parent_nursery else None
    return task is ancestor


async def cancelled_at(step: int, work: Callable[[], Awaitable[object]], counts: Counts = its_own) -> bool:
    """False when the work was over before the step came."""
    with trio.CancelScope() as scope:
        instrument = CancelAt(scope, step, counts)
        trio.lowlevel.add_instrument(instrument)
        try:
            await work()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return scope.cancelled_caught
