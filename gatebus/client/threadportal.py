"""Wire: a thread in which trio runs, for callers that have none.

In:  async functions and async context managers, from any other thread. Out: what they return or raise, or LinkLost when
it is over. A context that is entered lives in a task of its own, because trio wants it to be left where it was entered.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio

from gatebus.client.complaints import CLOSED, LinkLost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from typing import Self

T = TypeVar("T")


class _Held(Generic[T]):
    """A context that somebody outside has entered."""

    def __init__(self, context: AbstractAsyncContextManager[T]) -> None:
        self.value: T
        self._context = context
        self._entered, self._leave, self._left = trio.Event(), trio.Event(), trio.Event()
        self._fault: Exception | None = None

    async def live(self) -> None:
        try:
            async with self._context as self.value:
                self._entered.set()
                await self._leave.wait()
        except Exception as fault:
            self._fault = fault
        finally:
            self._entered.set()
            self._left.set()

    async def entered(self) -> None:
        await self._entered.wait()
        if self._fault is not None:
            raise self._fault

    async def leave(self) -> None:
        self._leave.set()
        await self._left.wait()
        if self._fault is not None:
            raise self._fault


@contextmanager
def _told_of_the_end() -> Iterator[None]:
    """Whoever comes, or still waits, when the context has been left. Raises LinkLost."""
    try:
        yield
    except (trio.RunFinishedError, trio.Cancelled):
        raise LinkLost(CLOSED) from None


class Portal:
    """`with Portal() as portal:`; it may be used by several threads at once."""

    def __init__(self) -> None:
        self._started = threading.Event()
        self._token: trio.lowlevel.TrioToken
        self._nursery: trio.Nursery
        self._thread = threading.Thread(target=trio.run, args=(self._main,), name="gatebus", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_error: object) -> None:
        trio.from_thread.run_sync(self._nursery.cancel_scope.cancel, trio_token=self._token)
        self._thread.join()

    async def _main(self) -> None:
        async with trio.open_nursery() as self._nursery:
            self._token = trio.lowlevel.current_trio_token()
            self._nursery.start_soon(trio.sleep_forever)
            self._started.set()

    def run(self, function: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        """Waits for an async function."""
        with _told_of_the_end():
            return trio.from_thread.run(partial(function, *args, **kwargs), trio_token=self._token)

    def run_sync(self, function: Callable[..., T], *args: Any) -> T:
        with _told_of_the_end():
            return trio.from_thread.run_sync(function, *args, trio_token=self._token)

    @contextmanager
    def entered(self, make: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
        held = self.run(self._enter, make)
        try:
            yield held.value
        finally:
            self.run(held.leave)

    async def _enter(self, make: Callable[[], AbstractAsyncContextManager[T]]) -> _Held[T]:
        held = _Held(make())
        self._nursery.start_soon(held.live)
        await held.entered()
        return held
