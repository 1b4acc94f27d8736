"""The service `identity`: who sent me, and which instance am I; words, no I/O.

In:  a call with one byte: 0 asks for the principal, 1 for the instance.
Out: text: `local`, or `ed25519:` and the key; the instance's UUID. Empty when unknown, anonymous, or asked for
     anything else.
"""

from typing import NamedTuple

from gatebus.services.base import Call, Outlet, Service


class Identities(NamedTuple):
    """What a program may know of itself. An empty text is "unknown" or "anonymous"."""

    principal: str = ""
    instance: str = ""


class Identity(Service):
    """Answers at once."""

    def __init__(self, outlet: Outlet, identities: Identities) -> None:
        super().__init__(outlet)
        self._answers = {b"\x00": identities.principal, b"\x01": identities.instance}

    def call(self, call: Call) -> None:
        self.outlet.reply(call.ticket, self._answers.get(call.content[:1], "").encode())
