"""Who asks; words.

In:  what a link or a session has proved: nothing, the kernel's word about a unix socket's other end, or a signature.
Out: a Principal; every instance, stream, module and quota belongs to the text of one (`.id`, `.account`).

Two texts, because of strangers: each anonymous connection is a principal of its own and sees nothing of another's, but
all of them together draw on one account, or whoever opens a hundred connections would have a hundred quotas.
"""

from dataclasses import dataclass, field
from enum import Enum

from gatebus.sshkeys import fingerprint

ANONYMOUS_ACCOUNT = "anonymous"


class Kind(Enum):
    ANONYMOUS = "anonymous"
    LOCAL = "local"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Principal:
    """Made by one of the three functions below. The name is shown, and never compared."""

    kind: Kind
    id: str
    name: str = field(default="", compare=False)
    key: bytes = field(default=b"", compare=False, repr=False)
    """What it has signed with; empty: nothing."""

    @property
    def account(self) -> str:
        """Whose quotas it draws on, and whom stored modules belong to."""
        return ANONYMOUS_ACCOUNT if self.kind is Kind.ANONYMOUS else self.id

    @property
    def shown(self) -> str:
        return f"{self.name} ({self.id})" if self.name else self.id


def anonymous(connection: str) -> Principal:
    """A connection without a key. `connection`: what no other connection of this host is called."""
    return Principal(Kind.ANONYMOUS, f"{ANONYMOUS_ACCOUNT}:{connection}")


def local(uid: int, name: str = "") -> Principal:
    """The kernel says that this user is at the other end of the unix socket. Two users are two principals."""
    return Principal(Kind.LOCAL, f"local:{uid}", name)


def by_key(key: bytes, name: str = "") -> Principal:
    """Has signed with this ed25519 key, which the host knows."""
    return Principal(Kind.KEY, f"key:{fingerprint(key)}", name, key)
