"""Wire: the greeting of a new link: hello, the host's proof, ours, welcome; then it is a HostLine.

In:  a link that nobody has said anything on, who we are, whom we trust, 32 fresh random bytes. Out: a HostLine, or the
error that says whose fault it is that there is none. Order: the host proves its key and is compared with the known one
before we sign anything for it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import trio

from gatebus.client.complaints import HostNonsense, LinkLost, NotTrusted, host_error
from gatebus.client.hostline import HostLine
from gatebus.clientbounds import GREETING_SECONDS
from gatebus.protocol import FEATURES, Broken, Role, Session, Settings
from gatebus.protocol.messages import Auth, Error, HostHello, Welcome
from gatebus.web.link import LinkClosed

if TYPE_CHECKING:
    from gatebus.client.signers import Signer
    from gatebus.protocol import Event
    from gatebus.web.link import Link

T = TypeVar("T", HostHello, Welcome)


class Trust(Protocol):
    """Whether a host's key is believed."""

    async def check(self, key: bytes) -> None:
        """Raises NotTrusted."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a client brings to every greeting."""

    agent: str
    signer: Signer | None
    trust: Trust


async def greet_host(link: Link, ours: Introduction, challenge: bytes) -> HostLine:
    """Raises BusError."""
    key = None if ours.signer is None else ours.signer.public
    session = Session(Role.CLIENT, Settings(ours.agent, key, features=FEATURES), trio.current_time())
    said = _Said(link, session)
    link.write(session.hello(challenge))
    host = await said.expect(HostHello)
    await ours.trust.check(host.key)
    if ours.signer is not None:
        link.write(session.send(Auth(await ours.signer.sign(session.proof_to_sign()))))
    welcome = await said.expect(Welcome)
    return HostLine(link, session, host, welcome.principal)


class _Said:
    """What the host says, message by message; each is waited for GREETING_SECONDS."""

    def __init__(self, link: Link, session: Session) -> None:
        self._link, self._session = link, session
        self._events: deque[Event] = deque()

    async def expect(self, kind: type[T]) -> T:
        try:
            with trio.fail_after(GREETING_SECONDS):
                while True:
                    event = await self._next()
                    if isinstance(event, kind):
                        return event
        except trio.TooSlowError:
            raise LinkLost(f"The host did not greet within {GREETING_SECONDS:.0f} s.") from None
        except LinkClosed as closed:
            raise LinkLost(closed.text) from None

    async def _next(self) -> Event:
        while not self._events:
            self._events.extend(self._session.receive_many(await self._link.receive_many()))
        event = self._events.popleft()
        if isinstance(event, Error):
            raise host_error(event.code, event.text, event.details)
        if isinstance(event, Broken):
            raise (NotTrusted if event.code == "not-authorized" else HostNonsense)(event.text)
        return event
