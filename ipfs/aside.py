"""Large blocks are decoded in a thread, so that everybody else is served meanwhile; assembly.

In:  a verified block (what it says is untrusted), what is to be done with it. Out: the same answer, or the same error.
What is small is done at once: the way to a thread and back takes longer.
"""

from collections.abc import Callable, Generator
from functools import partial
from math import inf
from time import thread_time
from typing import TypeVar

import trio

from ipfs.caps import ASIDE
from ipfs.cid import RAW, Cid
from ipfs.troubles import TooLarge

T = TypeVar("T")


async def worked_out(cid: Cid, block: bytes, work: Callable[[], T]) -> T:
    """A raw block has nothing to decode."""
    if len(block) <= ASIDE or cid.codec == RAW:
        return work()
    return await trio.to_thread.run_sync(work)


class Worker:
    """The same for one request, which may take so many seconds of a processor for it."""

    def __init__(self, most: float = inf) -> None:
        self._most = most
        self.seconds = 0.0

    async def out(self, cid: Cid, block: bytes, work: Callable[[], T]) -> T:
        """Raises TooLarge, and what the work raises."""
        found = await worked_out(cid, block, partial(self._timed, work))
        if self.seconds > self._most:
            raise TooLarge(f"Its blocks take more than the {self._most:g} seconds of processor time of this request.")
        return found

    def _timed(self, work: Callable[[], T]) -> T:
        began = thread_time()
        try:
            return work()
        finally:
            self.seconds += thread_time() - began


def step(question: Generator[Cid, bytes, T], block: bytes) -> tuple[Cid | None, list[T]]:
    """What a question of the reader wants next, or its answer: its end cannot leave a thread as it is."""
    try:
        return question.send(block), []
    except StopIteration as end:
        return None, [end.value]
