"""The few pages that a host serves over plain HTTP: a table, and what is answered to a request; words, no I/O.

In:  method and target of a request (untrusted), a table of ours. Out: status, headers, body. Health and version are
JSON for programs, the rest is what the browser needs to talk to the bus.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""A page of ours loads its own files and talks to its own host; nobody shows it in a frame (clickjacking)."""

SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", POLICY),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)

WORDS = {
    400: "This is not an HTTP request that can be understood.",
    404: "There is no such page.",
    405: "Pages can only be read (GET, HEAD).",
    408: "The request did not come in time.",
    413: "Pages take no request body.",
    426: "This is the bus: connect with a websocket client that speaks gatebus.v1. A browser finds a page at /.",
    431: "The head of the request is too large.",
    503: "Too many connections: try again later.",
}


@dataclass(frozen=True, slots=True)
class Page:
    """`body` is called for each request when it can be. It must not wait and its size is its author's business."""

    content_type: str
    body: bytes | Callable[[], bytes]
    status: int = 200
    headers: tuple[tuple[str, str], ...] = field(default=(("Cache-Control", "no-cache"),))


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def phrase(self) -> str:
        return HTTPStatus(self.status).phrase


@dataclass(frozen=True, slots=True)
class Lent:
    """An answer that comes in pieces. OSError from them: it cannot be finished, and the asker must see that."""

    headers: tuple[tuple[str, str], ...]
    pieces: AsyncGenerator[bytes, None]
    size: int | None = None
    """If it is known before."""
    status: int = 200

    @property
    def phrase(self) -> str:
        return HTTPStatus(self.status).phrase


class Lender(Protocol):
    """Answers everything below `prefix`. What it lends is its own until the context is left."""

    prefix: bytes

    def lend_untrusted(
        self, method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> AbstractAsyncContextManager[Answer | Lent]:
        """Names of headers are in lower case. Raises nothing that a request could cause."""


def answer_untrusted(pages: Mapping[str, Page], method: bytes, target: bytes) -> Answer:
    """For HEAD the body is left in place: whoever sends it leaves it out."""
    path = target.partition(b"?")[0].decode("ascii", "replace")
    page = pages.get(path)
    if page is None:
        return plain(404)
    if method not in (b"GET", b"HEAD"):
        return plain(405, ("Allow", "GET, HEAD"))
    body = page.body if isinstance(page.body, bytes) else page.body()
    return Answer(page.status, (*_content(page.content_type, body), *page.headers, *SECURITY), body)


def plain(status: int, *headers: tuple[str, str]) -> Answer:
    """What is answered when there is no page: one sentence."""
    return sentence(status, WORDS.get(status, WORDS[400]), *headers)


def sentence(status: int, words: str, *headers: tuple[str, str]) -> Answer:
    body = f"{words}\n".encode()
    return Answer(status, (*_content(TEXT, body), ("Cache-Control", "no-store"), *headers, *SECURITY), body)


def json_page(about: Callable[[], Mapping[str, object]]) -> Page:
    """Asked anew for each request."""

    def body() -> bytes:
        return json.dumps(about(), sort_keys=True).encode() + b"\n"

    return Page(JSON, body, headers=(("Cache-Control", "no-store"),))


def standard_pages(
    health: Callable[[], Mapping[str, object]], version: Callable[[], Mapping[str, object]]
) -> dict[str, Page]:
    """What every host has; its own pages are added to this."""
    return {"/health": json_page(health), "/version": json_page(version)}


def _content(content_type: str, body: bytes) -> tuple[tuple[str, str], ...]:
    return (("Content-Type", content_type), ("Content-Length", str(len(body))))
