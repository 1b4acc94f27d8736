"""Words: poll_oneoff of preview 1 (and, through the layout, of wasi_unstable).

Whatever a program waits for comes through the one pipe: input as data, room for output as credit. So a wait is
always for the pipe to be readable or for the earliest time. What cannot be waited for is an event with an errno.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.portable.descriptor_table import Right, Stream
from sandbox.portable.file_nodes import Directory, RegularFile
from sandbox.portable.guest_errno import CallError, Errno
from sandbox.portable.guest_time import MONOTONIC
from sandbox.portable.poll_subscriptions import (
    TAG_READ,
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
from sandbox.portable.wasi_layout import EVENT
from sandbox.portable.wasi_plain_calls import check_clock

if TYPE_CHECKING:
    from sandbox.portable.wasi_world import WasiWorld

HANGUP = 1
# Room that a write to something without credit (the log, a file) is said to have.
PLENTY = 65_536


def poll_oneoff(world: WasiWorld, subscriptions: int, events: int, count: int, result: int) -> None:
    if count == 0:
        raise CallError(Errno.INVAL)
    world.memory.check(events, EVENT.size * count)
    wanted = subscriptions_untrusted(world.memory, world.layout, subscriptions, count)
    world.memory.write_u32(result, 0)
    # a call that is made again after a stop has waited already
    started = world.stopped.begin(world.clock.precise(MONOTONIC))
    _want_what_is_polled(world, wanted)
    while True:
        states = [_state(world, each, started) for each in wanted]
        happened = [(each, state) for each, state in zip(wanted, states, strict=True) if isinstance(state, Happened)]
        if happened:
            break
        after = min((state.nanoseconds for state in states if isinstance(state, After)), default=None)
        until = None if after is None else world.pipe.clock() + after
        if world.origin.asked_to_stop:
            world.stopped.stop(started)
        if world.pipe.wait(readable=True, writable=False, until=until)[0]:
            world.origin.pump()
    world.memory.write(events, b"".join(encode_event(each, state) for each, state in happened))
    world.memory.write_u32(result, len(happened))


def _want_what_is_polled(world: WasiWorld, wanted: list[Subscription]) -> None:
    """Before the first look: lets the host send if input is polled, and takes in what is already there."""
    streams = {_stream(world, each) for each in wanted if isinstance(each, Interest)}
    if Stream.INPUT in streams:
        world.origin.want_input()
    if streams & {Stream.INPUT, Stream.OUTPUT}:
        world.origin.pump()
    world.origin.look()


def _stream(world: WasiWorld, interest: Interest) -> Stream | None:
    try:
        target = world.table.get(interest.fd).target
    except CallError:
        return None
    return target if isinstance(target, Stream) else None


def _state(world: WasiWorld, wanted: Subscription, started: int) -> Happened | After | None:
    """None: when something comes through the pipe."""
    try:
        match wanted:
            case Timer():
                check_clock(wanted.clock)
                return timer_state(world.clock, wanted, started)
            case Unknown():
                raise CallError(Errno.INVAL)
            case _:
                return _read_state(world, wanted.fd) if wanted.tag == TAG_READ else _write_state(world, wanted.fd)
    except CallError as error:
        return Happened(error.errno)


def _read_state(world: WasiWorld, fd: int) -> Happened | None:
    found = world.table.get(fd)
    if isinstance(found.target, Directory):
        return Happened()
    found.check(Right.FD_READ)
    if isinstance(found.target, RegularFile):
        return Happened(count=max(0, len(found.target.content) - found.offset))
    if found.target is not Stream.INPUT:
        raise CallError(Errno.BADF)
    if world.origin.available:
        return Happened(count=world.origin.available)
    return Happened(flags=HANGUP) if world.origin.input_ended else None


def _write_state(world: WasiWorld, fd: int) -> Happened | None:
    found = world.table.get(fd)
    if not isinstance(found.target, Directory):
        found.check(Right.FD_WRITE)
    if found.target is not Stream.OUTPUT:
        return Happened(count=PLENTY)
    if world.origin.output_ended:
        return Happened(flags=HANGUP)
    return Happened(count=world.origin.credit) if world.origin.credit else None
