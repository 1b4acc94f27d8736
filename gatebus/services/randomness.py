"""The service `random`: random bytes at a bounded rate; words: the randomness itself is an argument.

In:  a call whose first byte says how many bytes (0..255) are wanted.
Out: that many bytes. The reply is late by as much as the allowance demands; calls are answered in order, each its own
     reply.

The allowance keeps a program from draining the host's pool: an answer of n bytes leaves n times the time per byte
after the one before. After a restore the bytes are fresh: nothing random is ever saved.
"""

from collections import deque
from collections.abc import Callable
from struct import Struct, error

from gatebus.bounds import RANDOM_BITS_PER_MINUTE
from gatebus.faults import StateRefused
from gatebus.services.base import Call, Outlet, Service

Clock = Callable[[], float]
Randomness = Callable[[int], bytes]

_HEAD = Struct("<dI")  # seconds until the next answer may leave, number of waiting calls
_WAITING = Struct("<IB")  # ticket, bytes wanted


class Random(Service):
    """Waiting calls are bounded by the switchboard's bound on unanswered calls."""

    def __init__(self, outlet: Outlet, clock: Clock, randomness: Randomness) -> None:
        super().__init__(outlet)
        self._clock = clock
        self._randomness = randomness
        self._seconds_per_byte = 8 * 60 / RANDOM_BITS_PER_MINUTE
        self._last = clock()  # when the last answer left; at first: when the program met us
        self._waiting: deque[tuple[int, int]] = deque()

    def call(self, call: Call) -> None:
        wanted = call.content[0] if call.content else 0
        self._waiting.append((call.ticket, wanted))
        self.timeout(self._clock())

    def timeout(self, now: float) -> None:
        while self._waiting and self._due() <= now:
            ticket, wanted = self._waiting.popleft()
            self._last = now
            self.outlet.reply(ticket, self._randomness(wanted) if wanted else b"")

    def next_timeout(self) -> float | None:
        return self._due() if self._waiting else None

    def _due(self) -> float:
        return self._last + self._waiting[0][1] * self._seconds_per_byte

    def save(self) -> bytes:
        waiting = b"".join(_WAITING.pack(ticket, wanted) for ticket, wanted in self._waiting)
        return _HEAD.pack(self._clock() - self._last, len(self._waiting)) + waiting

    def for_copy(self, state: bytes) -> bytes:
        """All: who waits and since when. What they get is fresh."""
        return state

    def restore(self, state: bytes) -> None:
        try:
            since, count = _HEAD.unpack_from(state)
            waiting = list(_WAITING.iter_unpack(state[_HEAD.size :]))
        except error:
            raise StateRefused("The saved state of the service random is malformed.") from None
        if len(waiting) != count or not 0 <= since < float("inf"):
            raise StateRefused("The saved state of the service random is malformed.")
        self._last = self._clock() - since
        self._waiting = deque(waiting)
