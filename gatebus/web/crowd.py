"""How many connections there may be, in total, from one address, and without having said anything; words, no I/O.

In:  numeric addresses of who connects. Out: a Seat, or None. A connection that has become a link is settled. Those that
have not (slowloris, idle browsers) make room when a new one comes, the oldest first: so who speaks always gets through,
however many keep silent.
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
    connections: int = CONNECTIONS
    per_address: int = CONNECTIONS_PER_ADDRESS
    half_open: int = HALF_OPEN_CONNECTIONS


class Crowd:
    """Everybody who is connected to one server."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._by_source: Counter[str] = Counter()
        self._half_open: dict[Seat, Callable[[], None]] = {}
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def enter(self, address: str, evict: Callable[[], None]) -> Seat | None:
        """`evict` ends the connection; it may be called until the seat settles. None: there is no place."""
        source = source_of(address)
        if self._total >= self._capacity.connections or (
            source and self._by_source[source] >= self._capacity.per_address
        ):
            return None
        seat = Seat(self, source)
        self._total += 1
        self._by_source[source] += 1
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

    def settle(self, seat: Seat) -> None:
        self._half_open.pop(seat, None)

    def leave(self, seat: Seat) -> None:
        self._half_open.pop(seat, None)
        self._total -= 1
        self._by_source[seat.source] -= 1
        if not self._by_source[seat.source]:
            del self._by_source[seat.source]


@dataclass(frozen=True, slots=True, eq=False)
class Seat:
    """One connection's place."""

    crowd: Crowd
    source: str

    def is_open(self) -> bool:
        """It is not a link yet, and was not evicted."""
        return self.crowd.is_half_open(self)

    def settle(self) -> None:
        self.crowd.settle(self)

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
