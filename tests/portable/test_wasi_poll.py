"""Waiting for several things at once, with a clock by hand, in both layouts."""

from __future__ import annotations

import struct

import pytest
from portablefakes import MILLISECOND, NOW, Caller, FakePipe, StuckForever, wasi_caller

from sandbox.packets import encode_data, encode_flow
from sandbox.portable.guest_errno import Errno
from sandbox.portable.guest_time import SECOND
from sandbox.portable.wasi_layout import PREVIEW1, UNSTABLE, Layout


def clock(userdata: int, which: int, timeout: int, flags: int = 0, layout: Layout = PREVIEW1) -> bytes:
    head = struct.pack("<QB7x", userdata, 0) + bytes(layout.clock_at - 16)
    return (head + struct.pack("<I4xQQH", which, timeout, 0, flags)).ljust(layout.subscription_size, b"\0")


def interest(userdata: int, tag: int, fd: int, layout: Layout = PREVIEW1) -> bytes:
    return struct.pack("<QB7xI", userdata, tag, fd).ljust(layout.subscription_size, b"\0")


def poll(caller: Caller, *wanted: bytes) -> list[tuple[int, ...]]:
    """(userdata, errno, type, bytes, flags) of each event."""
    events, result = caller.room(32 * len(wanted)), caller.room(4)
    assert caller("poll_oneoff", caller.put(b"".join(wanted)), events, len(wanted), result) == 0
    return [struct.unpack_from("<QHB5xQH", caller.bytes, events + 32 * at) for at in range(caller.u32(result))]


def test_a_sleep_ends_at_the_tick_after_it() -> None:
    caller, pipe = wasi_caller()
    started = pipe.now
    assert poll(caller, clock(7, 1, 15 * MILLISECOND)) == [(7, 0, 0, 0, 0)]
    assert pipe.now - started == 20 * MILLISECOND


def test_the_old_layout_of_a_sleep() -> None:
    caller, pipe = wasi_caller(layout=UNSTABLE, module="wasi_unstable")
    started = pipe.now
    assert poll(caller, clock(7, 1, 20 * MILLISECOND, layout=UNSTABLE)) == [(7, 0, 0, 0, 0)]
    assert pipe.now - started == 20 * MILLISECOND


def test_a_sleep_of_nothing_does_not_wait() -> None:
    caller, pipe = wasi_caller()
    assert poll(caller, clock(1, 0, 0)) == [(1, 0, 0, 0, 0)]
    assert pipe.waits == []


@pytest.mark.parametrize(("which", "time"), [(0, NOW - 1), (0, 1), (1, SECOND)])
def test_a_time_that_is_over_is_an_event_at_once(which: int, time: int) -> None:
    caller, pipe = wasi_caller()
    assert poll(caller, clock(1, which, time, 1)) == [(1, 0, 0, 0, 0)]
    assert pipe.waits == []


def test_a_time_to_come_is_waited_for() -> None:
    caller, pipe = wasi_caller()
    started = pipe.now
    assert poll(caller, clock(1, 1, 3 * SECOND, 1)) == [(1, 0, 0, 0, 0)]
    assert pipe.now - started == 2 * SECOND


def test_the_earliest_of_several_timers_is_the_one() -> None:
    caller, _ = wasi_caller()
    assert [event[0] for event in poll(caller, clock(1, 1, SECOND), clock(2, 1, 10), clock(3, 1, 1 << 63))] == [2]


def test_errors_are_events_and_come_at_once() -> None:
    caller, _ = wasi_caller()
    wanted = [clock(1, 2, 0), interest(2, 1, 99), interest(3, 1, 1), interest(4, 9, 0), clock(5, 1, SECOND)]
    errors = [(1, Errno.INVAL, 0), (2, Errno.BADF, 1), (3, Errno.BADF, 1), (4, Errno.INVAL, 9)]
    assert [event[:3] for event in poll(caller, *wanted)] == errors


def test_input_is_waited_for_and_asked_for() -> None:
    caller, pipe = wasi_caller(FakePipe(later=[encode_data(0, 0, b"typed")]))
    assert poll(caller, interest(1, 1, 0), clock(2, 1, SECOND)) == [(1, 0, 1, 5, 0)]
    assert len(pipe.packets()) == 1


def test_the_end_of_input_is_a_hang_up() -> None:
    caller, _ = wasi_caller(FakePipe(later=[encode_data(0, 0, b"")]))
    assert poll(caller, interest(1, 1, 0)) == [(1, 0, 1, 0, 1)]


def test_output_is_ready_with_its_credit() -> None:
    caller, _ = wasi_caller(credit=17)
    assert poll(caller, interest(1, 2, 1)) == [(1, 0, 2, 17, 0)]


def test_output_without_credit_is_waited_for() -> None:
    caller, _ = wasi_caller(FakePipe(later=[encode_flow(0, [(0, 9)])]), credit=0)
    assert poll(caller, interest(1, 2, 1)) == [(1, 0, 2, 9, 0)]


def test_output_that_nobody_reads_any_more_is_a_hang_up() -> None:
    caller, _ = wasi_caller(FakePipe(later=[encode_flow(0, [(0, 0)])]), credit=0)
    assert poll(caller, interest(1, 2, 1)) == [(1, 0, 2, 0, 1)]


def test_the_log_and_files_are_always_ready() -> None:
    caller, _ = wasi_caller()
    assert poll(caller, interest(1, 2, 2), interest(2, 1, 3)) == [(1, 0, 2, 65536, 0), (2, 0, 1, 0, 0)]


def test_waiting_for_what_never_comes_waits_for_ever() -> None:
    caller, _ = wasi_caller()
    with pytest.raises(StuckForever):
        poll(caller, interest(1, 1, 0))


def test_waiting_for_nothing_is_refused() -> None:
    caller, _ = wasi_caller()
    assert caller("poll_oneoff", 0, 0, 0, 0) == Errno.INVAL


@pytest.mark.parametrize(
    ("subscriptions", "events", "result"), [(1 << 18, 0, 0), (0, (1 << 18) - 31, 0), (0, 0, (1 << 18) - 3)]
)
def test_lists_outside_of_memory_are_faults(subscriptions: int, events: int, result: int) -> None:
    caller, _ = wasi_caller()
    assert caller("poll_oneoff", subscriptions, events, 1, result) == Errno.FAULT
