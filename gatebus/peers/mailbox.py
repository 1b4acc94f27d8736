"""What one program is still to hear: messages and notices, in order, when it does not read; words.

In:  letters for the program; that there is room again.
Out: each letter once, through `deliver`, as soon as there is room.

Two kinds. Messages have a bound: what does not fit is dropped, and one notice at the place of the first of them says
how many. Notices (who joined, who left) are never dropped, and need no bound of their own: a member who came and went
unheard is not mentioned at all, nor is what it said, so that no more can wait than there are members.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from gatebus.bounds import LETTER_COST, MAILBOX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatebus.peers.gathering import Member

_COUNT = Struct("<I")
_COUNT_MAX = 2**32 - 1


class Kind(IntEnum):
    """What a program is told. The numbers are those of the service `group` (docs/peers.md)."""

    JOINED = 1
    LEFT = 2
    MESSAGE = 4
    DIRECT = 5
    LOST = 6
    ANEW = 7


class Letter(NamedTuple):
    """`number`: of the member that it is about. The text of a JOINED is made when it is delivered."""

    kind: Kind
    handle: int
    number: int
    content: bytes = b""
    member: Member | None = None


class Mailbox:
    """One program's, for all its groups."""

    def __init__(
        self, deliver: Callable[[Letter], None], has_room: Callable[[], bool], places: int = MAILBOX_BYTES
    ) -> None:
        self._deliver = deliver
        self._has_room = has_room
        self._places = places
        self._waiting: OrderedDict[int, Letter] = OrderedDict()
        self._last = 0
        self._size = 0  # of the messages
        self._lost: dict[int, int] = {}  # handle -> messages; its notice waits
        self._unheard: dict[tuple[int, int], list[int]] = {}  # member whose JOINED waits -> that, and its messages

    @property
    def empty(self) -> bool:
        return not self._waiting

    def message(self, letter: Letter) -> bool:
        """False: dropped."""
        if not self._waiting and self._has_room():
            self._deliver(letter)
            return True
        cost = len(letter.content) + LETTER_COST
        if self._size + cost > self._places:
            self._lose(letter.handle)
            return False
        self._size += cost
        place = self._wait(letter)
        unheard = self._unheard.get((letter.handle, letter.number))
        if unheard is not None:
            unheard.append(place)
        return True

    def joined(self, letter: Letter) -> None:
        if not self._waiting and self._has_room():
            self._deliver(letter)
        else:
            self._unheard[letter.handle, letter.number] = [self._wait(letter)]

    def left(self, letter: Letter) -> None:
        unheard = self._unheard.pop((letter.handle, letter.number), None)
        if unheard is None:
            self.notice(letter)
            return
        for place in unheard:
            forgotten = self._waiting.pop(place)
            if forgotten.kind is not Kind.JOINED:
                self._size -= len(forgotten.content) + LETTER_COST
                self._lose(letter.handle)

    def notice(self, letter: Letter) -> None:
        if not self._waiting and self._has_room():
            self._hand_over(letter)
        else:
            self._wait(letter)

    def room_again(self) -> None:
        while self._waiting and self._has_room():
            _place, letter = self._waiting.popitem(last=False)
            self._hand_over(letter)

    def forget(self, handle: int) -> None:
        """The program has left that group: it hears no more of it."""
        for place in [place for place, letter in self._waiting.items() if letter.handle == handle]:
            self._out(self._waiting.pop(place))

    def lost(self, handle: int) -> int:
        """Messages that this program will not hear if it is saved now."""
        waiting = (letter for letter in self._waiting.values() if letter.handle == handle)
        return self._lost.get(handle, 0) + sum(letter.kind in (Kind.MESSAGE, Kind.DIRECT) for letter in waiting)

    def lose(self, handle: int, count: int) -> None:
        """Messages are gone: said once, with a number."""
        known = self._lost.get(handle)
        self._lost[handle] = min(_COUNT_MAX, (known or 0) + count)
        if known is None:
            self.notice(Letter(Kind.LOST, handle, 0))

    def _lose(self, handle: int) -> None:
        self.lose(handle, 1)

    def _wait(self, letter: Letter) -> int:
        self._last += 1
        self._waiting[self._last] = letter
        return self._last

    def _hand_over(self, letter: Letter) -> None:
        self._deliver(self._out(letter))

    def _out(self, letter: Letter) -> Letter:
        """It waits no longer."""
        if letter.kind in (Kind.MESSAGE, Kind.DIRECT):
            self._size -= len(letter.content) + LETTER_COST
        elif letter.kind is Kind.JOINED:
            self._unheard.pop((letter.handle, letter.number), None)
        elif letter.kind is Kind.LOST:
            return letter._replace(content=_COUNT.pack(self._lost.pop(letter.handle, 0)))
        return letter
