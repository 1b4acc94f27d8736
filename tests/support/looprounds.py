"""How often the event loop goes round, and how much is done at once: counts, where a clock would time the machine."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Rounds(trio.abc.Instrument):
    """In each round everybody who can go on has one turn. `calls`: of functions by the loop's thread, in this round;
    `most`: in any.
    """

    def __init__(self) -> None:
        self.count = self.calls = self.most = 0

    def after_io_wait(self, _timeout: float) -> None:
        self.count += 1
        self.most = max(self.most, self.calls)
        self.calls = 0

    def called(self, _frame: FrameType, event: str, _argument: object) -> None:
        self.calls += event in ("call", "c_call")


@contextmanager
def rounds() -> Iterator[Rounds]:
    counted = Rounds()
    trio.lowlevel.add_instrument(counted)
    try:
        yield counted
    finally:
        trio.lowlevel.remove_instrument(counted)


@contextmanager
def calls_counted() -> Iterator[Rounds]:
    """Calls, too: whatever takes seconds of a processor makes a hundred thousand of them, on any machine."""
    before = sys.getprofile()
    with rounds() as counted:
        sys.setprofile(counted.called)
        try:
            yield counted
        finally:
            sys.setprofile(before)
            counted.most = max(counted.most, counted.calls)
