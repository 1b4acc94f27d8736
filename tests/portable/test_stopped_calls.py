"""The host's word to stop, before and during every call that can wait: nothing is done twice and nothing is lost."""

from __future__ import annotations

import struct

import pytest
from portablefakes import MILLISECOND, Caller, FakePipe, gate_caller, wasi_caller

from sandbox.control import BEGIN, BEGIN_LAYOUT, FLAG_RESUMED, GO, GO_PACKET, RESTORE, SUSPEND_PACKET
from sandbox.packets import CALL, CODE_CONTROL, encode, encode_data, encode_flow
from sandbox.portable.gate_inbox import RECEIVED_MAX, GateInbox
from sandbox.portable.gate_outbox import GateOutbox
from sandbox.portable.guest_calls import bind
from sandbox.portable.guest_errno import Errno, GuestEnd, Suspend
from sandbox.portable.guest_setup import SetupReader, state_packets
from sandbox.portable.import_table import find_function_untrusted
from sandbox.portable.packet_pipe import PacketReader

INFO = encode(3, 1, b"hello")
SECOND = 1_000_000_000


def called(caller: Caller, name: str, *arguments: int, module: str = "wasi_snapshot_preview1") -> object:
    """The answer, or "again" for a call that is to be made again."""
    unwound: list[bool] = []
    personality = caller._personality
    function = find_function_untrusted(personality, module, name)
    assert function is not None
    answer = bind(function, caller.world, personality, lambda: unwound.append(True))(*arguments)
    return "again" if unwound else answer


def sleep(caller: Caller, nanoseconds: int) -> tuple[int, int, int, int]:
    """Arguments of poll_oneoff for one relative timer."""
    timer = struct.pack("<QB7xI4xQQH6x", 1, 0, 1, nanoseconds, 0, 0)
    return caller.put(timer), caller.room(32), 1, caller.room(4)


def test_a_read_that_waits_is_made_again_and_has_consumed_nothing() -> None:
    caller, pipe = wasi_caller(FakePipe(later=[SUSPEND_PACKET]))
    into, result = caller.vectors(bytes(10)), caller.room(4)
    assert called(caller, "fd_read", 0, *into, result) == "again"
    assert len(pipe.packets()) == 1, "credit was given, once"
    assert called(caller, "fd_read", 0, *into, result) == "again"
    assert len(pipe.packets()) == 1


def test_what_need_not_wait_is_answered_although_a_stop_is_asked() -> None:
    caller, pipe = wasi_caller()
    into, result = caller.vectors(bytes(10)), caller.room(4)
    caller.world.origin.want_input()
    pipe.incoming.append(encode_data(0, 0, b"abc") + SUSPEND_PACKET)
    assert (called(caller, "fd_read", 0, *into, result), caller.u32(result)) == (0, 3)
    assert (called(caller, "poll_oneoff", *sleep(caller, 0))) == 0
    assert called(caller, "fd_read", 0, *into, result) == "again"
    assert called(caller, "fd_fdstat_set_flags", 0, 4) == 0
    assert called(caller, "fd_read", 0, *into, result) == Errno.AGAIN, "a call that never waits is never stopped"


def test_a_write_without_credit_is_made_again_and_one_that_has_sent_something_says_how_much() -> None:
    caller, pipe = wasi_caller(FakePipe(later=[SUSPEND_PACKET]), credit=0)
    out, result = caller.vectors(b"0123456789"), caller.room(4)
    assert called(caller, "fd_write", 1, *out, result) == "again"
    assert bytes(pipe.sent) == b""
    caller, pipe = wasi_caller(FakePipe(later=[encode_flow(0, [(0, 2)]) + SUSPEND_PACKET]), credit=7)
    out, result = caller.vectors(b"0123456789"), caller.room(4)
    assert (called(caller, "fd_write", 1, *out, result), caller.u32(result)) == (0, 9)
    assert called(caller, "fd_write", 1, *out, result) == "again"


def test_a_sleep_keeps_what_is_left_of_it() -> None:
    caller, pipe = wasi_caller()
    arguments = sleep(caller, SECOND)
    pipe.later = [SUSPEND_PACKET]
    started = pipe.now
    assert called(caller, "poll_oneoff", *arguments) == "again"
    assert caller.world.stopped.since == SECOND
    caller.world.origin.asked_to_stop = False  # as in the world that goes on
    pipe.now += 400 * MILLISECOND
    assert called(caller, "poll_oneoff", *arguments) == 0
    assert pipe.now - started == SECOND
    assert caller.world.stopped.since == 0


def test_a_word_to_stop_that_came_right_behind_the_setup_is_seen_by_the_first_wait() -> None:
    caller, pipe = wasi_caller()
    caller.world.origin._reader.feed(SUSPEND_PACKET)
    started = pipe.now
    assert called(caller, "poll_oneoff", *sleep(caller, SECOND)) == "again"
    caller, _ = gate_caller()
    caller.world.inbox.push(SUSPEND_PACKET)
    assert io(caller, 0, b"", SECOND) == "again"
    assert pipe.now == started


def test_a_host_that_goes_on_talking_after_the_word_to_stop_is_not_understood() -> None:
    caller, _ = wasi_caller(FakePipe(incoming=[SUSPEND_PACKET + encode_flow(0, [(0, 1)])]))
    with pytest.raises(GuestEnd) as end:
        called(caller, "fd_read", 0, *caller.vectors(bytes(3)), caller.room(4))
    assert end.value.status == 70


def test_a_program_that_cannot_be_suspended_ends() -> None:
    caller, _ = wasi_caller(FakePipe(later=[SUSPEND_PACKET]))
    with pytest.raises(GuestEnd, match="cannot be suspended"):
        caller("fd_read", 0, *caller.vectors(bytes(3)), caller.room(4))


def io(caller: Caller, receive: int, send: bytes, timeout: int) -> object:
    into, out = caller.vectors(bytes(receive)), caller.vectors(send)
    got, sent, flags = caller.room(4), caller.room(4), caller.room(8)
    return called(caller, "io_65536", *into, got, *out, sent, timeout, flags, module="gate")


@pytest.mark.parametrize(("receive", "send"), [(0, b""), (100, b""), (0, INFO), (100, INFO)])
def test_an_io_that_waits_is_made_again_and_nothing_is_moved(receive: int, send: bytes) -> None:
    caller, pipe = gate_caller(FakePipe(later=[SUSPEND_PACKET], room=0))
    assert io(caller, receive, send, SECOND) == "again"
    assert (bytes(pipe.sent), caller.world.stopped.since) == (b"", SECOND)
    if receive or send:
        assert io(caller, receive, send, 0) is None, "this one never waits"


def test_an_io_that_can_move_something_is_answered_although_a_stop_is_asked() -> None:
    caller, _ = gate_caller(FakePipe(later=[INFO + SUSPEND_PACKET]))
    assert io(caller, 100, b"", SECOND) is None
    assert io(caller, 100, b"", SECOND) == "again"


def test_packets_that_nobody_waits_for_do_not_hide_the_word_to_stop() -> None:
    caller, _ = gate_caller(FakePipe(later=[INFO, INFO + INFO[:3], INFO[3:] + SUSPEND_PACKET[:5], SUSPEND_PACKET[5:]]))
    assert called(caller, "poll_oneoff", *sleep(caller, SECOND)) == "again"
    assert bytes(caller.world.inbox.unread) == INFO * 3


@pytest.mark.parametrize("piece", [1, 3, 8, 11, 4096])
def test_packets_pass_unchanged_and_the_word_to_stop_does_not_however_they_are_cut(piece: int) -> None:
    stream = b"".join(encode(3, 1, bytes(size)) for size in (0, 1, 7, 300, 8, 5))
    whole = stream + SUSPEND_PACKET
    inbox = GateInbox(FakePipe(incoming=[whole[at : at + piece] for at in range(0, len(whole), piece)]))
    got = b""
    while data := inbox.read(5):
        got += data
    assert (got, inbox.asked_to_stop) == (stream, True)
    with pytest.raises(GuestEnd):
        inbox.push(b"x")


@pytest.mark.parametrize("bad", [encode(-2, 0, b"", 6), encode(-2, 0, b"x", 9), bytes(8), b"\7" + bytes(7)])
def test_what_the_host_never_sends_ends_the_program(bad: bytes) -> None:
    with pytest.raises(GuestEnd) as end:
        GateInbox(FakePipe()).push(bad)
    assert end.value.status == 70


def test_only_so_much_is_taken_in() -> None:
    inbox = GateInbox(FakePipe(incoming=[encode(0, 3, bytes(65_528))] * (RECEIVED_MAX // 65_536 + 1)))
    while inbox.has_room:
        assert inbox.fill()
    assert inbox.available == RECEIVED_MAX


@pytest.mark.parametrize("piece", [1, 3, 8, 11, 4096])
def test_packets_leave_whole_however_they_are_written(piece: int) -> None:
    stream = b"".join(encode(3, 1, bytes(size)) for size in (0, 1, 7, 300, 8, 5))
    pipe = FakePipe()
    outbox = GateOutbox(pipe)
    for at in range(0, len(stream), piece):
        part = stream[at : at + piece]
        assert outbox.write(part) == len(part)
        assert bytes(pipe.sent + outbox.unfinished) == stream[: at + len(part)]
        assert GateOutbox(pipe).restore_untrusted(bytes(outbox.unfinished))
    assert len(pipe.packets()) == 6


def begin(flags: int) -> bytes:
    return encode(CODE_CONTROL, CALL, BEGIN_LAYOUT.pack(1, flags, 0, 0, 0, 0, 0, 0, bytes(16)), BEGIN)


def read_setup(packets: bytes, restore_max: int) -> SetupReader:
    reader, packet_reader = SetupReader(restore_max), PacketReader()
    packet_reader.feed(packets)
    while packet := packet_reader.next_packet():
        reader.take(packet, 0)
    return reader


def test_a_resumed_program_has_a_state_and_nothing_else() -> None:
    restore = [encode(CODE_CONTROL, CALL, piece, RESTORE) for piece in (b"one ", b"two")]
    read = read_setup(begin(FLAG_RESUMED) + b"".join(restore) + GO_PACKET, 7)
    assert (read.done, bytes(read.setup.restore)) == (True, b"one two")
    for packets, limit in (
        (begin(FLAG_RESUMED) + GO_PACKET, 7),
        (begin(FLAG_RESUMED) + b"".join(restore), 6),
        (begin(0) + restore[0], 7),
        *((begin(FLAG_RESUMED) + encode(CODE_CONTROL, CALL, b"a=b", kind), 7) for kind in range(1, GO)),
    ):
        with pytest.raises(GuestEnd) as end:
            read_setup(packets, limit)
        assert end.value.status == 74


def test_a_state_leaves_in_packets() -> None:
    state = bytes(range(256)) * 600
    reader = PacketReader()
    reader.feed(b"".join(state_packets(state)))
    pieces = []
    while packet := reader.next_packet():
        assert (packet.code, packet.domain, packet.index) == (-2, 0, 10)
        pieces.append(packet.content)
    assert b"".join(pieces) == state


def test_a_call_to_be_made_again_is_not_an_error_of_a_call() -> None:
    assert not issubclass(Suspend, Exception)
