"""Words: what the saved worlds of both personalities have in common (STATE.md): the head, fields, and the wait that was
stopped.

In: bytes that somebody else saved (untrusted). Out: values, or BadWorld: a world that no program ever had, or that is
not allowed here. Every count is bounded before anything is made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Any, NoReturn

from sandbox.portable.guest_errno import GuestEnd, Suspend

if TYPE_CHECKING:
    from sandbox.portable.debug_log import DebugLog
    from sandbox.portable.guest_time import GuestClock

VERSION = 1
WASI, GATE = 0, 1
STATUS_BAD_STATE = 77
# u16 version, u8 personality, u8 0, u64 monotonic, u64 waiting since, u64 log used, u64 log dropped
HEAD_LAYOUT = Struct("<HBBQQQQ")
U32 = Struct("<I")


class BadWorld(GuestEnd):
    """The program cannot go on from this."""

    def __init__(self, text: str) -> None:
        super().__init__(STATUS_BAD_STATE, text=text)


@dataclass(slots=True)
class StoppedWait:
    """When the wait began that was stopped: on the guest's monotonic clock, which a stop does not move. 0: none was."""

    since: int = 0

    def begin(self, now: int) -> int:
        """When the present wait began: now, but for a call that is made again."""
        started, self.since = self.since or now, 0
        return started

    def stop(self, started: int) -> NoReturn:
        self.since = started
        raise Suspend


class FieldReader:
    """Takes fields from the front; every one is checked."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise BadWorld("what stands behind its host calls is cut off")
        self._at += count
        return self._data[self._at - count : self._at]

    def unpack(self, layout: Struct) -> tuple[Any, ...]:
        return layout.unpack(self.take(layout.size))

    def number(self, layout: Struct) -> int:
        (value,) = self.unpack(layout)
        return int(value)

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        if self._at != len(self._data):
            raise BadWorld("what stands behind its host calls is too long")


def save_head(personality: int, clock: GuestClock, stopped: StoppedWait, log: DebugLog) -> bytes:
    return HEAD_LAYOUT.pack(VERSION, personality, 0, clock.saved(), stopped.since, log.used, log.dropped)


def restore_head_untrusted(
    fields: FieldReader, personality: int, clock: GuestClock, log: DebugLog
) -> tuple[GuestClock, StoppedWait]:
    """The clock that goes on, and the wait; the log's counts are set."""
    version, whose, zero, monotonic, since, log.used, log.dropped = fields.unpack(HEAD_LAYOUT)
    if version != VERSION:
        raise BadWorld("unknown version of the state")
    if (whose, zero) != (personality, 0):
        raise BadWorld("the state of a program with another interface")
    going_on = clock.resumed_untrusted(monotonic)
    if going_on is None:
        raise BadWorld("a clock that no program has seen")
    if since > monotonic:
        raise BadWorld("a wait that begins after the stop")
    return going_on, StoppedWait(since)
