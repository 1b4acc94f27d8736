"""How much each account may have fetched for it in an hour; words.

Where it stands: asked by gatebus.host.contentsource before it asks anybody. In: an account, the time, what a fetch
cost. Out: what is left, or a Refusal that says when to come back.

It empties as water leaves a bucket, evenly, and not at the turn of an hour: two hours' worth never come at once.
"""

from dataclasses import dataclass, field

from gatebus.host.refusals import Refusal

_HOUR = 3_600.0


@dataclass(slots=True)
class Allowances:
    """`hourly`: bytes. An account that has used nothing for an hour is not remembered."""

    hourly: int
    _used: dict[str, tuple[float, float]] = field(default_factory=dict)  # account -> bytes, and when

    def used(self, account: str, now: float) -> float:
        amount, then = self._used.get(account, (0.0, now))
        return max(0.0, amount - self.hourly * (now - then) / _HOUR)

    def left(self, account: str, wanted: int, now: float) -> int:
        """At most `wanted`. Raises Refusal when there is nothing."""
        left = int(self.hourly - self.used(account, now))
        if left <= 0:
            raise Refusal(
                "busy",
                f"This host has fetched its {self.hourly} bytes an hour for you. Try again later, or upload it.",
            )
        return min(left, wanted)

    def spend(self, account: str, amount: int, now: float) -> None:
        """More than was left is a debt."""
        for each in [each for each in self._used if not self.used(each, now)]:
            del self._used[each]
        if amount:
            self._used[account] = (self.used(account, now) + amount, now)
