"""Words: poll_oneoff of preview 1 (and, through the layout, of wasi_unstable).

Subscriptions come from the guest (untrusted). Files are always ready; standard input is ready when bytes or the end
of input are here; standard output when there is credit. Timers run on the host's precise clock, what they are
compared with is coarse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.portable.descriptor_table import Right, Stream
from sandbox.portable.file_nodes import RegularFile
from sandbox.portable.guest_errno import CallError, Errno
from sandbox.portable.wasi_layout import EVENT, SUBSCRIPTION_FD_AT, SUBSCRIPTION_HEAD
from sandbox.portable.wasi_plain_calls import read_clock

if TYPE_CHECKING:
    from sandbox.portable.wasi_layout import Layout
    from sandbox.portable.wasi_world import WasiWorld

TAG_CLOCK, TAG_READ, TAG_WRITE = 0, 1, 2
ABSOLUTE = 1
HANGUP = 1
FD_SIZE = 4


@dataclass(frozen=True, slots=True)
class Timer:
    userdata: int
    clock: int
    timeout: int
    absolute: bool


@dataclass(frozen=True, slots=True)
class Interest:
    userdata: int
    tag: int
    fd: int


Subscription = Timer | Interest


def parse_subscriptions_untrusted(layout: Layout, table: bytes) -> list[Subscription]:
    """Raises CallError(INVAL) for an unknown kind of subscription."""
    found: list[Subscription] = []
    for at in range(0, len(table), layout.subscription_size):
        userdata, tag = SUBSCRIPTION_HEAD.unpack_from(table, at)
        if tag == TAG_CLOCK:
            clock, timeout, _precision, flags = layout.clock_fields.unpack_from(table, at + layout.clock_at)
            found.append(Timer(userdata, clock, timeout, bool(flags & ABSOLUTE)))
        elif tag in (TAG_READ, TAG_WRITE):
            fd_at = at + SUBSCRIPTION_FD_AT
            found.append(Interest(userdata, tag, int.from_bytes(table[fd_at : fd_at + FD_SIZE], "little")))
        else:
            raise CallError(Errno.INVAL)
    return found


def poll_oneoff(world: WasiWorld, subscriptions: int, events: int, count: int, result: int) -> None:
    if count == 0:
        raise CallError(Errno.INVAL)
    world.memory.check(events, EVENT.size * count)
    world.memory.check(result, 4)
    table = world.memory.read(subscriptions, world.layout.subscription_size * count)
    wanted = parse_subscriptions_untrusted(world.layout, table)
    deadlines = [_deadline(world, each) for each in wanted]
    first = min((each for each in deadlines if each is not None), default=None)
    while not (happened := _happened(world, wanted, deadlines)):
        watching = any(isinstance(each, Interest) for each in wanted)
        world.pipe.wait(readable=watching, writable=False, until=first)
    world.memory.write(events, b"".join(happened))
    world.memory.write_u32(result, len(happened))


def _deadline(world: WasiWorld, wanted: Subscription) -> int | None:
    """On the pipe's clock; a timer of an unknown clock is over at once and carries its error."""
    if isinstance(wanted, Interest):
        return None
    now = world.pipe.clock()
    if not wanted.absolute:
        return now + wanted.timeout
    try:
        return now + max(0, wanted.timeout - read_clock(world, wanted.clock))
    except CallError:
        return now


def _happened(world: WasiWorld, wanted: list[Subscription], deadlines: list[int | None]) -> list[bytes]:
    events: list[bytes] = []
    now = world.pipe.clock()
    for each, deadline in zip(wanted, deadlines, strict=True):
        event = _interest_event(world, each) if isinstance(each, Interest) else _timer_event(world, each, deadline, now)
        if event is not None:
            events.append(event)
    return events


def _timer_event(world: WasiWorld, timer: Timer, deadline: int | None, now: int) -> bytes | None:
    try:
        read_clock(world, timer.clock)
    except CallError as error:
        return EVENT.pack(timer.userdata, error.errno, TAG_CLOCK, 0, 0)
    if deadline is None or now < deadline:
        return None
    return EVENT.pack(timer.userdata, 0, TAG_CLOCK, 0, 0)


def _interest_event(world: WasiWorld, interest: Interest) -> bytes | None:
    try:
        ready = _ready(world, interest)
    except CallError as error:
        return EVENT.pack(interest.userdata, error.errno, interest.tag, 0, 0)
    if ready is None:
        return None
    ended = HANGUP if ready == 0 and interest.fd == Stream.INPUT and interest.tag == TAG_READ else 0
    return EVENT.pack(interest.userdata, 0, interest.tag, ready, ended)


def _ready(world: WasiWorld, interest: Interest) -> int | None:
    """Bytes that would move at once; None = the call would block."""
    reading = interest.tag == TAG_READ
    found = world.table.get(interest.fd, Right.POLL_FD_READWRITE)
    if isinstance(found.target, RegularFile):
        return max(0, len(found.target.content) - found.offset) if reading else world.files.quota.room()
    if found.target is Stream.INPUT and reading:
        return world.origin.readable()
    if found.target is Stream.OUTPUT and not reading:
        return world.origin.writable()
    if found.target is Stream.ERROR and not reading:
        return 1
    raise CallError(Errno.BADF)
