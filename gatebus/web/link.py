"""What a session sees of a connection: whole binary messages, who is at the other end, how it ended; words, no I/O.

Where it stands: between the wires of this package (bytes of strangers) and gatebus.host's attendant or gatebus.client.
Messages are untrusted; so are `Peer.origin`, `Peer.agent` and the reason of a `LinkClosed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from gatebus.faults import GatebusError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

NORMAL, GOING_AWAY, UNSUPPORTED, ABNORMAL, POLICY, INTERNAL = 1000, 1001, 1003, 1006, 1008, 1011
"""Websocket close codes (RFC 6455, 7.4.1) that this project sends, and 1006: the link ended without one."""

SUBPROTOCOL = "gatebus.v1"


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as far as the connection tells."""

    transport: Literal["tcp", "tls", "unix", "memory"]
    address: str = ""  # numeric, without a port; "" for unix and memory
    uid: int | None = None  # unix: of the process that connected, from the kernel
    origin: str | None = None  # what a browser says about the page (checked against the allow-list); None: no browser
    agent: str = ""  # what the client calls itself, printable, at most 200 characters


class LinkClosed(GatebusError):
    """The connection is over; everything that was received whole has been handed out before."""

    code = "link-closed"

    def __init__(self, close_code: int = ABNORMAL, reason: str = "", *, ours: bool = False) -> None:
        super().__init__(closing_text(close_code, reason))
        self.close_code = close_code
        self.reason = reason
        self.ours = ours  # we have cut it, and the reason is our own


class CannotConnect(GatebusError):
    """There is no link: nobody listens there, or who does refused. `status` is the HTTP status of a refusal."""

    code = "cannot-connect"

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


def closing_text(close_code: int, reason: str) -> str:
    if close_code == ABNORMAL:
        return "The connection was lost."
    if close_code in (NORMAL, GOING_AWAY):
        return "The connection was closed."
    said = "".join(letter for letter in reason if letter.isprintable())
    return f"The connection was closed (code {close_code}): {said or 'no reason given'}."


class Link(Protocol):
    """One connection. `async with link:` owns its tasks; leaving it closes it within LINK_CLOSE_SECONDS."""

    @property
    def peer(self) -> Peer: ...

    @property
    def waiting(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        ...

    @property
    def last_heard(self) -> float:
        """trio.current_time() of the last bytes of any kind."""
        ...

    async def receive_many(self) -> list[bytes]:
        """Every whole message that is here, at least one; waits for it. LinkClosed at the end. One caller at a time.

        Sends what was written before it waits. Not a checkpoint each time: one in 32 that need not wait.
        """
        ...

    def write(self, *parts: bytes | memoryview) -> None:
        """One message, from parts. Sent by flush(), by the next wait of receive_many() or room(), or when 64 KiB have
        come together; a memoryview must keep its content until then. LinkClosed when the link is over."""
        ...

    def flush(self) -> None:
        """One send that does not wait. What the kernel refuses is copied and sent later. Never raises."""
        ...

    async def room(self) -> None:
        """Flushes, and waits until at most LINK_HIGH_WATER bytes wait. LinkClosed."""
        ...

    async def aclose(self, code: int = NORMAL, reason: str = "") -> None:
        """Closing handshake after what was written, all within LINK_CLOSE_SECONDS; then the socket. Idempotent."""
        ...

    def abort(self, why: str = "") -> None:
        """The socket is closed now; whoever waits on the link gets LinkClosed, with why. Idempotent."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...
