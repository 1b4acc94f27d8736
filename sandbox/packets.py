"""Words: packets between host and program (PROTOCOL.md, section C).

In:  bytes that a program wrote (untrusted) or that a service wants to send. Out: positions of whole packets,
packets as values, encoded bytes.

Every byte of every program passes through `scan_untrusted`, so it is the one loop in the package that is written
for speed: a header is looked up as one integer among those that were already found good (a program sends few
different ones), and only an unknown header is taken apart and checked. Nothing is copied here. What lost: one
object per packet (2 us against 0.1), and trusting the sender's padding.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from sandbox.errors import PacketViolation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# u32 size (header + content, without padding), i16 code, u8 domain (low 4 bits), u8 index
HEADER = Struct("<IhBB")
_SIZE = Struct("<I")
# The same eight bytes as one number.
_WORD = Struct("<Q")
# i32 stream, i32 note (data) or value (flow)
PAIR = Struct("<ii")

HEADER_SIZE = 8
# Gate's limit in both directions; one packet then fits the smallest socket buffer with room for the next header.
PACKET_MAX = 65_536
CONTENT_MAX = PACKET_MAX - HEADER_SIZE
DATA_MAX = CONTENT_MAX - PAIR.size

CODE_DISCOVERY = -1
CODE_CONTROL = -2

CALL, INFO, FLOW, DATA = range(4)
DOMAIN_NAMES = ("call", "info", "flow", "data")

# Services a program can know (Gate's limit).
SERVICES_MAX = 256

# Distinct good headers remembered per program. Ordinary programs send a few dozen; one that invents them makes the
# host keep 80 KiB, and thousands of programs may do so at once.
_KNOWN_MAX = 1_024

Buffer = bytes | bytearray | memoryview


class Packet(NamedTuple):
    """One packet; `content` is without header and padding.

    `place` is the header's index (`index` is taken by tuples).
    """

    code: int
    domain: int
    content: bytes
    place: int = 0


class Cut(NamedTuple):
    """What `scan_untrusted` found:

    whole packets end at `end`; `controls` are (start, stop) of control packets among them.
    """

    end: int
    packets: int
    controls: list[tuple[int, int]]


class Known:
    """Good headers of one direction of one program:

    header as a number -> bytes to the next header (negative: a control packet).
    """

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps: dict[int, int] = {}


def padded(size: int) -> int:
    """Bytes that a packet of this size takes on the wire."""
    return (size + 7) & ~7


def encode(code: int, domain: int, content: Buffer = b"", index: int = 0) -> bytes:
    """One packet, padded. Raises ValueError when the content is too long: the sender must split it."""
    size = HEADER_SIZE + len(content)
    if size > PACKET_MAX:
        raise ValueError(f"a packet holds at most {CONTENT_MAX} bytes")
    return b"".join((HEADER.pack(size, code, domain, index), content, bytes(-size & 7)))


def encode_data(code: int, stream: int, data: Buffer, note: int = 0) -> bytes:
    """Bytes on a stream; empty data ends this direction."""
    return encode(code, DATA, PAIR.pack(stream, note) + bytes(data))


def encode_flow(code: int, pairs: Iterable[tuple[int, int]]) -> bytes:
    """(stream, value) pairs: value > 0 adds credit, 0 closes reading, < 0 is a note."""
    return encode(code, FLOW, b"".join(PAIR.pack(stream, value) for stream, value in pairs))


def scan_untrusted(buffer: Buffer, end: int, known: Known) -> Cut:
    """Find the whole packets in buffer[0:end]. Raises PacketViolation at a header that no program may write."""
    at, packets = 0, 0
    controls: list[tuple[int, int]] = []
    steps, word = known.steps, _WORD.unpack_from
    last = end - HEADER_SIZE
    while at <= last:
        header = word(buffer, at)[0]
        step = steps.get(header)
        if step is None:
            step = _learn_untrusted(header, known)
        following = at + abs(step)
        if following > end:
            break
        if step < 0:
            controls.append((at, following))
        else:
            packets += 1
        at = following
    return Cut(at, packets, controls)


def _learn_untrusted(header: int, known: Known) -> int:
    size, code, domain = header & 0xFFFFFFFF, (header >> 32 & 0xFFFF ^ 0x8000) - 0x8000, header >> 48 & 0x0F
    _check_header_untrusted(size, code, domain)
    if len(known.steps) >= _KNOWN_MAX:
        known.steps.clear()
    step = padded(size) if code != CODE_CONTROL else -padded(size)
    known.steps[header] = step
    return step


def _check_header_untrusted(size: int, code: int, domain: int) -> None:
    if not HEADER_SIZE <= size <= PACKET_MAX:
        raise PacketViolation(
            "packet-size", f"The program wrote a packet of {size} bytes; allowed are {HEADER_SIZE} to {PACKET_MAX}."
        )
    if code < CODE_CONTROL:
        raise PacketViolation(
            "packet-code", f"The program wrote a packet with code {code}; -1 and the services from 0 on exist."
        )
    if domain > DATA:
        raise PacketViolation("packet-domain", f"The program wrote a packet in domain {domain}; 0 to 3 exist.")
    if code < 0 and domain != CALL:
        raise PacketViolation(
            "packet-domain", f"The program wrote a {DOMAIN_NAMES[domain]} packet with code {code}; only calls have it."
        )
    if domain == DATA and size < HEADER_SIZE + PAIR.size:
        raise PacketViolation("packet-data", f"The program wrote a data packet of {size} bytes; it needs at least 16.")


def split_untrusted(packets: Buffer) -> Iterator[Packet]:
    """Take bytes of whole packets (as `Program` hands them out) apart.

    Raises PacketViolation, also when the last one is cut short.
    """
    view, at = memoryview(packets), 0
    while at < len(view):
        try:
            size, code, domain, index = HEADER.unpack_from(view, at)
        except struct.error:
            raise _cut_short() from None
        domain &= 0x0F
        _check_header_untrusted(size, code, domain)
        if at + padded(size) > len(view):
            raise _cut_short()
        yield Packet(code, domain, bytes(view[at + HEADER_SIZE : at + size]), index)
        at += padded(size)


def _cut_short() -> PacketViolation:
    return PacketViolation("packet-cut", "The program's output ended in the middle of a packet.")


class Framer:
    """Bytes in pieces of any size -> bytes that are whole packets, and the control packets apart.

    `receive(data)` keeps at most one unfinished packet (PACKET_MAX bytes). `Program` does the same on its read
    buffer without the copies.
    """

    __slots__ = ("_known", "_rest", "packets")

    def __init__(self) -> None:
        self._known = Known()
        self._rest = b""
        self.packets = 0

    @property
    def unfinished(self) -> int:
        """Bytes of a packet whose end has not come yet."""
        return len(self._rest)

    def receive(self, data: Buffer) -> tuple[bytes, list[bytes]]:
        """Raises PacketViolation; after that the framer is of no use."""
        whole = self._rest + data if self._rest else bytes(data)
        cut = scan_untrusted(whole, len(whole), self._known)
        self._rest = whole[cut.end :]
        self.packets += cut.packets
        return without_controls(whole, cut)


def without_controls(buffer: Buffer, cut: Cut) -> tuple[bytes, list[bytes]]:
    """Copy out (packets for services, control packets)."""
    if not cut.controls:
        return bytes(buffer[: cut.end]), []
    pieces, controls, at = [], [], 0
    for start, stop in cut.controls:
        pieces.append(buffer[at:start])
        controls.append(bytes(buffer[start:stop]))
        at = stop
    pieces.append(buffer[at : cut.end])
    return b"".join(pieces), controls


_NO_PACKET = "what is sent to a program must be whole packets"


class PacketCounter:
    """Counts packets in a stream that our side writes in pieces of any size (the kernel may take half a packet)."""

    __slots__ = ("_header", "_skip", "packets")

    def __init__(self) -> None:
        self.packets = 0
        self._skip = 0
        self._header = b""

    @property
    def between(self) -> bool:
        """Every packet that was begun is whole."""
        return not self._skip and not self._header

    def count(self, data: Buffer) -> None:
        """Raises ValueError when our side writes what is no packet: a bug of a service."""
        end, at = len(data), self._skip
        if self._header:
            missing = HEADER_SIZE - len(self._header)
            self._header += bytes(data[:missing])
            if len(self._header) < HEADER_SIZE:
                return
            at, self._header = missing - HEADER_SIZE + self._step(self._header, 0), b""
        at = self._whole(data, at, end)
        if at < end:
            self._header, self._skip = bytes(data[at:]), 0
        else:
            self._skip = at - end

    def _whole(self, data: Buffer, at: int, end: int) -> int:
        """Every packet to every program is counted here: one loop, without calls."""
        size_of, last, packets = _SIZE.unpack_from, end - HEADER_SIZE, 0
        while at <= last:
            size = size_of(data, at)[0]
            if not HEADER_SIZE <= size <= PACKET_MAX:
                raise ValueError(_NO_PACKET)
            packets += 1
            at += (size + 7) & ~7
        self.packets += packets
        return at

    def _step(self, data: Buffer, at: int) -> int:
        size = HEADER.unpack_from(data, at)[0]
        if not HEADER_SIZE <= size <= PACKET_MAX:
            raise ValueError(_NO_PACKET)
        self.packets += 1
        return padded(size)
