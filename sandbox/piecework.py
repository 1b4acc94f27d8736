"""Wire: long work in pieces, of which the event loop does one each time it goes round.

In:  a generator that yields after each piece (words: they know nothing of this). Out: what it returns, or its error.

However many have such work, one piece of all of them is done in each turn, and they take turns: who asks for more
waits, and nobody else does. What lost: a thread (it holds the interpreter for 5 ms at a time, each time that the loop
wants it back), a piece for each who works (a hundred of them are one long piece).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Generator

T = TypeVar("T")


class PieceWork:
    """One for a host."""

    def __init__(self) -> None:
        self._next = trio.Lock()

    async def done(self, work: Generator[None, None, T]) -> T:
        """What it returns. Raises what it raises."""
        while True:
            async with self._next:  # who waits for it gets it in the next turn
                try:
                    next(work)
                except StopIteration as end:
                    result: T = end.value
                    return result
