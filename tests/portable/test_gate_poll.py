"""Waiting under Gate's rules: events in the order of the subscriptions, errors as events, timers that run out."""

from __future__ import annotations

import struct

import pytest
from portablefakes import MILLISECOND, Caller, FakePipe, StuckForever, gate_caller

from sandbox.packets import encode
from sandbox.portable.guest_errno import GuestEnd


def ended(caller: Caller, name: str, *arguments: int) -> tuple[int, str]:
    with pytest.raises(GuestEnd) as caught:
        caller(name, *arguments)
    return caught.value.status, caught.value.text


def subscribe(tag: int, fd: int) -> bytes:
    return struct.pack("<QB7xI", 10 + fd, tag, fd).ljust(48, b"\0")


def timer(userdata: int, clock: int, timeout: int, flags: int = 0) -> bytes:
    return struct.pack("<QB7xI4xQQH6x", userdata, 0, clock, timeout, 0, flags)


def poll(caller: Caller, *wanted: bytes) -> list[tuple[int, ...]]:
    events, result = caller.room(32 * len(wanted)), caller.room(4)
    assert caller("poll_oneoff", caller.put(b"".join(wanted)), events, len(wanted), result) == 0
    return [struct.unpack_from("<QHB5xQH", caller.bytes, events + 32 * at) for at in range(caller.u32(result))]


def test_polling_says_what_is_ready_in_the_order_of_asking() -> None:
    caller, _ = gate_caller(FakePipe(incoming=[encode(0, 1, b"x")]))
    wanted = [
        subscribe(2, 1),
        subscribe(1, 4),
        subscribe(1, 0),
        subscribe(2, 4),
        subscribe(1, 3),
        subscribe(2, 0),
        subscribe(9, 4),
    ]
    assert poll(caller, *wanted) == [
        (11, 0, 2, 0x7FFFFFFF, 0),
        (14, 0, 1, 65536, 0),
        (10, 63, 1, 0, 0),
        (14, 0, 2, 65536, 0),
        (13, 8, 1, 0, 0),
        (10, 63, 2, 0, 0),
        (14, 28, 9, 0, 0),
    ]


def test_polling_timers_as_gate_s_own_test_does() -> None:
    caller, _ = gate_caller(resolution=1000)
    wanted = [timer(0, 0, 1, 1), timer(1, 1, 1 << 30), timer(2, 1, 0), timer(3, 1, 1 << 63, 1)]
    assert [event[0] for event in poll(caller, *wanted)] == [0, 2]


def test_polling_reports_a_timer_that_ran_out() -> None:
    caller, pipe = gate_caller()
    started = pipe.now
    assert poll(caller, timer(5, 1, 20 * MILLISECOND), subscribe(1, 4)) == [(5, 0, 0, 0, 0)]
    assert 20 * MILLISECOND <= pipe.now - started <= 40 * MILLISECOND


def test_polling_a_clock_of_cpu_time_is_a_deficiency() -> None:
    caller, _ = gate_caller()
    at = caller.put(timer(5, 2, 1))
    assert ended(caller, "poll_oneoff", at, caller.room(32), 1, caller.room(4)) == (
        47,
        "a clock of CPU time was waited for",
    )


@pytest.mark.parametrize("count", [0, 0x80000000])
def test_polling_nothing_waits_for_ever(count: int) -> None:
    caller, _ = gate_caller()
    with pytest.raises(StuckForever):
        caller("poll_oneoff", 0, 0, count, caller.room(4))
