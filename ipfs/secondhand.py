"""A second thread for what waits for the disk, so that the first one hashes meanwhile; a wire.

In:  work to be done, and how large it is. Out: nothing, or the first error, at the latest when it is left.

Both hash and disk leave the interpreter to others, so two threads do 1.5 times as much as one. A third would wait for
the same disk. What is small is done at once: handing it over would take as long.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from ipfs.caps import KIB

_LARGE = 64 * KIB
_AHEAD = 2  # pieces of work that wait for the second thread; then the first one does its own


class SecondHand:
    """Inside of `with`: `do` may return before the work is done; afterwards all of it is."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[None]] = deque()
        self._any = False

    def do(self, work: Callable[[], None], size: int) -> None:
        """Raises what this or an earlier piece of work raises."""
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft().result()
        if size < _LARGE or len(self._waiting) >= _AHEAD or not self._any:
            self._any = self._any or size >= _LARGE
            work()  # the first one, too: it may be the only one, and worth no thread
            return
        if self._pool is None:
            self._pool = self._stack.enter_context(ThreadPoolExecutor(1, "gatebus-blocks"))
        self._waiting.append(self._pool.submit(work))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """An error that is on its way already is the one that counts."""
        self._stack.close()
        if error is None:
            for each in self._waiting:
                each.result()
