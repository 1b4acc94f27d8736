"""How an instance may live: whether it can be stopped, who wakes it, when it is put away by itself; words.

In:  parameters of call, launch and restore (untrusted), or what a snapshot says of its instance (untrusted, too: it may
     come from elsewhere). Out: frozen values, or a Refusal that names the parameter.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import TYPE_CHECKING

from gatebus.accountbounds import KEPT_LAST, POLICY_SECONDS
from gatebus.host.refusals import Refusal
from gatebus.host.requests import flag_untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gatebus.host.requests import Parameters


class Wake(Enum):
    """Who may make a suspended program go on, besides `resume`."""

    NEVER = "never"
    IO = "io"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Policy:
    """Seconds; 0: not at all."""

    wake: Wake = Wake.IO
    idle_park: float = 0.0
    idle_store: float = 0.0
    keep_every: float = 0.0
    keep_last: int = 1

    def told(self) -> dict[str, object]:
        return {each.name: getattr(self, each.name) for each in fields(self)} | {"wake": self.wake.value}

    @property
    def acts(self) -> bool:
        """It wants somebody to look at the time."""
        return bool(self.idle_park or self.idle_store or self.keep_every)

    @property
    def operations(self) -> Iterator[str]:
        """What it amounts to: who may not ask for that may not have it so, either."""
        if self.idle_park or self.idle_store:
            yield "suspend"
        if self.keep_every:
            yield "keep"


@dataclass(frozen=True, slots=True)
class Manner:
    """`transient`: it need not run again after the host has stopped. `resumable`: what it has left when it has halted
    is kept. `warm`: it may begin from a copy of what was warmed.
    """

    suspendable: bool = False
    transient: bool = True
    resumable: bool = False
    warm: bool = False
    policy: Policy = field(default_factory=Policy)

    @property
    def operations(self) -> Iterator[str]:
        """What a call in this manner amounts to besides."""
        if self.resumable or not self.transient:
            yield "launch"
        yield from self.policy.operations


_DAY = 86_400
PLAIN = Manner()
"""Of a call that says nothing."""


def call_manner_untrusted(given: Parameters) -> Manner:
    """Raises Refusal."""
    if not _SAID.intersection(given):
        return PLAIN  # nearly always, and made for every call
    return _manner(given, suspendable=False, transient=True)


def launch_manner_untrusted(given: Parameters) -> Manner:
    return _manner(given, suspendable=True, transient=False)


_SAID = frozenset({"suspendable", "transient", "resumable", "warm", "policy"})


def _manner(given: Parameters, *, suspendable: bool, transient: bool) -> Manner:
    suspendable = suspendable or flag_untrusted(given, "warm")  # what goes on from something warm can be stopped
    return Manner(
        flag_untrusted({"suspendable": suspendable, **given}, "suspendable"),
        flag_untrusted({"transient": transient, **given}, "transient"),
        flag_untrusted(given, "resumable"),
        flag_untrusted(given, "warm"),
        policy_untrusted(given["policy"]) if "policy" in given else PLAIN.policy,
    )


def policy_untrusted(given: object) -> Policy:
    """Raises Refusal. Unknown keys are ignored: so a version grows."""
    if not isinstance(given, dict):
        raise _bad("policy", "a map")
    return Policy(
        _wake_untrusted(given),
        seconds_untrusted(given, "idle_park"),
        seconds_untrusted(given, "idle_store"),
        seconds_untrusted(given, "keep_every"),
        last_untrusted(given, "keep_last"),
    )


def other_policy_untrusted(given: object, now: Policy) -> Policy:
    """As it is now, but for what is said. Raises Refusal."""
    if not isinstance(given, dict):
        raise _bad("policy", "a map")
    return policy_untrusted({**now.told(), **given})


def _wake_untrusted(given: Mapping[str, object]) -> Wake:
    try:
        return Wake(given.get("wake", Wake.IO.value))
    except ValueError:
        raise _bad("wake", f"one of {', '.join(each.value for each in Wake)}") from None


def seconds_untrusted(given: Mapping[str, object], name: str) -> float:
    """0, or something that a host can keep."""
    value = given.get(name, 0)
    least, most = POLICY_SECONDS
    if isinstance(value, int | float) and not isinstance(value, bool) and (value == 0 or least <= value <= most):
        return float(value)
    raise _bad(name, f"0 or {least:g} to {most:.0f} seconds ({most / _DAY:.0f} days)")


def last_untrusted(given: Mapping[str, object], name: str) -> int:
    value = given.get(name, 1)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= KEPT_LAST:
        return value
    raise _bad(name, f"a whole number from 1 to {KEPT_LAST}")


def _bad(name: str, must: str) -> Refusal:
    return Refusal("bad-request", f"The parameter `{name}` must be {must}.")
