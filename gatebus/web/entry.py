"""Who may open a link: the head of an upgrade request is checked and answered; words, no I/O.

In:  the head of an HTTP request (untrusted). Out: a protocol object that is open, or a refusal; and the bytes to send
for either. `websockets` checks the handshake; the subprotocol and the allow-list of origins (cross-site websocket
hijacking: a page from elsewhere would speak with the reader's rights) are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from websockets.exceptions import InvalidOrigin, NegotiationError
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Origin, Subprotocol

from gatebus.bounds import MESSAGE_BYTES
from gatebus.web.link import SUBPROTOCOL
from gatebus.web.ownorigin import own_origin_untrusted
from gatebus.web.places import PATH

if TYPE_CHECKING:
    from websockets.http11 import Request, Response

AGENT_LETTERS = 200

REFUSALS = {
    403: "Pages from this origin may not connect here. Add it to the host's setting `origins` if it is yours.",
    426: "This is the bus: connect with a websocket client that speaks gatebus.v1.",
    400: "This is not a websocket handshake of version 13 with the subprotocol gatebus.v1.",
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a server asks of who connects. `origins` are of pages that may, besides its own; programs that are no
    browser send none. `names`: what its certificate calls it."""

    origins: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    path: str = PATH
    subprotocol: str | None = SUBPROTOCOL
    message_bytes: int = MESSAGE_BYTES


@dataclass(frozen=True, slots=True)
class Entry:
    """`protocol` is None for a refusal. `answer` is to be sent in either case."""

    answer: bytes
    protocol: ServerProtocol | None = None
    origin: str | None = None
    agent: str = ""


def enter_untrusted(head: bytes, terms: Terms, transport: str = "") -> Entry:
    """`head` is one request's, with its empty line and nothing behind it. `transport`: what it came by (Peer)."""
    protocol = ServerProtocol(
        subprotocols=[Subprotocol(terms.subprotocol)] if terms.subprotocol else None,
        max_size=terms.message_bytes,
    )
    protocol.receive_data(head)
    requests = protocol.events_received()
    if not requests:
        return Entry(b"".join(protocol.data_to_send()) or refuse(protocol, 400).serialize())
    request: Request = requests[0]  # type: ignore[assignment]
    own = own_origin_untrusted(request.headers.get_all("Host"), transport, terms.names)
    protocol.origins = [*map(Origin, (*terms.origins, own) if own else terms.origins), None]
    response = protocol.accept(request)
    if response.status_code != 101:
        response = refuse(protocol, _status(protocol, response))
    protocol.send_response(response)
    answer = b"".join(protocol.data_to_send())
    if protocol.state is not State.OPEN:
        return Entry(answer)
    agents = request.headers.get_all("User-Agent")
    request.headers.clear()  # the library keeps the request as long as the connection: 2 KiB
    return Entry(answer, protocol, protocol.origin, printable(agents[0] if agents else ""))


def turned_away(why: str) -> Entry:
    """There is no place for one more link."""
    body = f"{why}\n".encode()
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}"
    return Entry(f"{head}\r\nConnection: close\r\nRetry-After: 5\r\n\r\n".encode() + body)


def refuse(protocol: ServerProtocol, status: int) -> Response:
    response = protocol.reject(status, REFUSALS.get(status, REFUSALS[400]) + "\n")
    if status == 426:
        response.headers["Upgrade"] = "websocket"
    return response


def printable(text: str) -> str:
    return "".join(letter for letter in text[:AGENT_LETTERS] if letter.isprintable())


def _status(protocol: ServerProtocol, response: Response) -> int:
    """A wrong Origin is the page's fault, everything else the client's."""
    if isinstance(protocol.handshake_exc, InvalidOrigin):
        return 403
    if isinstance(protocol.handshake_exc, NegotiationError):
        return 400
    return response.status_code
