"""Totals that hold from the first day: how much of what, per host and per account; words.

Where it stands: asked before anything is spent, by whoever is about to spend it. In: an account (Principal.account) and
Amounts. Out: a frozen Ticket that is given back once, or a Refusal with the numbers.

One take is one decision: an instance and its memory are both there or neither. The host is looked at first, because
what it has not got nobody gets; the account's own line is the same for all keys and local users, and strangers share
one account.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

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
from gatebus.host.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Amounts:
    """So much of each; a use, or a bound on it."""

    instances: int = 0
    memory: int = 0
    stored: int = 0
    uploads: int = 0
    connections: int = 0

    def __add__(self, other: "Amounts") -> "Amounts":
        # written out, not a loop over fields: every call of a program passes here twice
        return Amounts(
            self.instances + other.instances,
            self.memory + other.memory,
            self.stored + other.stored,
            self.uploads + other.uploads,
            self.connections + other.connections,
        )

    def __sub__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            self.instances - other.instances,
            self.memory - other.memory,
            self.stored - other.stored,
            self.uploads - other.uploads,
            self.connections - other.connections,
        )

    def fits(self, bounds: "Amounts") -> bool:
        return (
            self.instances <= bounds.instances
            and self.memory <= bounds.memory
            and self.stored <= bounds.stored
            and self.uploads <= bounds.uploads
            and self.connections <= bounds.connections
        )

    def items(self) -> Iterator[tuple[str, int]]:
        for each in fields(self):
            yield each.name, getattr(self, each.name)


HOST = Amounts(HOST_INSTANCES, HOST_MEMORY, HOST_STORED, HOST_UPLOADS, HOST_CONNECTIONS)
PRINCIPAL = Amounts(PRINCIPAL_INSTANCES, PRINCIPAL_MEMORY, PRINCIPAL_STORED, PRINCIPAL_UPLOADS, PRINCIPAL_CONNECTIONS)
STRANGERS = Amounts(STRANGERS_INSTANCES, STRANGERS_MEMORY, STRANGERS_STORED, STRANGERS_UPLOADS, STRANGERS_CONNECTIONS)

# Amount -> (code of the refusal, what it is called, factor of the number shown, what to do)
_WORDS = {
    "instances": ("quota-instances", "instances", 1, "Wait for one to end, or kill one."),
    "memory": ("quota-memory", "MiB of memory", 1 << 20, "Ask for less, or wait for an instance to end."),
    "stored": ("quota-storage", "MiB of stored modules", 1 << 20, "Unpin some, or wait until they expire."),
    "uploads": ("quota-uploads", "uploads at once", 1, "Wait for one to end."),
    "connections": ("quota-connections", "connections", 1, "Close some."),
}


@dataclass(frozen=True, slots=True)
class QuotaBounds:
    """The configuration's part [quotas]."""

    host: Amounts = HOST
    principal: Amounts = PRINCIPAL
    anonymous: Amounts = STRANGERS

    def of(self, account: str) -> Amounts:
        return self.anonymous if account == ANONYMOUS_ACCOUNT else self.principal


@dataclass(frozen=True, slots=True)
class Ticket:
    """What was taken; given back once, and every further time without effect."""

    number: int
    account: str
    amounts: Amounts


@dataclass(slots=True)
class Quotas:
    """The book that is kept. An account that has nothing is not in it."""

    bounds: QuotaBounds = field(default_factory=QuotaBounds)
    _used: Amounts = field(default_factory=Amounts)
    _accounts: dict[str, Amounts] = field(default_factory=dict)
    _open: set[int] = field(default_factory=set)
    _last: int = 0

    def take(self, account: str, amounts: Amounts) -> Ticket:
        """Raises Refusal with the numbers; then nothing was taken."""
        _check("This host", self._used, amounts, self.bounds.host)
        _check(_whose(account), self.used(account), amounts, self.bounds.of(account))
        return self.adopt(account, amounts)

    def adopt(self, account: str, amounts: Amounts) -> Ticket:
        """Of what is there already, such as modules of an earlier run: counted, even if it is more than the bound."""
        assert all(value >= 0 for _, value in amounts.items())
        self._used += amounts
        self._accounts[account] = self.used(account) + amounts
        self._last += 1
        self._open.add(self._last)
        return Ticket(self._last, account, amounts)

    def release(self, ticket: Ticket) -> None:
        if ticket.number not in self._open:
            return
        self._open.remove(ticket.number)
        self._used -= ticket.amounts
        left = self.used(ticket.account) - ticket.amounts
        if left == Amounts():
            del self._accounts[ticket.account]
        else:
            self._accounts[ticket.account] = left

    def used(self, account: str) -> Amounts:
        return self._accounts.get(account, Amounts())

    @property
    def total(self) -> Amounts:
        return self._used

    def statement(self, account: str) -> dict[str, dict[str, int]]:
        """For the operation `usage`: name -> {used, limit}."""
        bounds, used = self.bounds.of(account), self.used(account)
        return {name: {"used": getattr(used, name), "limit": limit} for name, limit in bounds.items()}


def _whose(account: str) -> str:
    return "All connections without a key together" if account == ANONYMOUS_ACCOUNT else "You"


def _check(who: str, used: Amounts, wanted: Amounts, bounds: Amounts) -> None:
    if (used + wanted).fits(bounds):
        return
    for name, more in wanted.items():
        have, limit = getattr(used, name), getattr(bounds, name)
        if more and have + more > limit:
            code, called, factor, advice = _WORDS[name]
            has = "has" if who == "This host" else "have"
            numbers = f"{_in(have, factor)} of {_in(limit, factor)} {called}"
            raise Refusal(code, f"{who} {has} {numbers}; {_in(more, factor)} more are too many. {advice}")


def _in(value: int, factor: int) -> str:
    """Whole numbers as they are; parts of a MiB with one digit."""
    return f"{value / factor:.1f}".removesuffix(".0")
