"""Who may do what: operation x kind of principal, and whose things are whose; words.

Where it stands: asked once per opened channel, before anything is looked up or spent. In: a Principal, the name of an
operation (untrusted), a thing that somebody owns. Out: nothing, or a Refusal with a public text.

What belongs to somebody else is answered exactly as what does not exist: the answer would tell that it is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypeVar

from gatebus.host.principals import Kind, Principal
from gatebus.host.refusals import Refusal

OPERATIONS: Mapping[str, str] = MappingProxyType(
    {
        "call": "run a program and talk to it",
        "launch": "start a program that goes on without its caller",
        "io": "connect to a program that runs",
        "attach": "go on with a stream after a lost connection",
        "upload": "send a module",
        "download": "get a file of a result, or a module",
        "pin": "keep a module",
        "unpin": "let go of a module",
        "modules": "list modules",
        "list": "list instances",
        "status": "ask how an instance is",
        "wait": "wait for the end of an instance",
        "kill": "kill an instance",
        "delete": "forget an instance",
        "usage": "ask what is used",
        "features": "ask what the host is and can",
        "events": "hear what happens to one's instances",
        "suspend": "suspend an instance",
        "resume": "resume an instance",
        "snapshot": "take a snapshot of an instance",
        "restore": "start an instance from a snapshot",
        "clone": "copy an instance",
        "keep": "have snapshots taken again and again",
        "policy": "change when an instance is woken and put away",
        "snapshots": "list snapshots",
        "drop": "forget a snapshot",
        "warm": "keep a program warm",
        "show": "look into a snapshot",
        "diff": "compare snapshots",
        "export": "get a snapshot as a file",
        "import": "bring in a snapshot",
    }
)
EVERYTHING = frozenset(OPERATIONS)
# What a stranger gets: a program's run while the connection lasts (and resumed after it was lost), files of its result,
# and rooms that somebody launched for everybody. Nothing that stays, and nothing about others.
STRANGERS = frozenset({"call", "upload", "download", "attach", "io", "features"})


class Owned(Protocol):
    @property
    def owner(self) -> str:
        """Principal.id of whoever made it."""


T = TypeVar("T", bound=Owned)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the configuration's part [policy] says."""

    anonymous: frozenset[str] = STRANGERS
    local: frozenset[str] = EVERYTHING
    key: frozenset[str] = EVERYTHING

    def allowed(self, principal: Principal) -> frozenset[str]:
        match principal.kind:
            case Kind.ANONYMOUS:
                return self.anonymous
            case Kind.LOCAL:
                return self.local
            case Kind.KEY:
                return self.key

    def check(self, principal: Principal, operation: str) -> None:
        """Raises Refusal."""
        if operation not in OPERATIONS:
            raise Refusal("bad-request", "There is no such operation. `features` lists those that there are.")
        if operation in self.allowed(principal):
            return
        may_not = f"may not {OPERATIONS[operation]} ({operation}) at this host."
        if principal.kind is Kind.ANONYMOUS and operation in self.key:
            raise Refusal("forbidden", f"Whoever has not shown a key {may_not} Connect with a key that it knows.")
        raise Refusal("forbidden", f"You {may_not} Ask whoever runs it.")


def own(thing: T | None, principal: Principal, what: str) -> T:
    """The thing itself. Raises Refusal, the same one whether it is missing or somebody else's. `what`: such as
    "instance".
    """
    if thing is None or thing.owner != principal.id:
        raise Refusal("not-found", f"There is no such {what}, or it is not yours.")
    return thing
