"""Words: poll_oneoff as Gate answers it: events in the order of the subscriptions; an error of one is an event, too.

Different from Gate in one thing: a relative timer that has run out is reported (Gate never reports one; a defect).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.portable.gate_calls import LOGGED, VALID, deficiency, not_null, signed_count
from sandbox.portable.gate_world import PACKET_FD
from sandbox.portable.guest_errno import Errno
from sandbox.portable.guest_time import MONOTONIC, PROCESS_TIME, THREAD_TIME
from sandbox.portable.poll_subscriptions import (
    TAG_READ,
    TAG_WRITE,
    After,
    Happened,
    Interest,
    Subscription,
    Timer,
    Unknown,
    encode_event,
    subscriptions_untrusted,
    timer_state,
)
from sandbox.portable.wasi_layout import PREVIEW1

if TYPE_CHECKING:
    from sandbox.portable.gate_world import GateWorld

PACKET_BYTES = 65_536
LOG_BYTES = 0x7FFF_FFFF


def poll_oneoff(world: GateWorld, subscriptions: int, events: int, count: int, result: int) -> None:
    """For nothing it waits for ever."""
    count = signed_count(count)
    if count:
        not_null(subscriptions, events)
    not_null(result)
    started = world.stopped.begin(world.clock.precise(MONOTONIC))
    wanted = subscriptions_untrusted(world.memory, PREVIEW1, subscriptions, count)
    while not (happened := _round(world, wanted, started)):
        if world.inbox.asked_to_stop:
            world.stopped.stop(started)
    world.memory.write(events, b"".join(happened))
    world.memory.write_u32(result, len(happened))


def _round(world: GateWorld, wanted: list[Subscription], started: int) -> list[bytes]:
    """Wait once, then look."""
    states = [_state(world, each, started) for each in wanted]
    ends = [0 if isinstance(state, Happened) else state.nanoseconds for state in states if not isinstance(state, int)]
    until = world.pipe.clock() + min(ends) if ends else None
    ready = world.wait(readable=TAG_READ in states, writable=TAG_WRITE in states, until=until)
    found = ((each, _now(world, each, started, ready)) for each in wanted)
    return [encode_event(each, happened) for each, happened in found if happened is not None]


def _now(world: GateWorld, wanted: Subscription, started: int, ready: tuple[bool, bool]) -> Happened | None:
    state = _state(world, wanted, started)
    if isinstance(state, Happened):
        return state
    readable, writable = ready
    if (state == TAG_READ and readable) or (state == TAG_WRITE and writable):
        return Happened(count=PACKET_BYTES)
    return None


def _state(world: GateWorld, wanted: Subscription, started: int) -> Happened | After | int:
    """A tag: when packets can be read or written."""
    match wanted:
        case Timer():
            return _timer(world, wanted, started)
        case Unknown():
            return Happened(Errno.INVAL)
        case _:
            return _descriptor(wanted)


def _timer(world: GateWorld, timer: Timer, started: int) -> Happened | After:
    if timer.clock in (PROCESS_TIME, THREAD_TIME):
        deficiency("a clock of CPU time was waited for")
    if timer.clock > THREAD_TIME:
        return Happened(Errno.INVAL)
    return timer_state(world.clock, timer, started) if timer.timeout else Happened()


def _descriptor(wanted: Interest) -> Happened | int:
    if wanted.fd == PACKET_FD:
        return wanted.tag
    if wanted.fd not in VALID:
        return Happened(Errno.BADF)
    if wanted.tag == TAG_WRITE and wanted.fd in LOGGED:
        return Happened(count=LOG_BYTES)
    return Happened(Errno.PERM)
