"""What a trustless gateway is asked for, and the head of its answer; words.

In:  target and headers of an HTTP request (untrusted). Out: Wanted, or Declined with status and sentence; headers.

Only what the asker can verify is offered: one block, or blocks as a CAR (version 1, depth first, none twice). No file
is put together here and no name of others is looked up: that would be trusting.
https://specs.ipfs.tech/http-gateways/trustless-gateway/
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from urllib.parse import parse_qsl, quote

from ipfs.addresses import Address, parse_address_untrusted
from ipfs.caps import PATH_MAX
from ipfs.troubles import BadName

BLOCK, CAR = "raw", "car"
TYPES = {"application/vnd.ipld.raw": BLOCK, "application/vnd.ipld.car": CAR}
CAR_TYPE = "application/vnd.ipld.car; version=1; order=dfs; dups=n"
ALL, ENTITY, ROOT_ONLY = "all", "entity", "block"
ANYTHING = "*/*"
Headers = tuple[tuple[str, str], ...]

_PARAMETERS = 16  # seven have a meaning
_SPAN = re.compile(r"(-?\d{1,18}):(-?\d{1,18}|\*)")
# Public, and never anything else under this name: a year, as long as anybody keeps anything.
_FOREVER = "public, max-age=31536000, immutable"
# Bytes of strangers: saved, never shown as a page; any page may read them, since they are public anyway.
_HARMLESS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; sandbox"),
    ("Access-Control-Allow-Origin", "*"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
)


class Declined(Exception):  # noqa: N818 - an answer, not a fault of ours
    """It is answered with this status and sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file, both ends included; negative: from its end. `last` None: up to its end."""

    first: int
    last: int | None

    def within(self, size: int) -> range:
        """Of a file of that size; empty if nothing of it is meant."""
        first = self.first if self.first >= 0 else max(0, size + self.first)
        last = size - 1 if self.last is None else self.last if self.last >= 0 else size + self.last
        return range(first, max(first, min(last, size - 1) + 1))


@dataclass(frozen=True, slots=True)
class Wanted:
    address: Address
    kind: str
    scope: str = ALL
    span: Span | None = None
    only_if_here: bool = False
    by_accept: bool = False
    """The address does not say the kind: caches must know what it depended on."""
    known: frozenset[str] = frozenset()
    """Etags that the asker has."""


def wanted_untrusted(target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Wanted:
    """Raises Declined. Names of headers are in lower case."""
    path, _, query = target.decode("ascii", "replace").partition("?")
    given = _query_untrusted(query)
    accepted = _accepted_untrusted(_header(headers, b"accept"))
    kind = _kind(given.get("format"), accepted)
    try:
        if len(path) > PATH_MAX:
            raise BadName("The path is too long.")
        address = parse_address_untrusted("ipfs://" + path.removeprefix("/ipfs/"))
    except BadName as fault:
        raise Declined(400, fault.text) from None
    wanted = Wanted(
        address,
        kind,
        only_if_here="only-if-cached" in _header(headers, b"cache-control").lower(),
        by_accept="format" not in given,
        known=frozenset(each.strip() for each in _header(headers, b"if-none-match").split(",") if each.strip()),
    )
    return _of_block(wanted) if kind == BLOCK else _of_car(wanted, given, accepted.get(CAR, {}))


def _header(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    return ",".join(value.decode("ascii", "replace") for each, value in headers if each == name)


def _query_untrusted(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_PARAMETERS)
    except ValueError:
        raise Declined(400, "The query cannot be read.") from None
    return dict(reversed(pairs))  # the first of two counts


def _accepted_untrusted(text: str) -> dict[str, dict[str, str]]:
    """Kind -> its parameters, in the order in which they are written; what is refused (q=0) is left out."""
    found: dict[str, dict[str, str]] = {}
    for each in text.split(",")[:_PARAMETERS]:
        name, *parameters = (part.strip() for part in each.split(";"))
        pairs = (parameter.partition("=") for parameter in parameters)
        about = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        kind = TYPES.get(name.lower(), ANYTHING if name == ANYTHING else "")
        if name and not re.fullmatch(r"0(\.0*)?", about.get("q", "1")):
            found.setdefault(kind, about)
    return found


def _kind(format_: str | None, accepted: Mapping[str, object]) -> str:
    if format_ is not None:
        if format_ not in (BLOCK, CAR):
            raise Declined(400, "There are ?format=raw, one block, and ?format=car, blocks as a CAR.")
        return format_
    for kind in accepted:
        if kind in (BLOCK, CAR):
            return kind
    if not accepted or ANYTHING in accepted:
        raise Declined(400, "Say what is wanted: ?format=raw, one block, or ?format=car, blocks as a CAR.")
    raise Declined(406, "There are only application/vnd.ipld.raw and application/vnd.ipld.car.")


def _of_block(wanted: Wanted) -> Wanted:
    if wanted.address.path:
        raise Declined(400, "A block is asked for by its own CID. A path leads somewhere in a CAR only (?format=car).")
    return wanted


def _of_car(wanted: Wanted, given: Mapping[str, str], accepted: Mapping[str, str]) -> Wanted:
    """What changes only the order or repetition of blocks is not obeyed; the answer's type says what it is."""
    if given.get("car-version", accepted.get("version", "1")) != "1":
        raise Declined(400, "There are only CARs of version 1.")
    span = _span_untrusted(given["entity-bytes"]) if "entity-bytes" in given else None
    scope = given.get("dag-scope", ALL if span is None else ENTITY)
    if scope not in (ALL, ENTITY, ROOT_ONLY) or (span is not None and scope != ENTITY):
        raise Declined(400, "dag-scope is block, entity or all; with entity-bytes it is entity.")
    return replace(wanted, scope=scope, span=span)


def _span_untrusted(text: str) -> Span:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise Declined(400, "entity-bytes is written FIRST:LAST, in bytes; LAST may be *.")
    return Span(int(found[1]), None if found[2] == "*" else int(found[2]))


def etag(wanted: Wanted) -> str:
    """A block is its name; of a CAR only the blocks are certain, and that by what was asked."""
    cid = wanted.address.cid
    if wanted.kind == BLOCK:
        return f'"{cid}.raw"'
    asked = repr((wanted.address.path, wanted.scope, wanted.span)).encode()
    return f'W/"{cid}.car.{wanted.scope}.{sha256(asked).hexdigest()[:16]}"'


def has_it_already(wanted: Wanted) -> bool:
    known = {each.removeprefix("W/") for each in wanted.known}
    return "*" in known or etag(wanted).removeprefix("W/") in known


def head(wanted: Wanted) -> Headers:
    """Of an answer with content."""
    cid, path = wanted.address.cid, "".join("/" + quote(each, errors="surrogateescape") for each in wanted.address.path)
    ending, content = ("bin", "application/vnd.ipld.raw") if wanted.kind == BLOCK else ("car", CAR_TYPE)
    found = [
        ("Content-Type", content),
        ("Content-Disposition", f'attachment; filename="{cid}.{ending}"'),
        ("Cache-Control", _FOREVER),
        ("Etag", etag(wanted)),
        ("X-Ipfs-Path", f"/ipfs/{cid}{path}"),
        ("Accept-Ranges", "none"),
        *_HARMLESS,
    ]
    if wanted.by_accept:
        found += [("Vary", "Accept"), ("Content-Location", f"/ipfs/{cid}{path}?format={wanted.kind}")]
    return tuple(found)
