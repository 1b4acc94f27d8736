"""CAR, version 1: blocks on a string; words.

In:  bytes of a file or a gateway, in pieces of any size (untrusted). Out: roots, then (CID, block) pairs, each hashed.
And the other way: a header, sections.

The header is the library's dag-cbor. The framing is done here: the library for it wants the whole file in memory,
does not notice that it is cut short and checks no hash.
"""

from collections.abc import Iterator, Sequence

import dag_cbor
from multiformats import CID

from ipfs import uvarint
from ipfs.caps import BLOCK_MAX, CAR_HEADER_MAX, CAR_ROOTS_MAX, CID_BYTES_MAX
from ipfs.cborvalues import decode_cbor_untrusted
from ipfs.cid import Cid, decode_cid_untrusted, verify_untrusted
from ipfs.troubles import Malformed, Unsupported

_LENGTH_MAX = 9  # bytes of a length
_HEADER, _SECTIONS = "header", "sections"


class CarReader:
    """Feed it bytes; it yields blocks that are what their CIDs say. `finish` says whether anything was missing."""

    def __init__(self) -> None:
        self.roots: tuple[Cid, ...] | None = None
        """Not before the header was read. Only what the sender says."""
        self._held = bytearray()
        self._needed = 0  # bytes of the piece that is coming in

    def feed(self, data: bytes) -> Iterator[tuple[Cid, bytes]]:
        """Raises Malformed, Unverified, Unsupported."""
        self._held += data
        if len(self._held) < self._needed:
            return
        while (frame := self._frame()) is not None:
            if self.roots is None:
                self.roots = _decode_header_untrusted(frame)
            else:
                yield _decode_section_untrusted(frame)

    def finish(self) -> None:
        """Raises Malformed: the string was cut."""
        if self._held or self.roots is None:
            raise Malformed("The CAR is cut short.")

    def _frame(self) -> bytes | None:
        """The next piece with its length in front, or nothing yet."""
        end = next((at for at, byte in enumerate(self._held[:_LENGTH_MAX]) if byte < 128), None)
        if end is None:
            if len(self._held) >= _LENGTH_MAX:
                raise Malformed("The CAR has a length that is none.")
            return None
        size = _length_untrusted(bytes(self._held[: end + 1]))
        if size > (CAR_HEADER_MAX if self.roots is None else BLOCK_MAX + CID_BYTES_MAX):
            raise Malformed("The CAR has a piece that is larger than blocks may be.")
        self._needed = end + 1 + size
        if len(self._held) < self._needed:
            return None
        self._needed = 0
        frame = bytes(memoryview(self._held)[end + 1 : end + 1 + size])
        del self._held[: end + 1 + size]
        return frame


def _length_untrusted(data: bytes) -> int:
    try:
        size, end = uvarint.decode_untrusted(data)
    except ValueError:
        raise Malformed("The CAR has a length that is none.") from None
    if end != len(data):
        raise Malformed("The CAR has a length that is none.")
    if size == 0:
        raise Malformed("The CAR has an empty piece.")
    return size


def _decode_header_untrusted(data: bytes) -> tuple[Cid, ...]:
    try:
        header = decode_cbor_untrusted(data, CAR_ROOTS_MAX)
    except Malformed:
        raise Malformed("It is no CAR.") from None
    if not isinstance(header, dict):
        raise Malformed("It is no CAR.")
    if header.get("version") != 1:
        raise Unsupported("The CAR is of a version that is not read here; write it as version 1.")
    roots = header.get("roots")
    if not isinstance(roots, list) or not all(isinstance(root, Cid) for root in roots):
        raise Malformed("The CAR does not say its roots.")
    return tuple(roots)


def _decode_section_untrusted(data: bytes) -> tuple[Cid, bytes]:
    cid, size = decode_cid_untrusted(data[:CID_BYTES_MAX])
    block = data[size:]
    verify_untrusted(cid, block)
    return cid, block


def car_header(roots: Sequence[Cid]) -> bytes:
    return _framed(dag_cbor.encode({"version": 1, "roots": [CID.decode(bytes(root)) for root in roots]}))


def car_section(cid: Cid, block: bytes) -> bytes:
    return _framed(bytes(cid) + block)


def _framed(data: bytes) -> bytes:
    return uvarint.encode(len(data)) + data
