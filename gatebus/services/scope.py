"""The service `scope`: a program gives up rights that it does not need; words, no I/O.

In:  a call: byte 0, a count, and that many texts, each with its length in one byte before it (untrusted).
Out: i16 0 when the program's scope is now what it had and named. Any other first byte gets an empty reply; a
     malformed list ends the program with ABI_VIOLATION.

A scope never grows. Services that guard something ask the same Scope object.
"""

import re
from struct import pack

from gatebus.faults import StateRefused, Violation
from gatebus.services.base import Call, Outlet, Service

_RESTRICT = b"\x00"
_DONE = pack("<h", 0)
# Gate's rule: 1..255 of these characters, no colon at either end, no two together.
_TEXT = re.compile(rb"(?!.*::)(?!:)[A-Za-z0-9\-./:_,]{1,255}(?<!:)", re.DOTALL)


class Scope:
    """What one program may ask other services for."""

    __slots__ = ("granted", "restricted")

    def __init__(self, granted: frozenset[str] = frozenset()) -> None:
        self.granted = granted
        self.restricted = False

    def restrict(self, names: frozenset[str]) -> None:
        self.granted &= names
        self.restricted = True

    def __contains__(self, name: str) -> bool:
        return name in self.granted


class ScopeService(Service):
    """Its state is the restricted scope; unrestricted, it has none."""

    def __init__(self, outlet: Outlet, scope: Scope) -> None:
        super().__init__(outlet)
        self._scope = scope

    def call(self, call: Call) -> None:
        if call.content[:1] != _RESTRICT:
            self.outlet.reply(call.ticket)
            return
        self._scope.restrict(names_untrusted(call.content[1:]))
        self.outlet.reply(call.ticket, _DONE)

    def save(self) -> bytes:
        if not self._scope.restricted:
            return b""
        names = sorted(name.encode() for name in self._scope.granted)
        return bytes([len(names)]) + b"".join(bytes([len(name)]) + name for name in names)

    def for_copy(self, state: bytes) -> bytes:
        """All: it takes rights away, and gives none."""
        return state

    def restore(self, state: bytes) -> None:
        if not state:
            return
        try:
            self._scope.restrict(names_untrusted(state))
        except Violation:
            raise StateRefused("The saved state of the service scope is malformed.") from None


def names_untrusted(content: bytes) -> frozenset[str]:
    if not content:
        raise Violation("A scope list is cut off.")
    names, at = set(), 1
    for _ in range(content[0]):
        if at >= len(content):
            raise Violation("A scope list is cut off.")
        name = bytes(content[at + 1 : at + 1 + content[at]])
        if len(name) < content[at] or not _TEXT.fullmatch(name):
            raise Violation("A scope is cut off or not 1 to 255 characters of A-Z a-z 0-9 - . / : _ and comma.")
        names.add(name.decode("ascii"))
        at += 1 + len(name)
    return frozenset(names)
