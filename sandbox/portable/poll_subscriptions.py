"""Words: the subscriptions of poll_oneoff in guest memory (untrusted), the same for both personalities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.portable.guest_time import MONOTONIC
from sandbox.portable.wasi_layout import EVENT, SUBSCRIPTION_FD_AT, SUBSCRIPTION_HEAD

if TYPE_CHECKING:
    from sandbox.portable.guest_memory import GuestMemory
    from sandbox.portable.guest_time import GuestClock
    from sandbox.portable.wasi_layout import Layout

TAG_CLOCK, TAG_READ, TAG_WRITE = 0, 1, 2
ABSOLUTE = 1
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


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that cannot be waited for."""

    userdata: int
    tag: int


Subscription = Timer | Interest | Unknown


@dataclass(frozen=True, slots=True)
class Happened:
    """What an event says besides whose it is."""

    errno: int = 0
    count: int = 0
    flags: int = 0


@dataclass(frozen=True, slots=True)
class After:
    """Not yet: in so many nanoseconds."""

    nanoseconds: int


def subscriptions_untrusted(memory: GuestMemory, layout: Layout, address: int, count: int) -> list[Subscription]:
    table = memory.read(address, layout.subscription_size * count)
    return [_one_untrusted(layout, table, at) for at in range(0, len(table), layout.subscription_size)]


def _one_untrusted(layout: Layout, table: bytes, at: int) -> Subscription:
    userdata, tag = SUBSCRIPTION_HEAD.unpack_from(table, at)
    if tag == TAG_CLOCK:
        clock, timeout, _precision, flags = layout.clock_fields.unpack_from(table, at + layout.clock_at)
        return Timer(userdata, clock, timeout, bool(flags & ABSOLUTE))
    if tag in (TAG_READ, TAG_WRITE):
        fd_at = at + SUBSCRIPTION_FD_AT
        return Interest(userdata, tag, int.from_bytes(table[fd_at : fd_at + FD_SIZE], "little"))
    return Unknown(userdata, tag)


def timer_state(clock: GuestClock, timer: Timer, started: int) -> Happened | After:
    """`started`: the precise monotonic clock when the call began.

    A duration is measured on the monotonic clock, whichever clock it is said for: nobody sets that one back.
    """
    which, time = (timer.clock, timer.timeout) if timer.absolute else (MONOTONIC, started + timer.timeout)
    left = 0 if not timer.absolute and timer.timeout == 0 else clock.until(which, time)
    return After(left) if left else Happened()


def encode_event(subscription: Subscription, happened: Happened) -> bytes:
    tag = TAG_CLOCK if isinstance(subscription, Timer) else subscription.tag
    return EVENT.pack(subscription.userdata, happened.errno, tag, happened.count, happened.flags)
