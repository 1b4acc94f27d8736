"""Gate's functions, by its document: descriptors, environment, clocks, the seed, packets, the log between them."""

from __future__ import annotations

import struct

import pytest
from portablefakes import MILLISECOND, NOW, PAGE, Caller, FakePipe, StuckForever, gate_caller

from sandbox.packets import encode
from sandbox.portable.guest_errno import Errno, GuestEnd
from sandbox.portable.guest_time import SECOND
from sandbox.portable.import_table import SIGNATURES, find_function_untrusted

VALID = (0, 1, 2, 4)
PACKET = encode(-1, 0, b"\1\0\1x")  # a discovery, 12 bytes and padding
REPLY = encode(-1, 0, b"\1\0\0")
LOG = 7


def ended(caller: Caller, name: str, *arguments: int) -> tuple[int, str]:
    with pytest.raises(GuestEnd) as caught:
        caller(name, *arguments)
    return caught.value.status, caught.value.text


def gate(caller: Caller, name: str, *arguments: int) -> int | None:
    caller._module = "gate"
    try:
        return caller(name, *arguments)
    finally:
        caller._module = "wasi_snapshot_preview1"


def io(caller: Caller, send: bytes = b"", room: int = 0, timeout: int = -1) -> tuple[int, bytes, int]:
    """(bytes sent, bytes received, flags)."""
    out = caller.vectors(send) if send else (0, 0)
    buffer = caller.room(room)
    into = (caller.put(struct.pack("<II", buffer, room)), 1) if room else (0, 0)
    got, sent, flags = caller.room(4), caller.room(4), caller.room(8)
    assert gate(caller, "io_65536", *into, got, *out, sent, timeout, flags) is None
    return caller.u32(sent), bytes(caller.bytes[buffer : buffer + caller.u32(got)]), caller.u64(flags)


def test_the_packet_descriptor_is_four() -> None:
    assert gate(gate_caller()[0], "fd_65536") == 4


@pytest.mark.parametrize(
    ("module", "name", "known"),
    [
        ("gate", "fd_65536", True),
        ("gate", "fd_99999999999", True),
        ("gate", "io_65536", True),
        ("gate", "fd_065536", False),
        ("gate", "fd_65535", False),
        ("gate", "fd_", False),
        ("gate", "fd", False),
        ("gate", "fd_x", False),
        ("gate", "fd_٣٣٣٣٣٣", False),
        ("env", "__gate_fd_65536", True),
        ("env", "__wasi_fd_read", True),
        ("env", "fd_read", False),
        ("env", "__wasi_sock_accept", False),
        ("wasi_unstable", "fd_read", True),
        ("wasi_snapshot_preview1", "sock_accept", False),
        ("other", "fd_read", False),
    ],
)
def test_names_that_gate_knows(module: str, name: str, known: bool) -> None:
    assert (find_function_untrusted("gate", module, name) is not None) is known


def test_there_are_no_arguments_and_three_variables() -> None:
    caller, _ = gate_caller()
    count, size = caller.room(4), caller.room(4)
    assert caller("args_sizes_get", count, size) == 0
    assert (caller.u32(count), caller.u32(size)) == (0, 0)
    assert caller("args_get", 0, 0) == 0
    assert caller("environ_sizes_get", count, size) == 0
    assert (caller.u32(count), caller.u32(size)) == (3, 72)
    pointers, buffer = caller.room(12), caller.room(72)
    assert caller("environ_get", pointers, buffer) == 0
    assert [caller.u32(pointers + at) - buffer for at in (0, 4, 8)] == [0, 24, 40]
    text = bytes(caller.bytes[buffer : buffer + 72])
    assert text == b"GATE_ABI_VERSION=0\0\0\0\0\0\0" + b"GATE_FD=4".ljust(
        16, b"\0"
    ) + b"GATE_MAX_SEND_SIZE=65536".ljust(32, b"\0")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("args_sizes_get", (0, 8)),
        ("environ_sizes_get", (8, 0)),
        ("environ_get", (0, 8)),
        ("clock_res_get", (0, 0)),
        ("clock_time_get", (0, 0, 0)),
        ("fd_fdstat_get", (4, 0)),
        ("random_get", (0, 1)),
        ("poll_oneoff", (0, 8, 1, 8)),
        ("poll_oneoff", (8, 8, 1, 0)),
        ("fd_read", (4, 0, 1, 8)),
        ("fd_write", (4, 8, 1, 0)),
        ("fd_prestat_dir_name", (0, 0, 1)),
    ],
)
def test_null_is_a_fault_where_gate_looks_for_it(name: str, arguments: tuple[int, ...]) -> None:
    assert gate_caller()[0](name, *arguments) == Errno.FAULT


def test_any_other_bad_address_is_a_trap() -> None:
    caller, _ = gate_caller()
    assert ended(caller, "clock_res_get", 0, 4 * PAGE) == (
        25,
        "a pointer given to a host function is outside the memory",
    )
    assert ended(caller, "fd_write", 1, 4 * PAGE, 1, 8)[0] == 25


def test_clocks_have_gates_resolution() -> None:
    caller, pipe = gate_caller(resolution=1000)
    result = caller.room(8)
    assert [caller("clock_res_get", clock, result) for clock in (0, 1, 2, 3, 4, 0xFFFFFFFF)] == [0, 0, 0, 0, 28, 28]
    assert caller.u64(result) == 1024
    assert caller("clock_time_get", 0, 1, result) == 0
    assert caller.u64(result) == NOW + 123_456_789 - 123_456_789 % 1024
    pipe.now += 5000
    assert caller("clock_time_get", 1, 1, result) == 0
    assert caller.u64(result) == SECOND + 4096
    assert caller("clock_time_get", 4, 1, result) == Errno.INVAL
    assert ended(caller, "clock_time_get", 2, 1, result) == (47, "a clock of CPU time was read")


def test_a_resolution_of_a_second_is_reported_as_one() -> None:
    caller, _ = gate_caller(resolution=SECOND)
    result = caller.room(8)
    assert caller("clock_res_get", 0, result) == 0
    assert caller.u64(result) == SECOND


def test_the_seed_has_sixteen_bytes() -> None:
    caller, _ = gate_caller()
    at = caller.room(32)
    assert caller("random_get", at, 10) == 0
    assert caller("random_get", at, 6) == 0
    assert caller("random_get", 0, 0) == 0
    assert ended(caller, "random_get", at, 1) == (47, "more than 16 random bytes were wanted; use the service random")
    assert ended(gate_caller()[0], "random_get", at, 17)[0] == 47


@pytest.mark.parametrize("fd", VALID)
def test_descriptors_cannot_be_closed_or_moved(fd: int) -> None:
    caller, _ = gate_caller()
    assert ended(caller, "fd_close", fd) == (47, "a descriptor was closed")
    assert caller("fd_renumber", fd, fd) == 0
    other = 1 if fd != 1 else 2
    assert ended(caller, "fd_renumber", fd, other) == (47, "a descriptor was moved")
    assert caller("fd_renumber", fd, 3) == Errno.BADF
    assert caller("fd_close", 3) == Errno.BADF


@pytest.mark.parametrize(
    ("fd", "base", "inheriting", "expected"),
    [
        (4, 0x42, 0, 0),
        (4, 0x42, 1, 76),
        (4, 0x43, 0, 76),
        (4, 0x40, 0, "given up"),
        (4, 0, 0, "given up"),
        (1, 0x40, 0, 0),
        (2, 0x42, 0, 76),
        (1, 0, 0, "given up"),
        (0, 0, 0, 0),
        (0, 2, 0, 76),
        (3, 0, 0, 8),
        (4, 1 << 50, 0, 76),
    ],
)
def test_rights_can_be_confirmed_but_not_given_up(fd: int, base: int, inheriting: int, expected: int | str) -> None:
    caller, _ = gate_caller()
    if expected == "given up":
        assert ended(caller, "fd_fdstat_set_rights", fd, base, inheriting)[0] == 47
    else:
        assert caller("fd_fdstat_set_rights", fd, base, inheriting) == expected


def test_what_descriptors_are() -> None:
    caller, _ = gate_caller()
    result, found = caller.room(24), {}
    for fd in VALID:
        assert caller("fd_fdstat_get", fd, result) == 0
        found[fd] = struct.unpack_from("<BxHxxxxQQ", caller.bytes, result)
    assert found == {0: (0, 0, 0, 0), 1: (0, 0, 0x40, 0), 2: (0, 0, 0x40, 0), 4: (0, 4, 0x42, 0)}
    assert caller("fd_fdstat_get", 3, result) == Errno.BADF


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fd_prestat_get", [63, 63, 63, 8, 63]),
        ("fd_prestat_dir_name", [28, 28, 28, 8, 28]),
        ("sock_recv", [63, 63, 63, 8, 57]),
        ("sock_send", [63, 57, 57, 8, 57]),
        ("sock_shutdown", [63, 63, 63, 8, 63]),
        ("fd_seek", [63, 63, 63, 8, 63]),
        ("path_open", [63, 63, 63, 8, 63]),
        ("fd_sync", [63, 63, 63, 8, 63]),
    ],
)
def test_what_is_not_permitted(name: str, expected: list[int]) -> None:
    caller, _ = gate_caller()
    rest = [0] * (len(SIGNATURES[name]) - 1)
    assert [caller(name, fd, *rest) for fd in range(5)] == expected


def test_the_second_descriptor_counts_too() -> None:
    caller, _ = gate_caller()
    assert caller("path_link", 0, 0, 0, 0, 3, 0, 0) == Errno.BADF
    assert caller("path_link", 0, 0, 0, 0, 4, 0, 0) == Errno.PERM
    assert caller("path_rename", 4, 0, 0, 9, 0, 0) == Errno.BADF
    assert caller("path_rename", 4, 0, 0, 1, 0, 0) == Errno.PERM
    assert caller("path_symlink", 0, 0, 9, 0, 0) == Errno.BADF
    assert caller("path_symlink", 9, 9, 4, 0, 0) == Errno.PERM


def test_every_function_of_the_table_answers_a_bad_descriptor() -> None:
    caller, _ = gate_caller()
    for name in SIGNATURES:
        if name.startswith(("fd_", "path_", "sock_")) and name != "sock_accept":
            arguments = [99 if letter == "i" else 0 for letter in SIGNATURES[name]]
            assert caller(name, *arguments) in (Errno.BADF, 25), name


def test_the_program_s_end_and_signals() -> None:
    caller, _ = gate_caller()
    assert ended(caller, "proc_exit", 0)[0] == 2
    assert ended(caller, "proc_exit", 7)[0] == 3
    assert ended(caller, "proc_raise", 6) == (47, "a signal was raised")


def test_io_sends_and_receives_whole_streams_of_bytes() -> None:
    caller, pipe = gate_caller(FakePipe(incoming=[REPLY]))
    assert io(caller, PACKET, 4) == (len(PACKET), REPLY[:4], 1)
    assert io(caller, b"", 100) == (0, REPLY[4:], 0)
    assert bytes(pipe.sent) == PACKET


def test_io_waits_for_input_only_when_somebody_wants_it() -> None:
    pipe = FakePipe(incoming=[REPLY])
    caller, _ = gate_caller(pipe)
    assert io(caller, timeout=20 * MILLISECOND) == (0, b"", 1)
    assert pipe.now > 5_000_000_000 + 20 * MILLISECOND
    assert io(caller, b"", 100)[1] == REPLY, "it was taken in, for the next who asks"


def test_io_with_a_very_short_timeout_only_tries() -> None:
    caller, pipe = gate_caller()
    assert io(caller, PACKET, 8, timeout=999) == (len(PACKET), b"", 1)
    assert pipe.waits == []


def test_io_waits_until_a_tick() -> None:
    caller, pipe = gate_caller()
    started = pipe.now
    assert io(caller, b"", 8, timeout=MILLISECOND) == (0, b"", 1)
    assert pipe.now - started == 16_777_216


def test_io_without_an_end_waits_for_ever() -> None:
    with pytest.raises(StuckForever):
        io(gate_caller()[0], b"", 8, timeout=-1)


def test_io_tells_its_flags_only_to_who_asks() -> None:
    caller, _ = gate_caller()
    gate(caller, "io_65536", 0, 0, 0, 0, 0, 0, 0, 0)
    assert io(caller, timeout=0)[2] == 1
    assert io(caller, timeout=0)[2] == 0


def test_what_came_with_the_setup_is_read_first() -> None:
    caller, _ = gate_caller(FakePipe(incoming=[PACKET]))
    caller.world.inbox.push(REPLY)
    assert io(caller, b"", 100)[1] == REPLY
    assert io(caller, b"", 100)[1] == PACKET


def test_reading_and_writing_packets_never_blocks() -> None:
    pipe = FakePipe(room=8)
    caller, _ = gate_caller(pipe)
    result = caller.room(4)
    assert caller("fd_read", 4, *caller.vectors(b"12345678"), result) == Errno.AGAIN
    assert caller("fd_write", 4, *caller.vectors(PACKET), result) == 0
    assert (caller.u32(result), bytes(pipe.sent)) == (len(PACKET), PACKET[:8]), "taken whole"
    assert caller("fd_write", 4, *caller.vectors(PACKET), result) == Errno.AGAIN
    pipe.room, pipe.incoming = 100, [REPLY[:10]]
    assert caller("fd_write", 4, *caller.vectors(PACKET), result) == 0
    assert caller("fd_read", 4, *caller.vectors(bytes(20)), result) == 0
    assert caller.u32(result) == 10
    assert bytes(pipe.sent) == PACKET + PACKET


def test_streams_that_cannot_be_read_or_written() -> None:
    caller, _ = gate_caller()
    result = caller.room(4)
    assert [caller("fd_read", fd, *caller.vectors(b"x"), result) for fd in (0, 1, 2, 3)] == [63, 63, 63, 8]
    assert [caller("fd_write", fd, *caller.vectors(b"x"), result) for fd in (0, 3)] == [63, 8]


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (struct.pack("<IhBB", 7, 0, 0, 0), "packet size is outside 8..65536"),
        (struct.pack("<IhBB", 65537, 0, 0, 0), "packet size is outside 8..65536"),
        (struct.pack("<IhBB", 8, -2, 0, 8), "packet code is reserved"),
        (struct.pack("<IhBB", 8, -3, 0, 0), "packet code is reserved"),
    ],
)
@pytest.mark.parametrize("cut", range(1, 8))
def test_a_forged_header_ends_the_program_however_it_is_cut(bad: bytes, text: str, cut: int) -> None:
    caller, pipe = gate_caller()
    assert io(caller, PACKET + bad[:cut])[0] == len(PACKET) + cut
    vectors = caller.vectors(bad[cut:])
    assert ended(caller, "fd_write", 4, *vectors, caller.room(4)) == (48, text)
    assert bytes(pipe.sent) == PACKET, "what is not whole has not left"


def test_the_log_leaves_before_the_packet_that_is_not_finished() -> None:
    caller, pipe = gate_caller()
    result = caller.room(4)
    io(caller, PACKET[:5])
    assert caller("fd_write", 1, *caller.vectors(b"in the middle"), result) == 0
    assert caller.u32(result) == 13
    assert pipe.controls() == [(LOG, b"\1in the middle")]
    io(caller, PACKET[5:])
    assert caller("fd_write", 2, *caller.vectors(b"after"), result) == 0
    assert pipe.controls() == [(LOG, b"\1in the middle"), (LOG, b"\2after")]


def test_half_a_log_packet_goes_before_the_guest_s_own_bytes() -> None:
    pipe = FakePipe(room=5)
    caller, _ = gate_caller(pipe)
    result = caller.room(4)
    assert caller("fd_write", 1, *caller.vectors(b"log"), result) == 0
    assert caller("fd_write", 4, *caller.vectors(PACKET), result) == Errno.AGAIN
    pipe.room = 1000
    assert caller("fd_write", 4, *caller.vectors(PACKET), result) == 0
    assert pipe.controls() == [(LOG, b"\1log")]
    assert bytes(pipe.sent).endswith(PACKET)


def test_a_log_that_is_off_takes_everything_and_sends_nothing() -> None:
    caller, pipe = gate_caller(log=False)
    result = caller.room(4)
    assert caller("fd_write", 1, *caller.vectors(b"nobody reads it"), result) == 0
    assert (caller.u32(result), bytes(pipe.sent), caller.world.log.dropped) == (15, b"", 0)


def test_a_log_beyond_its_limit_is_counted() -> None:
    caller, _ = gate_caller()
    assert caller("fd_write", 1, *caller.vectors(b"x" * 1500), caller.room(4)) == 0
    assert caller.world.log.dropped == 500
