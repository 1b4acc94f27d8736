"""Streams between a program and a service: credit, ends, and the packets that carry them; words, no I/O.

In:  contents of flow and data packets of a program (untrusted), parsed once by the functions that end in _untrusted.
Out: Change and Chunk values; the contents of the packets that we send; Sending and Receiving, the two halves of a
     stream.

A stream has two directions. Each has one writer and one reader and ends twice: the writer says "no more" (a data
packet without bytes), the reader says "closed" (a flow entry of 0). Only after all four ends may the stream's number
be used again.
"""

from typing import NamedTuple

from gatebus.bounds import MAX_CREDIT
from gatebus.faults import Violation
from sandbox.packets import PAIR


class Change(NamedTuple):
    """One entry of a flow packet: value > 0 is credit in bytes, 0 means that the reader has closed, < 0 is a note."""

    stream: int
    value: int


class Chunk(NamedTuple):
    """One data packet; no bytes means that the writer has ended."""

    stream: int
    note: int
    data: bytes


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
