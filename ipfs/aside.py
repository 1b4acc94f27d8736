"""Large blocks are decoded in a thread, so that everybody else is served meanwhile; assembly.

In:  a verified block (what it says is untrusted), what is to be done with it. Out: the same answer, or the same error.
What is small is done at once: the way to a thread and back takes longer.
"""

from collections.abc import Callable, Generator
from typing import TypeVar

import trio

from ipfs.caps import ASIDE
from ipfs.cid import RAW, Cid

T = TypeVar("T")


async def worked_out(cid: Cid, block: bytes, work: Callable[[], T]) -> T:
    """A raw block has nothing to decode."""
    if len(block) <= ASIDE or cid.codec == RAW:
        return work()
    return await trio.to_thread.run_sync(work)


def step(question: Generator[Cid, bytes, T], block: bytes) -> tuple[Cid | None, list[T]]:
    """What a question of the reader wants next, or its answer: its end cannot leave a thread as it is."""
    try:
        return question.send(block), []
    except StopIteration as end:
        return None, [end.value]
