"""Standard input, output and error of a WASI program over a fake pipe."""

from __future__ import annotations

import pytest
from portablefakes import FakePipe, StuckForever, wasi_caller

from sandbox.packets import DATA, FLOW, PAIR, Packet, encode_data, encode_flow
from sandbox.portable.guest_errno import Errno, GuestEnd
from sandbox.portable.origin_stream import INPUT_CREDIT

DATA_OF_ORIGIN = PAIR.pack(0, 0)


def write(caller, fd: int, *parts: bytes) -> tuple[int, int]:
    result = caller.room(4)
    return caller("fd_write", fd, *caller.vectors(*parts), result), caller.u32(result)


def read(caller, fd: int, size: int) -> tuple[int, bytes]:
    buffer, result = caller.room(size), caller.room(4)
    vector = caller.put(buffer.to_bytes(4, "little") + size.to_bytes(4, "little"))
    errno = caller("fd_read", fd, vector, 1, result)
    return errno, bytes(caller.bytes[buffer : buffer + caller.u32(result)])


def test_what_a_program_prints_is_data_of_the_origin() -> None:
    caller, pipe = wasi_caller()
    assert write(caller, 1, b"hello, ", b"world\n") == (0, 13)
    assert pipe.packets() == [Packet(0, DATA, DATA_OF_ORIGIN + b"hello, world\n")]


def test_output_waits_for_credit_and_then_goes_on() -> None:
    pipe = FakePipe(later=[encode_flow(0, [(0, 3)]), encode_flow(0, [(0, 100)])])
    caller, _ = wasi_caller(pipe, credit=2)
    assert write(caller, 1, b"abcdefgh") == (0, 8)
    assert [packet.content[8:] for packet in pipe.packets()] == [b"ab", b"cde", b"fgh"]


def test_output_without_credit_that_never_comes_waits_for_ever() -> None:
    caller, _ = wasi_caller(credit=0)
    with pytest.raises(StuckForever):
        write(caller, 1, b"x")


def test_output_that_must_not_block_says_again() -> None:
    caller, _ = wasi_caller(credit=3)
    assert caller("fd_fdstat_set_flags", 1, 4) == 0
    assert write(caller, 1, b"abcdef") == (0, 3)
    assert write(caller, 1, b"def")[0] == Errno.AGAIN


def test_output_after_the_reader_closed_is_a_broken_pipe() -> None:
    caller, _ = wasi_caller(FakePipe(incoming=[encode_flow(0, [(0, 0)])]), credit=0)
    assert write(caller, 1, b"x")[0] == Errno.PIPE


def test_what_was_written_before_the_reader_closed_is_counted() -> None:
    pipe = FakePipe(later=[encode_flow(0, [(0, 0)])])
    caller, _ = wasi_caller(pipe, credit=2)
    assert write(caller, 1, b"abcd") == (0, 2)
    assert write(caller, 1, b"cd")[0] == Errno.PIPE


def test_large_output_is_cut_into_packets_of_64_kib() -> None:
    caller, pipe = wasi_caller(credit=1 << 20)
    result = caller.room(4)
    vector = caller.put((0).to_bytes(4, "little") + (100_000).to_bytes(4, "little"))
    assert caller("fd_write", 1, vector, 1, result) == 0
    assert caller.u32(result) == 100_000
    assert [len(packet.content) - 8 for packet in pipe.packets()] == [65_520, 34_480]


def test_a_full_socket_delays_a_packet_but_never_breaks_it() -> None:
    class Draining(FakePipe):
        def wait(self, *, readable, writable, until):  # type: ignore[no-untyped-def]
            self.room += 5
            return super().wait(readable=readable, writable=writable, until=until)

    pipe = Draining(room=10)
    caller, _ = wasi_caller(pipe)
    assert write(caller, 1, b"0123456789") == (0, 10)
    assert pipe.packets() == [Packet(0, DATA, DATA_OF_ORIGIN + b"0123456789")]


def test_input_is_asked_for_at_the_first_read_only() -> None:
    pipe = FakePipe()
    caller, _ = wasi_caller(pipe)
    write(caller, 1, b"prompt")
    assert [packet.domain for packet in pipe.packets()] == [DATA]
    pipe.later = [encode_data(0, 0, b"typed\n")]
    assert read(caller, 0, 100) == (0, b"typed\n")
    assert pipe.packets()[-1] == Packet(0, FLOW, PAIR.pack(0, INPUT_CREDIT))


def test_input_comes_in_the_pieces_that_the_program_has_room_for() -> None:
    caller, _ = wasi_caller(FakePipe(later=[encode_data(0, 0, b"abcdef")]))
    assert [read(caller, 0, 4) for _ in range(2)] == [(0, b"abcd"), (0, b"ef")]


def test_input_ends_with_data_of_no_bytes() -> None:
    caller, _ = wasi_caller(FakePipe(later=[encode_data(0, 0, b"last") + encode_data(0, 0, b"")]))
    assert [read(caller, 0, 10) for _ in range(3)] == [(0, b"last"), (0, b""), (0, b"")]


def test_input_that_must_not_block_says_again() -> None:
    caller, _ = wasi_caller()
    assert caller("fd_fdstat_set_flags", 0, 4) == 0
    assert read(caller, 0, 10)[0] == Errno.AGAIN


def test_the_window_is_opened_again_when_half_of_it_is_used() -> None:
    pieces = [encode_data(0, 0, b"x" * 30_000) for _ in range(3)]
    pipe = FakePipe(later=pieces)
    caller, _ = wasi_caller(pipe)
    for _ in range(3):
        assert read(caller, 0, 30_000)[0] == 0
    grants = [PAIR.unpack(packet.content)[1] for packet in pipe.packets()]
    assert grants == [INPUT_CREDIT, 60_000]


def test_closing_a_stream_tells_the_host_once() -> None:
    caller, pipe = wasi_caller()
    assert caller("fd_close", 1) == 0
    assert caller("fd_close", 0) == 0
    assert pipe.packets() == [Packet(0, DATA, DATA_OF_ORIGIN), Packet(0, FLOW, PAIR.pack(0, 0))]
    assert caller("fd_close", 1) == Errno.BADF


def test_standard_error_is_the_log_and_its_volume_is_limited() -> None:
    caller, pipe = wasi_caller(log_limit=8)
    assert write(caller, 2, b"12345") == (0, 5)
    assert write(caller, 2, b"67890") == (0, 5)
    assert pipe.controls() == [(7, b"\x0212345"), (7, b"\x02678")]
    assert caller.world.log.dropped == 2


def test_a_host_that_is_gone_ends_the_program() -> None:
    caller, _ = wasi_caller(FakePipe(gone=True))
    with pytest.raises(GuestEnd) as caught:
        write(caller, 1, b"x")
    assert caught.value.status == 75


@pytest.mark.parametrize(("call", "fd"), [("fd_write", 0), ("fd_read", 1), ("fd_read", 2)])
def test_a_stream_goes_one_way(call: str, fd: int) -> None:
    caller, _ = wasi_caller()
    assert caller(call, fd, *caller.vectors(b"x"), caller.room(4)) == Errno.BADF


@pytest.mark.parametrize("call", ["fd_seek", "fd_tell"])
def test_a_stream_has_no_position(call: str) -> None:
    caller, _ = wasi_caller()
    arguments = (0, 0, 0, caller.room(8)) if call == "fd_seek" else (0, caller.room(8))
    assert caller(call, *arguments) == Errno.SPIPE
