"""The service `identity`: who sent me, which instance am I, and how did I come to run; words, no I/O.

In:  a call with one byte: 0 asks for the principal, 1 for the instance, 2 for the lifecycle.
Out: 0, 1: text: `local`, or `ed25519:` and the key; the instance's UUID. 2: u32 how (0 started, 1 resumed, 2 restored,
     3 cloned), u32 how often it has gone on, and the UUID as text. Empty when unknown, anonymous, or asked for
     anything else.

What a copy must do itself it learns here: forget what was only its original's (names, connections, random pools).
"""

from struct import Struct
from typing import NamedTuple

from gatebus.services.base import Call, Outlet, Service

_LIFECYCLE = Struct("<II")


class Identities(NamedTuple):
    """What a program may know of itself. An empty text is "unknown" or "anonymous". `how`: sandbox.Lifecycle."""

    principal: str = ""
    instance: str = ""
    how: int = 0
    lives: int = 0


class Identity(Service):
    """Answers at once. It has no state: who goes on as somebody else is somebody else."""

    def __init__(self, outlet: Outlet, identities: Identities) -> None:
        super().__init__(outlet)
        lifecycle = _LIFECYCLE.pack(identities.how, identities.lives & 0xFFFFFFFF) + identities.instance.encode()
        self._answers = {
            b"\x00": identities.principal.encode(),
            b"\x01": identities.instance.encode(),
            b"\x02": lifecycle,
        }

    def call(self, call: Call) -> None:
        self.outlet.reply(call.ticket, self._answers.get(call.content[:1], b""))
