"""The service `catalog`: what else is here, with revisions; words, no I/O.

In:  a call whose content is exactly `json`.
Out: {"services": [{"name": ..., "revision": ...}, ...]}, sorted by name, indented by tabs, with a newline at the end.
     Only services that the program could discover now are listed. Any other call gets an empty reply.

The answer is bounded: what does not fit into one packet is left out, and "truncated": true says so.
"""

import json
from collections.abc import Callable, Mapping

from gatebus.bounds import CATALOG_BYTES
from gatebus.services.base import Call, Outlet, Service

Entries = Callable[[], Mapping[str, str]]


class Catalog(Service):
    """`entries` is asked at each call: services come and go while a program runs."""

    def __init__(self, outlet: Outlet, entries: Entries) -> None:
        super().__init__(outlet)
        self._entries = entries

    def call(self, call: Call) -> None:
        wanted = call.content == b"json"
        self.outlet.reply(call.ticket, listing(self._entries()) if wanted else b"")


def listing(entries: Mapping[str, str]) -> bytes:
    services = [{"name": name, "revision": entries[name]} for name in sorted(entries)]
    text = _encode({"services": services})
    while len(text) > CATALOG_BYTES:
        # Names differ little in length, so that the share which fits is found in two or three rounds.
        services = services[: min(len(services) - 1, len(services) * CATALOG_BYTES // len(text))]
        text = _encode({"services": services, "truncated": True})
    return text


def _encode(value: Mapping[str, object]) -> bytes:
    return (json.dumps(value, indent="\t") + "\n").encode()
