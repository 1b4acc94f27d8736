"""dag-cbor that is bounded before an object is made of it; words.

In:  a block, or the header of a CAR (untrusted). Out: Python's objects, a link as Cid; NoCbor, Malformed with the
reason.

The library decodes what its caller can bear: 2 MiB can say two million values, and 5,000 bytes go down to Python's
limit of recursion. So the heads are walked first: one level, one number each. It also takes a millisecond for each
link, which it makes an object of its own of. So the walk takes the links out, the library reads and judges what is
left, with nothing (null) in their places, and they are put back: ten microseconds for each.
"""

from collections.abc import Iterator
from typing import Any

import dag_cbor

from ipfs.caps import CBOR_LINKS_MAX, NESTED_MAX, VALUES_MAX
from ipfs.cid import Cid, decode_cid_untrusted
from ipfs.troubles import Malformed

# How many bytes of a length follow a first byte; what has that many bytes of its own, or that many values.
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_STRINGS, _LIST, _MAP, _TAG = (2, 3), 4, 5, 6
_LINK, _NULL = b"\xd8\x2a", b"\xf6"
_BYTES, _SHORT, _LONG = 0x40, 24, 0x58  # the first byte of a string of bytes: with its length inside, or one behind


class NoCbor(Malformed):
    """The caller knows what it was to be."""


def decode_cbor_untrusted(data: bytes, links: int = CBOR_LINKS_MAX) -> Any:
    """At most so many links. Raises Malformed."""
    rest, nothings = _walk_untrusted(data, links)
    value = _decoded_untrusted(rest)
    return _placed(value, iter(nothings)) if len(rest) < len(data) else value


def linked_in_cbor_untrusted(data: bytes) -> tuple[Cid, ...]:
    """Only the links, in their order. Raises Malformed."""
    rest, nothings = _walk_untrusted(data, CBOR_LINKS_MAX)
    _decoded_untrusted(rest)
    return tuple(each for each in nothings if each is not None)


def _decoded_untrusted(data: bytes) -> Any:
    try:
        return dag_cbor.decode(data)
    except Exception as problem:  # several classes, and UnicodeDecodeError
        raise NoCbor("It is no dag-cbor.") from problem


def _walk_untrusted(data: bytes, most: int) -> tuple[bytes, list[Cid | None]]:
    """Without links; and what stands wherever nothing stands now, in order. What else is wrong, the decoder says."""
    at = values = links = 0
    open_: list[int] = []  # values that each level still waits for
    rest, nothings = _Rest(data), list[Cid | None]()
    while at < len(data):
        kind, more = data[at] >> 5, data[at] & 31
        values, links = values + 1, links + (kind == _TAG)
        if values > VALUES_MAX:
            raise Malformed("A block has too many values.")
        if links > most:
            raise Malformed("A block has too many links.")
        if kind == _TAG:
            cid, end = _link_untrusted(data, at)
            rest.leave_out(at, end)
            nothings.append(cid)
            size, at = 0, end
        else:
            nothings += [None] * (data[at] == _NULL[0])
            wide = _WIDTHS.get(more, 0)
            size = int.from_bytes(data[at + 1 : at + 1 + wide]) if wide else more
            at += 1 + wide + (size if kind in _STRINGS else 0)
        _step(open_, kind, size)
        if len(open_) > NESTED_MAX:
            raise Malformed("A block has values that are nested too deeply.")
    return rest.joined(), nothings


class _Rest:
    """Bytes with nothing where links were."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._pieces: list[bytes] = []

    def leave_out(self, start: int, end: int) -> None:
        self._pieces += (self._data[self._at : start], _NULL)
        self._at = end

    def joined(self) -> bytes:
        return b"".join((*self._pieces, self._data[self._at :]))


def _link_untrusted(data: bytes, at: int) -> tuple[Cid, int]:
    """A tag, and its end. The only one is 42, of bytes that are zero and a CID; no CID has more than 255."""
    head = data[at : at + 4]
    if head[:2] != _LINK or len(head) < len(_LINK) + 2:
        raise NoCbor("It is no dag-cbor.")
    if head[2] == _LONG and head[3] >= _SHORT:
        start, size = at + 4, head[3]
    elif _BYTES < head[2] < _BYTES + _SHORT:
        start, size = at + 3, head[2] - _BYTES
    else:
        raise NoCbor("It is no dag-cbor.")
    held = data[start : start + size]
    if len(held) < size or held[0] != 0:
        raise NoCbor("It is no dag-cbor.")
    cid, used = decode_cid_untrusted(held[1:])
    if used != size - 1:
        raise Malformed("A link has bytes behind its CID.")
    return cid, start + size


def _step(open_: list[int], kind: int, size: int) -> None:
    if open_:
        open_[-1] -= 1
    inside = {_LIST: size, _MAP: 2 * size}.get(kind, 0)
    if inside:
        open_.append(inside)
    while open_ and not open_[-1]:
        open_.pop()


def _placed(value: Any, nothings: Iterator[Cid | None]) -> Any:
    """No deeper than the walk went. Keys are text, and maps are in their order."""
    if value is None:
        return next(nothings)
    if isinstance(value, list):
        return [_placed(each, nothings) for each in value]
    if isinstance(value, dict):
        return {key: _placed(each, nothings) for key, each in value.items()}
    return value
