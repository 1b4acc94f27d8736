"""Whether a browser's page is this server's own; words, no I/O.

Where it stands: beside the list of origins that may connect (entry). In: the Host of an upgrade request (untrusted).
Out: the one origin that is the server's own for this request, or None.

A page's origin is its server's own where it is what the same browser calls the server that it connects to. That alone
would let every name in that somebody makes point here (DNS rebinding: both are `evil.example` then). So the name must
be one that nobody else can point: an address in numbers, `localhost` (browsers ask nobody for it), or a name that this
server's certificate proves. Everything else has to be in the list.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,253})(?::[0-9]{1,5})?")
"""As browsers write it: small letters, and a port where it is not the scheme's own."""

SCHEMES = {"tcp": "http", "tls": "https"}
"""What a transport is called in an origin. A unix socket has no pages: who connects there is somebody."""


def own_origin_untrusted(hosts: Sequence[str], transport: str, names: Collection[str]) -> str | None:
    """`hosts`: all Host headers of one request. `names`: what the certificate proves."""
    scheme = SCHEMES.get(transport)
    found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if scheme is None or found is None or not _steady(found[1], names):
        return None
    return f"{scheme}://{hosts[0]}"


def _steady(name: str, names: Collection[str]) -> bool:
    """Nobody else can make it point here."""
    if name == "localhost" or name in names:
        return True
    bracketed = name.startswith("[")
    try:
        return ip_address(name[1:-1] if bracketed else name).version == (6 if bracketed else 4)
    except ValueError:
        return False
