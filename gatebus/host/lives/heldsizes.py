"""How much a stopped program may have left, by what a running one can really have; words.

Where it stands: in front of everything that reads a snapshot or lets one in. In: the lengths that a manifest names
(untrusted: a file of 150 KB may name gigabytes, one chunk repeated) and the program's limits. Out: nothing, or
StateRefused before a byte of it is read; and, as long as somebody has what was read, its size in its account's memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatebus.accountbounds import (
    HELD_FREE,
    OWN_SERVICE_PART,
    ROUTE_PART,
    SERVICE_PART,
    SERVICES_PART,
    UNSENT_PART,
)
from gatebus.bounds import MAX_NAME, MAX_SERVICES
from gatebus.faults import StateRefused
from gatebus.host.quotas import Amounts
from gatebus.services.service_table import BUILTIN
from gatebus.snapshots.snapshotbounds import PART_MAX
from sandbox.stopping import state_max

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from gatebus.host.quotas import Quotas, Ticket
    from gatebus.snapshots.savedwords import Saved
    from sandbox.limits import Limits

SERVICE = "service:"
_OTHERS = {"unsent": UNSENT_PART, "streams": PART_MAX}


def lengths_of(saved: Saved) -> list[tuple[str, int]]:
    parts = [(name, len(content)) for name, content in saved.parts]
    return [("memory", saved.memory.size), ("state", len(saved.state)), *parts]


def check_lengths_untrusted(lengths: Sequence[tuple[str, int]], limits: Limits) -> None:
    """(name, bytes) of memory, state and parts, in this order. Raises StateRefused."""
    (_, memory), (_, state), *parts = lengths
    if memory > limits.memory:
        raise _too_large("memory", memory, limits.memory)
    if state > state_max(limits):
        raise _too_large("state", state, state_max(limits))
    services = [(name.removeprefix(SERVICE), length) for name, length in parts if name.startswith(SERVICE)]
    for name, length in services:
        if length > _most(name):
            raise _too_large("services", length, _most(name))
    for name, length in parts:
        if length > _OTHERS.get(name, PART_MAX):
            raise _too_large(name, length, _OTHERS.get(name, PART_MAX))
    whole = sum(length for _, length in services)
    if whole > SERVICES_PART:
        raise _too_large("services", whole, SERVICES_PART)
    if len(services) > MAX_SERVICES:
        raise StateRefused(f"The snapshot is of {len(services)} services; a program has at most {MAX_SERVICES}.")


def check_services_untrusted(lengths: Sequence[tuple[str, int]], here: Container[str]) -> None:
    """Of a file: what has more of a service than its open calls can go on only where that service is. Raises
    StateRefused.
    """
    for part, length in lengths:
        name = part.removeprefix(SERVICE)
        if name != part and name not in here and (length > ROUTE_PART or len(name.encode()) > MAX_NAME):
            raise StateRefused("The snapshot has something of a service that this host does not have.")


def _most(name: str) -> int:
    return SERVICE_PART if name in BUILTIN else OWN_SERVICE_PART


def _too_large(name: str, length: int, most: int) -> StateRefused:
    what = {"memory": "memory", "state": "state", "unsent": "input", "streams": "streams"}.get(name, "services' state")
    return StateRefused(f"The snapshot has {length} bytes of {what}; a program of its limits has at most {most}.")


class Held:
    """So much is in the host's memory, on this account. It is given back when nobody has it any more."""

    __slots__ = ("_account", "_quotas", "_size", "_ticket")

    def __init__(self, quotas: Quotas, account: str, size: int, covered: int = 0) -> None:
        """`covered`: what the instance's own ticket stands for. Raises Refusal."""
        self._quotas, self._account, self._size = quotas, account, size
        self._ticket: Ticket | None = None
        if (more := _counted(size, covered)) > 0:
            self._ticket = quotas.take(account, Amounts(memory=more))

    def cover(self, memory: int) -> None:
        """An instance is about to pay for so much of it."""
        if self._ticket is not None:
            self._quotas.release(self._ticket)
            more = _counted(self._size, memory)
            self._ticket = self._quotas.adopt(self._account, Amounts(memory=more)) if more else None

    def __del__(self) -> None:
        if (ticket := getattr(self, "_ticket", None)) is not None:
            self._quotas.release(ticket)


def _counted(size: int, covered: int) -> int:
    return max(0, size - covered - HELD_FREE)
