"""What is kept of the streams of a program that is stored: names, counts, bytes that are still owed; words.

In:  the numbers and bytes of a stream, or the part "streams" of a snapshot (untrusted: it may come from elsewhere).
Out: bytes, or frozen values that are checked: every count fits the others, so that a stream that goes on from them can
     neither lose nor double a byte, and holds no more than its window.

The part is one CBOR array of arrays, one for each stream, in the order of the fields below.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field

import cbor2

from gatebus.accountbounds import STREAM_OWNER
from gatebus.bounds import COUNT_MAX, ORIGIN_STREAMS, ORIGIN_WAITING, STREAM_WINDOW_MOST, WINDOW_MAX
from gatebus.faults import StateRefused
from gatebus.protocol.breaches import RemoteFault
from gatebus.protocol.strictcbor import decode_untrusted

AT_THE_DOOR = -1
"""Number of a connection that the program has not accepted yet."""
_NAME = 16
_NOTES = 1 << 31


@dataclass(frozen=True, slots=True)
class StreamKept:
    """`name`: b"" of a connection that nobody has claimed. `kept`: bytes of the program that its client may not have,
    from `taken` on; up to `sent` they were on a link. `pending`: bytes of the client for which the program had no room
    yet: those between `consumed` and `received`, and before them what a copy has from its original (`given`). `told`:
    bytes for which the program has new credit.
    """

    number: int
    name: bytes
    owner: str
    stranger: bool
    call: bool
    taken: int
    sent: int
    kept: bytes = field(repr=False)
    note: int | None
    unread: bool  # its client reads no more
    received: int
    consumed: int
    edge: int
    finished: int | None
    unwanted: bool  # the program reads no more
    pending: bytes = field(repr=False)
    told: int
    bound: int

    @property
    def given(self) -> int:
        return len(self.pending) - (self.received - self.consumed)


def streams_bytes(streams: list[StreamKept]) -> bytes:
    return cbor2.dumps([list(astuple(each)) for each in streams])


def streams_untrusted(data: bytes) -> list[StreamKept]:
    """b"": there are none. Raises StateRefused."""
    if not data:
        return []
    try:
        rows = decode_untrusted(data)
    except RemoteFault:
        raise _malformed() from None
    if not isinstance(rows, list) or len(rows) > ORIGIN_STREAMS + ORIGIN_WAITING:
        raise _malformed()
    found = [_stream_untrusted(row) for row in rows]
    names = [each.name for each in found if each.name]
    numbers = [each.number for each in found if each.number != AT_THE_DOOR]
    if len(set(names)) < len(names) or len(set(numbers)) < len(numbers):
        raise _malformed()
    return found


_TYPES = (int, bytes, str, bool, bool, int, int, bytes, None, bool, int, int, int, None, bool, bytes, int, int)


def _stream_untrusted(row: object) -> StreamKept:
    if not isinstance(row, list) or len(row) != len(_TYPES):
        raise _malformed()
    for value, kind in zip(row, _TYPES, strict=True):
        if kind is None:
            _check_note(value)
        elif type(value) is not kind:
            raise _malformed()
    kept = StreamKept(*row)
    if not (_identified(kept) and _counted(kept)):
        raise _malformed()
    return kept


def _check_note(value: object) -> None:
    if value is not None and (type(value) is not int or not -_NOTES <= value < _NOTES):
        raise _malformed()


def _identified(kept: StreamKept) -> bool:
    return (
        AT_THE_DOOR <= kept.number < ORIGIN_STREAMS
        and len(kept.name) in (0, _NAME)
        and len(kept.owner) <= STREAM_OWNER
        and not (kept.call and not kept.name)
    )


def _counted(kept: StreamKept) -> bool:
    """What was sent is taken or kept; what came is fed or pending; nothing is more than a window."""
    counts = (kept.taken, kept.sent, kept.consumed, kept.received, kept.edge, kept.told, kept.bound)
    if not all(0 <= count <= COUNT_MAX for count in counts):
        return False
    written = kept.taken + len(kept.kept)
    return (
        kept.taken <= kept.sent <= written
        and len(kept.kept) <= kept.bound <= STREAM_WINDOW_MOST
        and kept.told <= written
        and not (kept.unread and kept.kept)
        and kept.consumed <= kept.received
        and 0 <= kept.given <= len(kept.pending) <= 2 * STREAM_WINDOW_MOST
        and kept.received <= kept.edge <= kept.received + WINDOW_MAX
    )


def _malformed() -> StateRefused:
    return StateRefused("What the snapshot says of its streams is malformed.")
