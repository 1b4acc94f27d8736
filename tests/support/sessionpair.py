"""Two sessions and a simulated link: whatever one says, the other must accept (or the test says otherwise).

No sockets, no clock: messages lie in two queues until the test delivers them, so a test can reorder nothing, but cut,
double, delay and look at everything.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from gatebus.protocol import FEATURES, Authenticated, Role, Session, Settings
from gatebus.protocol.messages import Auth, ClientHello, HostHello, Welcome
from gatebus.protocol.proofs import public_key, sign

if TYPE_CHECKING:
    from gatebus.protocol import Event
    from gatebus.protocol.messages import Message

HOST_SEED, CLIENT_SEED = b"h" * 32, b"c" * 32
CLIENT_CHALLENGE, HOST_CHALLENGE = b"\x01" * 32, b"\x02" * 32


class Side:
    """One session, and the messages under way to it."""

    def __init__(self, role: Role, settings: Settings, now: float = 0.0) -> None:
        self.session = Session(role, settings, now)
        self.inbox: deque[bytes] = deque()
        self.seen: list[Event] = []

    def hear(self) -> list[Event]:
        """Everything under way arrives."""
        events = list(self.session.receive_many(list(self.inbox)))
        self.inbox.clear()
        self.seen += events
        return events


class Pair:
    """A client and a host."""

    def __init__(
        self, *, keyless: bool = False, limits: dict[str, int] | None = None, features: tuple[str, ...] = ()
    ) -> None:
        key = None if keyless else public_key(CLIENT_SEED)
        self.client = Side(Role.CLIENT, Settings("test client", key, features=FEATURES))
        host = Settings("test host", public_key(HOST_SEED), features=features, limits=limits or {})
        self.host = Side(Role.HOST, host)

    def say(self, side: Side, message: Message) -> None:
        self.put(side, side.session.send(message))

    def put(self, side: Side, data: bytes) -> None:
        """Bytes of one message are under way from this side."""
        (self.host if side is self.client else self.client).inbox.append(data)

    def flush(self, side: Side, channel: int) -> int:
        """Say what the channel's counts allow; how many messages that was."""
        parts = side.session.unsent(channel)
        for message in parts:
            self.put(side, b"".join(message))
        return len(parts)

    def greet(self) -> Pair:
        """The whole greeting; afterwards both are open."""
        self.put(self.client, self.client.session.hello(CLIENT_CHALLENGE))
        (hello,) = self.host.hear()
        assert isinstance(hello, ClientHello)
        self.put(self.host, self.host.session.greet(HOST_CHALLENGE, lambda statement: sign(HOST_SEED, statement)))
        if hello.key is None:
            self.say(self.host, Welcome("anonymous"))
        (answer, *_) = self.client.hear()
        assert isinstance(answer, HostHello)
        if hello.key is not None:
            self.say(self.client, Auth(sign(CLIENT_SEED, self.client.session.proof_to_sign())))
            assert self.host.hear() == [Authenticated(hello.key)]
            self.say(self.host, Welcome("key"))
            self.client.hear()
        return self

    def host_said(self) -> bool:
        """The host has greeted."""
        return self.host.session._greeting.host is not None

    def open(self, operation: str, parameters: dict[str, object] | None = None, window: int = 0) -> int:
        """The client opens; the host hears it."""
        channel, message = self.client.session.open(operation, parameters or {}, window)
        self.put(self.client, message)
        self.host.hear()
        return channel
