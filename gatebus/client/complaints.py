"""What can go wrong for whoever uses a bus: one class per whose fault; words, no I/O.

Where it stands: everything that gatebus.client raises, besides UsageError for a wrong address or argument. `code` is
stable, `text` is for a person. What a host says of itself (HostError and its kinds) is its code and text, shortened and
made printable: it is untrusted.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gatebus.bounds import ERROR_TEXT
from gatebus.faults import GatebusError


class BusError(GatebusError):
    """The base."""

    code = "bus"


class LinkLost(BusError):
    """The network's fault, or the host is down: no link could be had for as long as we were patient."""

    code = "link-lost"


CLOSED = "This bus is closed: the `with` that made it has been left."


class StreamLost(BusError):
    """The link was away for longer than the host keeps streams, or another connection took the stream."""

    code = "stream-lost"


class StreamStopped(BusError):
    """The program reads no more: what is written goes nowhere."""

    code = "stream-stopped"


class TooMuchOutput(BusError):
    """The program wrote more than the caller wanted to keep."""

    code = "too-much-output"


class NotTrusted(BusError):
    """The host is not the one that is known by this name, or is not known at all."""

    code = "not-trusted"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text[:ERROR_TEXT]  # a fingerprint and an address leave no room for advice in an ordinary one

    def __str__(self) -> str:
        return self.text


class KeyUnusable(BusError):
    """Our own key cannot sign: no such file, a passphrase, an agent that does not have it."""

    code = "key-unusable"


class HostNonsense(BusError):
    """The host's software is at fault: it answered what the protocol does not have."""

    code = "host-nonsense"


class HostError(BusError):
    """The host said no; `details` is what else it said (untrusted)."""

    def __init__(self, text: str, code: str = "internal", details: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__(text)
        self.text = "".join(letter for letter in text if letter.isprintable())[:ERROR_TEXT]
        self.code = code
        self.details = details

    def __str__(self) -> str:
        return self.text


class Denied(HostError):
    """Who asks may not, or asked for what is not there."""


class StateUnusable(Denied):
    """The fault of a snapshot, or of the file of one: damaged, of another program, or not one that the host takes."""


class QuotaReached(HostError):
    """A total of the principal or of the host; the text has the number."""


class ProgramRefused(HostError):
    """The program's fault: it is not run, or cannot be stopped. `details["reason"]` has the sandbox's code."""


class SoftwareFault(HostError):
    """Our software and the host's do not understand each other."""


class HostTrouble(HostError):
    """The host's fault, or it is about to stop."""


_KINDS: Mapping[str, type[HostError]] = MappingProxyType(
    {
        **dict.fromkeys(("not-authorized", "forbidden", "origin", "not-found", "conflict"), Denied),
        **dict.fromkeys(("stream-exists", "attached-elsewhere"), Denied),
        "bad-state": StateUnusable,
        **dict.fromkeys(("quota-instances", "quota-memory", "quota-storage", "quota-uploads"), QuotaReached),
        **dict.fromkeys(("quota-connections", "busy", "stop-late"), QuotaReached),
        **dict.fromkeys(("refused", "compile-limit", "bad-setup", "not-suspendable"), ProgramRefused),
        **dict.fromkeys(("protocol", "version", "too-slow", "too-large", "bad-request"), SoftwareFault),
    }
)

# Errors for a whole link after which another one may do better: everything else would only be said again.
PASSING = frozenset({"stopping", "internal", "busy", "quota-connections", "too-slow"})


def host_error(code: str, text: str, details: Mapping[str, Any]) -> HostError:
    """The class that says whose fault it is; a code that we do not know is the host's."""
    return _KINDS.get(code, HostTrouble)(text, code, details)
