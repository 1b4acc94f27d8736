"""Words: poll_oneoff as Gate answers it: an error of one subscription is an event and makes the call return at once.

Different from Gate in one thing: a relative timer that has run out is reported (Gate never reports one; a defect).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.portable.gate_calls import LOGGED, VALID, not_null, read_gate_clock
from sandbox.portable.gate_world import PACKET_FD
from sandbox.portable.guest_errno import CallError, Errno
from sandbox.portable.wasi_layout import EVENT, PREVIEW1, SUBSCRIPTION_HEAD
from sandbox.portable.wasi_poll_calls import (
    TAG_CLOCK,
    TAG_READ,
    TAG_WRITE,
    Interest,
    Timer,
    parse_subscriptions_untrusted,
)

if TYPE_CHECKING:
    from sandbox.portable.gate_world import GateWorld

PACKET_BYTES = 65536
LOG_BYTES = 0x7FFFFFFF


def poll_oneoff(world: GateWorld, subscriptions: int, events: int, count: int, result: int) -> None:
    not_null(result)
    if count:
        not_null(subscriptions, events)
    table = world.memory.read(subscriptions, PREVIEW1.subscription_size * count)
    size = PREVIEW1.subscription_size
    wanted = [_parse_one_untrusted(table[at : at + size]) for at in range(0, len(table), size)]
    deadlines = [_deadline(world, each) for each in wanted]
    happened = _wait(world, wanted, deadlines)
    world.memory.write(events, b"".join(happened))
    world.memory.write_u32(result, len(happened))


Wanted = Timer | Interest | tuple[int, int]


def _parse_one_untrusted(entry: bytes) -> Wanted:
    """An unknown tag is (userdata, tag): it becomes an event with an error."""
    try:
        return parse_subscriptions_untrusted(PREVIEW1, entry)[0]
    except CallError:
        userdata, tag = SUBSCRIPTION_HEAD.unpack_from(entry)
        return userdata, tag


def _deadline(world: GateWorld, wanted: Wanted) -> int | None:
    if not isinstance(wanted, Timer):
        return None
    now = world.pipe.clock()
    try:
        coarse = read_gate_clock(world, wanted.clock)
    except CallError:
        return now
    return now + (max(0, wanted.timeout - coarse) if wanted.absolute else wanted.timeout)


def _wait(world: GateWorld, wanted: list[Wanted], deadlines: list[int | None]) -> list[bytes]:
    first = min((each for each in deadlines if each is not None), default=None)
    reading = any(isinstance(each, Interest) and (each.tag, each.fd) == (TAG_READ, PACKET_FD) for each in wanted)
    writing = any(isinstance(each, Interest) and (each.tag, each.fd) == (TAG_WRITE, PACKET_FD) for each in wanted)
    at_once = _events(world, wanted, deadlines, (False, False))
    ready = world.wait(readable=reading, writable=writing, until=world.pipe.clock() if at_once else first)
    while not (happened := _events(world, wanted, deadlines, ready)):
        ready = world.wait(readable=reading, writable=writing, until=first)
    return happened


def _events(
    world: GateWorld, wanted: list[Wanted], deadlines: list[int | None], ready: tuple[bool, bool]
) -> list[bytes]:
    now = world.pipe.clock()
    found = (_event(each, deadline, now, ready) for each, deadline in zip(wanted, deadlines, strict=True))
    return [event for event in found if event is not None]


def _event(wanted: Wanted, deadline: int | None, now: int, ready: tuple[bool, bool]) -> bytes | None:
    if isinstance(wanted, tuple):
        return EVENT.pack(wanted[0], Errno.INVAL, wanted[1], 0, 0)
    if isinstance(wanted, Timer):
        if wanted.clock > 1:
            return EVENT.pack(wanted.userdata, Errno.INVAL, TAG_CLOCK, 0, 0)
        elapsed = deadline is not None and now >= deadline
        return EVENT.pack(wanted.userdata, 0, TAG_CLOCK, 0, 0) if elapsed else None
    return _fd_event(wanted, ready)


def _fd_event(wanted: Interest, ready: tuple[bool, bool]) -> bytes | None:
    readable, writable = ready
    if wanted.fd not in VALID:
        return EVENT.pack(wanted.userdata, Errno.BADF, wanted.tag, 0, 0)
    if wanted.fd == PACKET_FD:
        happened = readable if wanted.tag == TAG_READ else writable
        return EVENT.pack(wanted.userdata, 0, wanted.tag, PACKET_BYTES, 0) if happened else None
    if wanted.tag == TAG_WRITE and wanted.fd in LOGGED:
        return EVENT.pack(wanted.userdata, 0, TAG_WRITE, LOG_BYTES, 0)
    return EVENT.pack(wanted.userdata, Errno.PERM, wanted.tag, 0, 0)
