"""Assembly: a link to a host: connect, TLS, opening handshake, then the same Link as the host's.

In:  an Address. Out: a link inside its context, with a keepalive of its own; CannotConnect with what went wrong. The
answer of whoever listens there is untrusted: 64 KiB at most, DIAL_SECONDS in all.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.protocol import State
from websockets.typing import Origin, Subprotocol
from websockets.uri import parse_uri

from gatebus import bounds
from gatebus.web.bytetransport import SocketTransport, immediate, receive_some, send_all
from gatebus.web.entry import Terms
from gatebus.web.frames import Scratch
from gatebus.web.keepalive import Keepalive
from gatebus.web.link import CannotConnect, Peer
from gatebus.web.tlstransport import TlsTransport
from gatebus.web.websocketlink import WebsocketLink
from sandbox.background import background_tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gatebus.web.bytetransport import Transport
    from gatebus.web.link import Link
    from gatebus.web.places import Address

REASON_LETTERS = 160
END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Caller:
    """What a client says of itself, and what it asks of TLS (None: the system's authorities)."""

    agent: str = "gatebus"
    origin: str | None = None
    context: ssl.SSLContext | None = None
    terms: Terms = field(default_factory=Terms)
    link_class: type[WebsocketLink] = WebsocketLink


@asynccontextmanager
async def dial(address: Address, caller: Caller | None = None) -> AsyncIterator[Link]:
    """The link is closed when the context is left."""
    caller = caller or Caller()
    keepalive = Keepalive()
    link = await _open(address, caller)
    async with link, background_tasks() as nursery:
        nursery.start_soon(keepalive.run)
        with keepalive.keeping(link):
            yield link


async def _open(address: Address, caller: Caller) -> WebsocketLink:
    transport: Transport | None = None
    try:
        with trio.fail_after(bounds.DIAL_SECONDS):
            transport = SocketTransport(await _connect(address))
            if address.scheme == "wss":
                transport = await _secured(transport, address, caller)
            return await shake_hands(transport, address, caller)
    except trio.TooSlowError:
        _close(transport)
        raise CannotConnect(f"The host did not answer within {bounds.DIAL_SECONDS:.0f} s.") from None
    except OSError as error:
        _close(transport)
        raise CannotConnect(_why(error)) from error
    except BaseException:
        _close(transport)
        raise


async def _connect(address: Address) -> socket.socket:
    if address.scheme != "unix":
        stream = await trio.open_tcp_stream(address.place, address.port)
        sock = socket.socket(fileno=stream.socket.detach())
        immediate(sock)
        return sock
    listening = trio.socket.socket(trio.socket.AF_UNIX)
    try:
        await listening.connect(address.place)
    except BaseException:
        listening.close()
        raise
    return socket.socket(fileno=listening.detach())


async def _secured(transport: Transport, address: Address, caller: Caller) -> TlsTransport:
    secured = TlsTransport(transport, caller.context or ssl.create_default_context(), address.place)
    await secured.handshake()
    return secured


async def shake_hands(transport: Transport, address: Address, caller: Caller) -> WebsocketLink:
    terms = caller.terms
    protocol = ClientProtocol(
        parse_uri(address.url),
        origin=Origin(caller.origin) if caller.origin else None,
        subprotocols=[Subprotocol(terms.subprotocol)] if terms.subprotocol else None,
        max_size=terms.message_bytes,
    )
    request = protocol.connect()
    request.headers["User-Agent"] = caller.agent
    protocol.send_request(request)
    await send_all(transport, b"".join(protocol.data_to_send()))
    rest = await _answer(transport, protocol)
    if protocol.state is not State.OPEN:
        raise _refused(protocol)
    if terms.subprotocol and protocol.subprotocol != terms.subprotocol:
        raise CannotConnect(f"Who answers there does not speak {terms.subprotocol}.")
    peer = Peer({"ws": "tcp", "wss": "tls", "unix": "unix"}[address.scheme])  # type: ignore[arg-type]
    return caller.link_class(transport, protocol, peer, Scratch(bounds.LINK_SCRATCH_BYTES), rest=rest)


async def _answer(transport: Transport, protocol: ClientProtocol) -> bytes:
    """What came behind the head of the answer: it never enters the library's buffer, unless it is a refusal's text."""
    head = b""
    while END not in head:
        data = await receive_some(transport)
        head += data
        if not data or len(head) > bounds.HTTP_HEAD_BYTES:
            break
    size = head.find(END) + len(END) if END in head else len(head)
    protocol.receive_data(head[:size])
    rest = head[size:]
    while not protocol.events_received() and protocol.handshake_exc is None:
        data, rest = rest or await receive_some(transport), b""
        if not data:
            protocol.receive_eof()
            break
        protocol.receive_data(data)
    return rest


def _refused(protocol: ClientProtocol) -> CannotConnect:
    error = protocol.handshake_exc
    if not isinstance(error, InvalidStatus):
        return CannotConnect("Who answers there is not a gatebus host, or only by the other of ws:// and wss://.")
    status = error.response.status_code
    said = bytes(error.response.body[:REASON_LETTERS]).decode("utf-8", "replace").partition("\n")[0]
    shown = "".join(letter for letter in said if letter.isprintable())
    return CannotConnect(f"The host refused the connection (HTTP {status}): {shown or 'no reason given'}", status)


def _close(transport: Transport | None) -> None:
    if transport is not None:
        transport.close()


def _own_authorities() -> str:
    """OpenSSL passes over a file that is not there without a word."""
    named = os.environ.get("SSL_CERT_FILE")
    if named and not os.path.isfile(named):
        return "SSL_CERT_FILE names no file: no such file or directory."
    return "One of your own is trusted by SSL_CERT_FILE=FILE."


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"The host's certificate is not to be trusted: {error.verify_message}."
        return f"{why} {_own_authorities()}"
    if isinstance(error, ssl.SSLError):
        return "TLS with the host failed: is it a TLS port?"
    if isinstance(error, socket.gaierror):
        return "There is no host of that name."
    if isinstance(error, FileNotFoundError):
        return "There is no such socket: is the host running?"
    if isinstance(error, PermissionError):
        return "You may not use that socket."
    if isinstance(error, ConnectionResetError) or error.errno == errno.EPIPE:
        return "Who listens there broke the connection off."
    return "Nobody listens there."
