"""One turn of the host: what one batch causes is sent at its end, once for each receiver; words, no I/O.

In:  `with turn:` around the handling of a batch, of a program or of a client; inside of it whoever has queued something
     says `turn.at_end(flush)`, as often as it likes.
Out: each of them is called once, when the batch is handled. Outside of a turn it is called at once.

A host has one Turn for all its exchanges and links: then the packets of a batch that go to another program, or to a
client, leave in one system call instead of one each (6 us), and a batch that a client sends to a program likewise.
Nothing waits inside of a turn, so that turns of two tasks never overlap.
"""

from collections.abc import Callable

Flush = Callable[[], None]


class Turn:
    """Flushes must not raise: what goes wrong with one receiver is not the fault of whoever has the turn."""

    __slots__ = ("_due", "_under_way")

    def __init__(self) -> None:
        self._under_way = False
        self._due: dict[Flush, None] = {}

    def at_end(self, flush: Flush) -> None:
        if self._under_way:
            self._due[flush] = None
        else:
            flush()

    def __enter__(self) -> None:
        assert not self._under_way, "a turn does not wait, so that there is never a second one"
        self._under_way = True

    def __exit__(self, *_fault: object) -> None:
        """Flushing may make others want to flush: somebody has room again. Should one raise all the same, the others
        are flushed in the next turn.
        """
        try:
            while self._due:
                due, self._due = iter(self._due), {}
                try:
                    for flush in due:
                        flush()
                finally:
                    self._due = dict.fromkeys(due) | self._due
        finally:
            self._under_way = False
