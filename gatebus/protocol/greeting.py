"""Who is there: hello, proof and welcome, as one side sees both; words, no I/O.

In:  messages of either side in the order of the table LINK, already read. Out: the version and features of both, and
whether what was signed is true. Keys that sign never come here: whoever drives the session signs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gatebus.protocol import proofs
from gatebus.protocol.breaches import LocalProtocolError, RemoteFault
from gatebus.protocol.messages import Auth, ClientHello, Error, HostHello, Kind, Message, Welcome
from gatebus.protocol.transitions import AFTER, KEYLESS, LINK, Role, State, table

VERSION = 1
INPUT = "input"
"""A feature: the first bytes of a call's input, and its end, may come with its open."""
FEATURES = (INPUT,)
"""What this implementation has, on both sides."""

_TABLE = table(LINK)


@dataclass(frozen=True, slots=True)
class Settings:
    """What one side says of itself. `key`: its public key; a client without one is a stranger."""

    agent: str = "gatebus"
    key: bytes | None = None
    versions: tuple[int, ...] = (VERSION,)
    features: tuple[str, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)


class Greeting:
    """How far each side is, and what they said."""

    __slots__ = ("client", "features", "host", "said", "settings", "version")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.said = {Role.CLIENT: State.HELLO, Role.HOST: State.HELLO}
        self.client: ClientHello | None = None
        self.host: HostHello | None = None
        self.version = 0
        self.features: frozenset[str] = frozenset()

    @property
    def state(self) -> State:
        """The slower of both sides."""
        both = self.said.values()
        return next(state for state in (State.HELLO, State.AUTH, State.FAREWELL, State.OPEN) if state in both)

    def step(self, sender: Role, message: Message, kind: Kind) -> None:
        """Follow the table. An error for the whole link may come from the host at any time."""
        said = self.said[sender]
        if kind >= Kind.OPEN and _TABLE.get((sender, said, kind)) is said:
            return  # of a link that is greeted nearly everything
        if sender is Role.HOST and isinstance(message, Error) and message.channel == 0:
            return
        word = KEYLESS if isinstance(message, ClientHello) and message.key is None else kind
        state = _TABLE.get((sender, said, word))
        needed = AFTER.get((sender, kind))
        if state is None or (needed is not None and self.said[sender.other] not in needed):
            raise RemoteFault(f"A message {kind.name.lower()} came where it cannot.")
        assert isinstance(state, State)
        self.said[sender] = state
        if isinstance(message, ClientHello):
            self.client = message
        elif isinstance(message, HostHello):
            self.host = message
        elif isinstance(message, Welcome):
            self.client = self.host = None  # 0.6 KiB of every idle link; nobody asks for them any more

    def choose(self) -> None:
        """The host has read the client's hello."""
        assert self.client is not None
        common = set(self.client.versions) & set(self.settings.versions)
        if not common:
            ours = ", ".join(map(str, self.settings.versions))
            raise RemoteFault(f"This host speaks version {ours} of the protocol, the client does not.", "version")
        self.version = max(common)
        self._share(self.client.features)

    def check_host(self) -> None:
        """The client has read the host's hello. Whether this key is the right host's is the caller's to know."""
        assert self.host is not None
        if self.host.version not in self.settings.versions:
            raise RemoteFault("The host chose a version that was not offered.", "version")
        if not proofs.verify(self.host.key, self.host.proof, proofs.host_statement(self._transcript())):
            raise RemoteFault("The host could not prove that it has the key that it names.", "not-authorized")
        self.version = self.host.version
        self._share(self.host.features)

    def check_client(self, auth: Auth) -> bytes:
        """The key that the client has proved to have."""
        assert self.client is not None
        assert self.client.key is not None
        if not proofs.verify(self.client.key, auth.signature, proofs.client_statement(self._transcript())):
            raise RemoteFault("The signature is not by the key that the hello named.", "not-authorized")
        return self.client.key

    def host_statement(self, challenge: bytes) -> bytes:
        """What the host is to sign when this is its challenge."""
        if self.client is None or self.settings.key is None:
            raise LocalProtocolError("A host greets after the client, and with a key.")
        said = proofs.transcript(self.client.challenge, challenge, self.settings.key, self.client.key)
        return proofs.host_statement(said)

    def client_statement(self) -> bytes:
        """What the client is to sign."""
        if self.host is None or self.settings.key is None:
            raise LocalProtocolError("There is nothing to prove before the host's greeting, or without a key.")
        return proofs.client_statement(self._transcript())

    def _transcript(self) -> bytes:
        assert self.client is not None
        assert self.host is not None
        return proofs.transcript(self.client.challenge, self.host.challenge, self.host.key, self.client.key)

    def _share(self, theirs: tuple[str, ...]) -> None:
        self.features = frozenset(theirs) & frozenset(self.settings.features)
