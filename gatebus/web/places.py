"""Where a host listens, as a person types it: ws://, wss://, unix:, or host:port; words, no I/O.

In:  text from a command line or a configuration file; the address of a host's page (http) will do, too. Out: a frozen
Address; UsageError with the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gatebus.faults import UsageError

DEFAULT_PORT = 6473
PATH = "/bus"
SOCKET_PATH_BYTES = 107  # of Linux: sockaddr_un has 108, and a zero at its end
_STANDARD = {"ws": 80, "wss": 443}
# Of the page that the host serves there: people copy its address from their browser.
_PAGE = {"http": "ws", "https": "wss"}
_HOST = re.compile(r"[0-9A-Za-z]([0-9A-Za-z._-]{0,252}[0-9A-Za-z.])?|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True, slots=True)
class Address:
    """`place`: a host's name or numeric address without brackets, or a socket's path."""

    scheme: Literal["ws", "wss", "unix"]
    place: str
    port: int = 0
    path: str = PATH

    @property
    def authority(self) -> str:
        """For a Host header."""
        if self.scheme == "unix":
            return "localhost"
        host = f"[{self.place}]" if ":" in self.place else self.place
        return host if self.port == _STANDARD[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """What a websocket library calls it."""
        return f"{'ws' if self.scheme == 'unix' else self.scheme}://{self.authority}{self.path}"

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix:{self.place}"
        return self.url.removesuffix(PATH)


def parse_address(text: str) -> Address:
    """Without a scheme it is ws:// and the port of gatebus; with one, the scheme's standard port."""
    if not isinstance(text, str):
        raise UsageError(f"The address of a host is a text, such as 127.0.0.1:6473; not {type(text).__name__}.")
    if text.startswith("unix:"):
        return _unix(text.removeprefix("unix:").removeprefix("//"))
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "ws", text
    scheme = _PAGE.get(scheme, scheme)
    if scheme not in _STANDARD:
        raise UsageError(f"{scheme[:20]}: is not a kind of address: use ws://, wss:// or unix:.")
    authority, _, path = rest.partition("/")
    host, port = _split(authority, _STANDARD[scheme] if separator else DEFAULT_PORT)
    whole = "/" + path if path else PATH
    if not re.fullmatch(r"/[!-~]*", whole) or "#" in whole:
        raise UsageError("The path of the address has a character that does not belong there.")
    return Address("wss" if scheme == "wss" else "ws", host, port, whole)


def _unix(place: str) -> Address:
    if not place.startswith("/") or "\0" in place:
        raise UsageError("unix: needs the absolute path of a socket.")
    check_socket_path(place)
    return Address("unix", place)


def check_socket_path(place: str) -> None:
    """Raises UsageError."""
    size = len(place.encode(errors="surrogateescape"))
    if size > SOCKET_PATH_BYTES:
        raise UsageError(f"The path of the unix socket has {size} bytes; the system takes at most {SOCKET_PATH_BYTES}.")


def _split(authority: str, standard: int) -> tuple[str, int]:
    host, colon, digits = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host, digits = authority, str(standard)
    if not _HOST.fullmatch(host):
        raise UsageError("The address needs a host: ws://HOST:PORT, and [...] around an IPv6 address.")
    if not re.fullmatch(r"[0-9]{1,5}", digits) or not 0 < int(digits) < 65536:
        raise UsageError("The port is a number from 1 to 65535.")
    return host.strip("[]"), int(digits)
