"""Arguments, environment, clocks, randomness, the end, and what is not there."""

from __future__ import annotations

from functools import partial

import pytest
from portablefakes import MILLISECOND, NOW, PAGE, FakePipe, wasi_caller

from sandbox.portable.guest_errno import Errno, GuestEnd
from sandbox.portable.guest_time import SECOND, GuestClock, gate_tick, wasi_tick

END = 4 * PAGE


@pytest.mark.parametrize("what", ["args", "environ"])
def test_texts_arrive_with_their_sizes_and_pointers(what: str) -> None:
    texts = (b"one", b"", b"\xff=2")
    caller, _ = wasi_caller(arguments=texts, environment=texts)
    count, size = caller.room(4), caller.room(4)
    assert caller(f"{what}_sizes_get", count, size) == 0
    assert (caller.u32(count), caller.u32(size)) == (3, 9)
    pointers, buffer = caller.room(12), caller.room(9)
    assert caller(f"{what}_get", pointers, buffer) == 0
    assert bytes(caller.bytes[buffer : buffer + 9]) == b"one\0\0\xff=2\0"
    assert [caller.u32(pointers + at) - buffer for at in (0, 4, 8)] == [0, 4, 5]


@pytest.mark.parametrize(("pointers", "buffer"), [(END - 4, 0), (0, END - 2), (0xFFFFFFFF, 0), (0, 0xFFFFFFFF)])
def test_texts_that_do_not_fit_are_a_fault(pointers: int, buffer: int) -> None:
    caller, _ = wasi_caller(arguments=(b"one", b"two"))
    assert caller("args_get", pointers, buffer) == Errno.FAULT


def test_clocks_show_only_ticks() -> None:
    caller, pipe = wasi_caller()
    result = caller.room(8)
    assert caller("clock_res_get", 0, result) == 0
    assert caller.u64(result) == 10 * MILLISECOND
    assert caller("clock_time_get", 0, 1, result) == 0
    assert caller.u64(result) == NOW
    assert caller("clock_time_get", 1, 0, result) == 0
    assert caller.u64(result) == SECOND
    pipe.now += 19 * MILLISECOND
    assert caller("clock_time_get", 1, 0, result) == 0
    assert caller.u64(result) == SECOND + 10 * MILLISECOND


@pytest.mark.parametrize("clock", [2, 3, 4, 0xFFFFFFFF])
@pytest.mark.parametrize("call", ["clock_res_get", "clock_time_get"])
def test_there_are_no_clocks_of_cpu_time(call: str, clock: int) -> None:
    caller, _ = wasi_caller()
    result = caller.room(8)
    arguments = (clock, result) if call == "clock_res_get" else (clock, 0, result)
    assert caller(call, *arguments) == Errno.INVAL


@pytest.mark.parametrize(("resolution", "tick"), [(0, 1), (1, 1), (10_000_000, 10_000_000), (5 * SECOND, SECOND)])
def test_the_resolution_has_bounds(resolution: int, tick: int) -> None:
    assert wasi_tick(resolution) == tick


@pytest.mark.parametrize(
    ("resolution", "tick"), [(0, 2), (1, 2), (1000, 1024), (1024, 2048), (10_000_000, 16_777_216), (SECOND, 1 << 30)]
)
def test_gates_resolution_is_the_next_power_of_two(resolution: int, tick: int) -> None:
    assert gate_tick(resolution) == tick


@pytest.mark.parametrize("masked", [True, False])
def test_a_wait_ends_at_a_tick_that_the_clock_then_shows(masked: bool) -> None:
    tick = gate_tick(10 * MILLISECOND) if masked else 10 * MILLISECOND
    for time in (0, 1, tick, tick + 1, SECOND - 1, SECOND, 3 * SECOND - 5):
        end = GuestClock(tick, masked, lambda: 0, lambda: 0, 0).tick_at(time)
        shown = GuestClock(tick, masked, partial(int, end), lambda: 0, 0).now(0)
        assert time <= shown == end < time + SECOND


def test_random_bytes_fill_exactly_what_was_asked() -> None:
    caller, _ = wasi_caller()
    at = caller.room(8)
    assert caller("random_get", at, 4) == 0
    assert bytes(caller.bytes[at : at + 6]) == b"\7\x08\x09\x0a\0\0"
    assert caller("random_get", 0, 3 * PAGE) == 0
    assert caller("random_get", END - 3, 4) == Errno.FAULT
    assert caller("random_get", 0xFFFFFFFF, 0) == 0


@pytest.mark.parametrize(("code", "status"), [(0, 2), (1, 3), (0xFFFFFFFF, 3)])
def test_exit_ends_the_program_with_the_whole_code(code: int, status: int) -> None:
    caller, _ = wasi_caller()
    with pytest.raises(GuestEnd) as caught:
        caller("proc_exit", code)
    assert (caught.value.status, caught.value.result) == (status, code)


def test_signals_and_sockets_are_not_there() -> None:
    caller, _ = wasi_caller()
    assert caller("proc_raise", 6) == Errno.NOTSUP
    assert caller("sched_yield") == 0
    assert caller("sock_accept", 0, 0, 0) == Errno.NOTSUP
    assert caller("sock_recv", 0, 0, 0, 0, 0, 0) == Errno.NOTSOCK
    assert caller("sock_send", 3, 0, 0, 0, 0) == Errno.NOTSOCK
    assert caller("sock_shutdown", 1, 0) == Errno.NOTSOCK
    for name, count in (("sock_accept", 3), ("sock_recv", 6), ("sock_send", 5), ("sock_shutdown", 2)):
        assert caller(name, 77, *[0] * (count - 1)) == Errno.BADF


def test_waiting_for_nobody_does_not_touch_the_pipe() -> None:
    pipe = FakePipe()
    caller, _ = wasi_caller(pipe)
    caller("sched_yield")
    assert (pipe.waits, bytes(pipe.sent)) == ([], b"")
