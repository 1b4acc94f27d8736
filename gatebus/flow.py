"""Streams between a program and a service: credit, ends, and the packets that carry them; words, no I/O.

In:  contents of flow and data packets of a program (untrusted), parsed once by the functions that end in _untrusted.
Out: Change and Chunk values; the contents of the packets that we send; Sending and Receiving, the two halves of a
     stream.

A stream has two directions. Each has one writer and one reader and ends twice: the writer says "no more" (a data
packet without bytes), the reader says "closed" (a flow entry of 0). Only after all four ends may the stream's number
be used again.
"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from gatebus.bounds import MAX_CREDIT, VIEW_BYTES, VIEW_SHARE
from gatebus.faults import Violation
from sandbox.packets import DATA, PACKET_MAX, PAIR

# A data packet's header, stream and note: size u32, code i16, domain u8, index u8, stream i32, note i32.
DATA_HEAD = Struct("<IhBBii")
_ADDRESS = Struct("<hBBi")
_SIZE = Struct("<I")


class Change(NamedTuple):
    """One entry of a flow packet: value > 0 is credit in bytes, 0 means that the reader has closed, < 0 is a note."""

    stream: int
    value: int


class Chunk(NamedTuple):
    """One data packet; no bytes means that the writer has ended."""

    stream: int
    note: int
    data: bytes


class Run(NamedTuple):
    """Data packets of one stream in a row, none of them an end: counted and checked, as they came."""

    stream: int
    size: int  # bytes of data in all of them
    many: int  # packets
    packets: memoryview  # whole packets with headers and padding

    def chunks(self) -> Iterator[Chunk]:
        """One by one, copied out."""
        for stream, note, data in self._parts():
            yield Chunk(stream, note, bytes(data))

    def pieces(self) -> list[bytes | memoryview]:
        """The bytes alone: small packets joined, large ones as views of what was received (nothing is copied).

        A view keeps the whole batch alive, so that only a packet which is a good share of it is not copied.
        """
        parts = [data for _stream, _note, data in self._parts()]
        if self.size < VIEW_BYTES * self.many:
            return [b"".join(parts)]
        batch = memoryview(self.packets.obj).nbytes
        return [part if (len(part) + DATA_HEAD.size) * VIEW_SHARE >= batch else bytes(part) for part in parts]

    def _parts(self) -> Iterator[tuple[int, int, memoryview]]:
        packets, at = self.packets, 0
        while at < len(packets):
            size, _code, _domain, _index, stream, note = DATA_HEAD.unpack_from(packets, at)
            yield stream, note, packets[at + DATA_HEAD.size : at + size]
            at += (size + 7) & ~7


def run_untrusted(batch: bytes, at: int) -> Run:
    """The run that begins with the data packet at this place; of no packets when that one is an end or cut off.

    The first packet's header is good already; the run ends before one that is not.
    """
    began, end, total, count = at, len(batch), 0, 0
    unpack, least = DATA_HEAD.unpack_from, DATA_HEAD.size
    _size, code, domain, _index, stream, _note = unpack(batch, at)
    while at + least <= end:
        size, next_code, next_domain, _index, next_stream, _note = unpack(batch, at)
        if next_code != code or next_domain != domain or next_stream != stream or not least < size <= PACKET_MAX:
            break
        following = at + ((size + 7) & ~7)
        if following > end:
            break
        total += size - least
        count += 1
        at = following
    return Run(stream, total, count, memoryview(batch)[began:at])


def readdressed(run: Run, code: int, stream: int) -> bytearray:
    """The same packets for another program: its number of the service, its number of the stream."""
    packets = bytearray(run.packets)
    at, end, pack = 0, len(packets), _ADDRESS.pack_into
    size_at = _SIZE.unpack_from
    while at < end:
        pack(packets, at + 4, code, DATA, 0, stream)
        at += (size_at(packets, at)[0] + 7) & ~7
    return packets


def changes_untrusted(content: bytes) -> tuple[Change, ...]:
    """Entries in order; fewer than 8 bytes at the end are ignored, as Gate does."""
    whole = len(content) - len(content) % PAIR.size
    return tuple(Change(stream, value) for stream, value in PAIR.iter_unpack(content[:whole]))


def chunk_untrusted(content: bytes) -> Chunk:
    if len(content) < PAIR.size:
        raise Violation("A data packet is shorter than its 16 bytes of header, stream and note.")
    stream, note = PAIR.unpack_from(content)
    return Chunk(stream, note, bytes(content[PAIR.size :]))


def flow_content(changes: tuple[Change, ...]) -> bytes:
    return b"".join(PAIR.pack(change.stream, change.value) for change in changes)


def data_content(chunk: Chunk) -> bytes:
    return PAIR.pack(chunk.stream, chunk.note) + chunk.data


class Sending:
    """The direction in which we write: what the program lets us send, and the two ends of it."""

    __slots__ = ("credit", "ended", "refused")

    def __init__(self, credit: int = 0) -> None:
        self.credit = credit
        self.ended = False  # we said "no more"
        self.refused = False  # the program said "closed"

    def grant(self, value: int) -> None:
        """A flow entry of the program. Credit after its own close is late news about nothing: ignored."""
        if self.refused or value < 0:
            return
        if value == 0:
            self.refused = True
            self.credit = 0
            return
        if self.credit + value > MAX_CREDIT:
            raise Violation("A stream was given more than 2^31-1 bytes of credit.")
        self.credit += value

    def spend(self, size: int) -> None:
        """We sent so many bytes. More than the credit is our bug, not the program's."""
        assert size <= self.credit
        assert not self.ended
        self.credit -= size

    def over(self) -> bool:
        return self.ended and self.refused


class Receiving:
    """The direction in which the program writes: what we let it send, and the two ends of it."""

    __slots__ = ("credit", "ended", "stopped")

    def __init__(self, credit: int = 0) -> None:
        self.credit = credit
        self.ended = False  # the program said "no more"
        self.stopped = False  # we said "closed"

    def accept(self, size: int) -> None:
        """A data packet of the program; size 0 ends the direction."""
        if size == 0:
            self.ended = True
            return
        if self.ended:
            raise Violation("A stream carries data after its end. Send an empty data packet last.")
        if size > self.credit:
            raise Violation(f"A data packet has {size} bytes and its stream only {self.credit} bytes of credit.")
        self.credit -= size

    def grant(self, size: int) -> None:
        """We let it send so many more bytes."""
        assert not self.stopped
        self.credit += size

    def over(self) -> bool:
        return self.ended and self.stopped
