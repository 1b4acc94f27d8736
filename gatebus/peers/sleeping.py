"""A program that is stored and may be woken by its peers: the names that it is asked for by, and what is said to it
meanwhile; words.

Where it stands: in the groups that the program was in when it was stored, beside their members, and none of them: the
others were told that it is gone. In: messages to all of a group, questions of `peer` for one of its names. Out: a call
that it is wanted; and when it is there again, what it has missed, once.

What is kept has two bounds: a mailbox of each, and one for all of a principal, since thousands may sleep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gatebus.accountbounds import SLEEPERS_BYTES
from gatebus.bounds import LETTER_COST, MAILBOX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable


class Said(NamedTuple):
    """To all of a group, by the member of this number."""

    number: int
    content: bytes


class Missed(NamedTuple):
    """By one program in one group. `lost`: how many more there were."""

    letters: list[Said]
    lost: int = 0


class Shelf:
    """Room for what all sleepers of one principal have missed."""

    __slots__ = ("taken",)

    def __init__(self) -> None:
        self.taken = 0


class Sleeper:
    """`program`: the name of its instance. `call`: it is wanted; called for each message and question."""

    __slots__ = ("_call", "_missed", "_shelf", "_size", "program")

    def __init__(self, program: bytes, shelf: Shelf, call: Callable[[], None]) -> None:
        self.program = program
        self._shelf, self._call = shelf, call
        self._missed: dict[bytes, Missed] = {}  # by group
        self._size = 0

    def wanted(self) -> None:
        """Somebody asks for it."""
        self._call()

    def said(self, group: bytes, number: int, content: bytes) -> bool:
        """A message to all. False: there is no room for it, and it is lost; the program is wanted all the same."""
        missed, cost = self._missed.get(group) or Missed([]), len(content) + LETTER_COST
        fits = self._size + cost <= MAILBOX_BYTES and self._shelf.taken + cost <= SLEEPERS_BYTES
        if fits:
            missed.letters.append(Said(number, content))
            self._grow(cost)
        self._missed[group] = missed if fits else missed._replace(lost=missed.lost + 1)
        self._call()
        return fits

    def take(self, group: bytes) -> Missed:
        """It is there again."""
        missed = self._missed.pop(group, Missed([]))
        self._grow(-sum(len(each.content) + LETTER_COST for each in missed.letters))
        return missed

    def over(self) -> None:
        """It sleeps no longer: it runs, or never will."""
        for group in tuple(self._missed):
            self.take(group)

    def _grow(self, size: int) -> None:
        self._size += size
        self._shelf.taken += size
