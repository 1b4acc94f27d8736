"""Totals that hold from the first day: how much of what, per host and per account; words.

Where it stands: asked before anything is spent, by whoever is about to spend it. In: an account (Principal.account) and
Amounts. Out: a frozen Ticket that is given back once, or a Refusal with the numbers.

One take is one decision: an instance and its memory are both there or neither. The host is looked at first, because
what it has not got nobody gets; the account's own line is the same for all keys and local users, and strangers share
one account.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from gatebus.bounds import (
    HOST_CONNECTIONS,
    HOST_INSTANCES,
    HOST_MEMORY,
    HOST_STORED,
    HOST_UPLOADS,
    PRINCIPAL_CONNECTIONS,
    PRINCIPAL_INSTANCES,
    PRINCIPAL_MEMORY,
    PRINCIPAL_STORED,
    PRINCIPAL_UPLOADS,
    STRANGERS_CONNECTIONS,
    STRANGERS_INSTANCES,
    STRANGERS_MEMORY,
    STRANGERS_STORED,
    STRANGERS_UPLOADS,
)
from gatebus.host.principals import ANONYMOUS_ACCOUNT
from gatebus.host.refusals import MAKE_ROOM, Refusal, in_bytes, unit_of


@dataclass(frozen=True, slots=True)
class Amounts:
    """So much of each; a use, or a bound on it."""

    instances: int = 0
    memory: int = 0
    stored: int = 0
    uploads: int = 0
    connections: int = 0

    def values(self) -> tuple[int, ...]:
        return self.instances, self.memory, self.stored, self.uploads, self.connections

    def items(self) -> Iterator[tuple[str, int]]:
        for each in fields(self):
            yield each.name, getattr(self, each.name)


HOST = Amounts(HOST_INSTANCES, HOST_MEMORY, HOST_STORED, HOST_UPLOADS, HOST_CONNECTIONS)
PRINCIPAL = Amounts(PRINCIPAL_INSTANCES, PRINCIPAL_MEMORY, PRINCIPAL_STORED, PRINCIPAL_UPLOADS, PRINCIPAL_CONNECTIONS)
STRANGERS = Amounts(STRANGERS_INSTANCES, STRANGERS_MEMORY, STRANGERS_STORED, STRANGERS_UPLOADS, STRANGERS_CONNECTIONS)

_COUNT = len(fields(Amounts))
_NOTHING = (0,) * _COUNT

# Amount -> (code of the refusal, what it is called, whether it is bytes, what to do)
_WORDS = {
    "instances": ("quota-instances", "instances", False, "Wait for one to end, or kill one."),
    "memory": ("quota-memory", "memory", True, "Ask for less, or wait for an instance to end."),
    "stored": ("quota-storage", "stored modules and snapshots", True, MAKE_ROOM),
    "uploads": ("quota-uploads", "uploads at once", False, "Wait for one to end."),
    "connections": ("quota-connections", "connections", False, "Close some."),
}


@dataclass(frozen=True, slots=True)
class QuotaBounds:
    """The configuration's part [quotas]."""

    host: Amounts = HOST
    principal: Amounts = PRINCIPAL
    anonymous: Amounts = STRANGERS

    def of(self, account: str) -> Amounts:
        return self.anonymous if account == ANONYMOUS_ACCOUNT else self.principal


class Ticket(NamedTuple):
    """What was taken; given back once, and every further time without effect."""

    number: int
    account: str
    amounts: Amounts


class Quotas:
    """The book that is kept. An account that has nothing is not in it. Sums are lists of plain numbers: every call of a
    program passes here twice, and frozen values for each sum took four times as long.
    """

    def __init__(self, bounds: QuotaBounds | None = None) -> None:
        self.bounds = bounds or QuotaBounds()
        self._used = [0] * _COUNT
        self._accounts: dict[str, list[int]] = {}
        self._open: set[int] = set()
        self._last = 0

    def take(self, account: str, amounts: Amounts) -> Ticket:
        """Raises Refusal with the numbers; then nothing was taken."""
        wanted = amounts.values()
        if _too_much(self._used, wanted, self.bounds.host.values()):
            raise _refusal("This host has", self._used, wanted, self.bounds.host.values())
        have, bound = self._accounts.get(account, _NOTHING), self.bounds.of(account).values()
        if _too_much(have, wanted, bound):
            raise _refusal(f"{_whose(account)} have", have, wanted, bound)
        return self.adopt(account, amounts)

    def host_lacks(self, amounts: Amounts) -> bool:
        """It is not the account's own bound that is in the way."""
        return _too_much(self._used, amounts.values(), self.bounds.host.values())

    def adopt(self, account: str, amounts: Amounts) -> Ticket:
        """Of what is there already, such as modules of an earlier run: counted, even if it is more than the bound."""
        have = self._accounts.setdefault(account, [0] * _COUNT)
        for place, value in enumerate(amounts.values()):
            assert value >= 0
            self._used[place] += value
            have[place] += value
        self._last += 1
        self._open.add(self._last)
        return Ticket(self._last, account, amounts)

    def release(self, ticket: Ticket) -> bool:
        """False: it was given back before."""
        if ticket.number not in self._open:
            return False
        self._open.remove(ticket.number)
        have = self._accounts[ticket.account]
        for place, value in enumerate(ticket.amounts.values()):
            self._used[place] -= value
            have[place] -= value
        if not any(have):
            del self._accounts[ticket.account]
        return True

    def used(self, account: str) -> Amounts:
        return Amounts(*self._accounts.get(account, _NOTHING))

    @property
    def total(self) -> Amounts:
        return Amounts(*self._used)

    @property
    def accounts(self) -> int:
        """How many have anything."""
        return len(self._accounts)

    def statement(self, account: str) -> dict[str, dict[str, int]]:
        """For the operation `usage`: name -> {used, limit}."""
        bounds, used = self.bounds.of(account), self.used(account)
        return {name: {"used": getattr(used, name), "limit": limit} for name, limit in bounds.items()}


def _whose(account: str) -> str:
    return "All connections without a key together" if account == ANONYMOUS_ACCOUNT else "You"


def _too_much(used: Sequence[int], wanted: Sequence[int], bound: Sequence[int]) -> bool:
    """What is not asked for is not looked at: what is there already may be more than its bound."""
    for have, more, limit in zip(used, wanted, bound, strict=True):  # noqa: SIM110, a generator takes twice as long
        if more and have + more > limit:
            return True
    return False


def _refusal(who: str, used: Sequence[int], wanted: Sequence[int], bound: Sequence[int]) -> Refusal:
    """The first total that is too small."""
    lines = zip(_WORDS, used, wanted, bound, strict=True)
    name, have, more, limit = next(line for line in lines if line[2] and line[1] + line[2] > line[3])
    code, called, are_bytes, advice = _WORDS[name]
    if not are_bytes:
        return Refusal(code, f"{who} {have} of {limit} {called}; {more} more are too many. {advice}")
    numbers = f"{in_bytes(have, limit)} of {in_bytes(limit, limit)} {unit_of(limit)[0]} of {called}"
    return Refusal(code, f"{who} {numbers}; {in_bytes(more, limit)} more are too many. {advice}")
