"""How many links there may be, in total and from one address, and how many connections that are none; words, no I/O.

In:  numeric addresses of who connects. Out: a Seat for everybody, and for a link a place or the reason why there is
none. Connections that are no links (slowloris, idle browsers) have places of their own, and make room when a new one
comes, the oldest first: so who speaks always gets through, however many keep silent and however few links are allowed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from gatebus.bounds import CONNECTIONS, CONNECTIONS_PER_ADDRESS, HALF_OPEN_CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Capacity:
    """`connections`, `per_address`: of links."""

    connections: int = CONNECTIONS
    per_address: int = CONNECTIONS_PER_ADDRESS
    half_open: int = HALF_OPEN_CONNECTIONS


FULL = "This host has as many connections as it takes. Try again later."
FULL_OF_ONE = "Your address has as many connections as one may have here. Close some."


class Crowd:
    """Everybody who is connected to one server."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._by_source: Counter[str] = Counter()  # links
        self._half_open: dict[Seat, Callable[[], None]] = {}
        self._links = 0

    def __len__(self) -> int:
        return self._links + len(self._half_open)

    def enter(self, address: str, evict: Callable[[], None]) -> Seat:
        """`evict` ends the connection; it may be called until the seat settles."""
        seat = Seat(self, source_of(address))
        self._half_open[seat] = evict
        while len(self._half_open) > self._capacity.half_open:
            self.evict_oldest()
        return seat

    def evict_oldest(self) -> None:
        if self._half_open:
            seat = next(iter(self._half_open))
            self._half_open.pop(seat)()

    def is_half_open(self, seat: Seat) -> bool:
        return seat in self._half_open

    def settle(self, seat: Seat) -> str:
        if self._links >= self._capacity.connections:
            return FULL
        if seat.source and self._by_source[seat.source] >= self._capacity.per_address:
            return FULL_OF_ONE
        self._half_open.pop(seat, None)
        self._links += 1
        self._by_source[seat.source] += 1
        seat.settled = True
        return ""

    def leave(self, seat: Seat) -> None:
        self._half_open.pop(seat, None)
        if seat.settled:
            self._links -= 1
            self._by_source[seat.source] -= 1
            if not self._by_source[seat.source]:
                del self._by_source[seat.source]


@dataclass(slots=True, eq=False)
class Seat:
    """One connection's place."""

    crowd: Crowd
    source: str
    settled: bool = False

    def is_open(self) -> bool:
        """It is not a link yet, and was not evicted."""
        return self.crowd.is_half_open(self)

    def settle(self) -> str:
        """Once: it is a link. Nothing, or the reason why not; then it stays what it was."""
        return self.crowd.settle(self)

    def leave(self) -> None:
        """Once."""
        self.crowd.leave(self)


def source_of(address: str) -> str:
    """What counts as one address: IPv6 by its /64, which is what one customer gets; "" for this machine itself."""
    if not address:
        return ""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_loopback:
        return ""
    if isinstance(found, IPv6Address):
        return str(IPv6Address(int(found) >> 64 << 64))
    return str(found)
