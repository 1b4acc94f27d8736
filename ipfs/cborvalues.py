"""dag-cbor that is bounded before an object is made of it; words.

In:  a block, or the header of a CAR (untrusted). Out: Python's objects; NoCbor, Malformed with the reason.

The library decodes what its caller can bear: 2 MiB can say two million values, and 5,000 bytes go down to Python's
limit of recursion. So the heads are walked first: one level, one number each.
"""

from typing import Any

import dag_cbor

from ipfs.caps import CBOR_LINKS_MAX, NESTED_MAX, VALUES_MAX
from ipfs.troubles import Malformed

# How many bytes of a length follow a first byte; what has that many bytes of its own, or that many values.
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_STRINGS, _LIST, _MAP, _TAG = (2, 3), 4, 5, 6


class NoCbor(Malformed):
    """The caller knows what it was to be."""


def decode_cbor_untrusted(data: bytes) -> Any:
    """Raises Malformed."""
    _walk_untrusted(data)
    try:
        return dag_cbor.decode(data)
    except Exception as problem:  # several classes, and UnicodeDecodeError
        raise NoCbor("It is no dag-cbor.") from problem


def _walk_untrusted(data: bytes) -> None:
    """What else is wrong, the decoder says."""
    at = values = links = 0
    open_: list[int] = []  # values that each level still waits for
    while at < len(data):
        kind, more = data[at] >> 5, data[at] & 31
        wide = _WIDTHS.get(more, 0)
        size = int.from_bytes(data[at + 1 : at + 1 + wide]) if wide else more
        at += 1 + wide + (size if kind in _STRINGS else 0)
        values, links = values + 1, links + (kind == _TAG)
        if values > VALUES_MAX:
            raise Malformed("A block has too many values.")
        if links > CBOR_LINKS_MAX:
            raise Malformed("A block has too many links.")
        _step(open_, kind, size)
        if len(open_) > NESTED_MAX:
            raise Malformed("A block has values that are nested too deeply.")


def _step(open_: list[int], kind: int, size: int) -> None:
    if open_:
        open_[-1] -= 1
    inside = {_LIST: size, _MAP: 2 * size, _TAG: 1}.get(kind, 0)
    if inside:
        open_.append(inside)
    while open_ and not open_[-1]:
        open_.pop()
