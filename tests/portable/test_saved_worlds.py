"""Worlds of stopped programs: the same bytes as the native back-end's, the same refusals, and the same world again."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from portablefakes import MILLISECOND, PAGE, Caller, FakePipe, gate_caller, make_files, wasi_caller

from sandbox.control import SUSPEND_PACKET
from sandbox.packets import encode, encode_data, encode_flow
from sandbox.portable.debug_log import DebugLog
from sandbox.portable.descriptor_table import DescriptorTable
from sandbox.portable.gate_world import GateWorld
from sandbox.portable.guest_errno import GuestEnd
from sandbox.portable.guest_memory import GuestMemory
from sandbox.portable.guest_time import SECOND, GuestClock, gate_tick
from sandbox.portable.origin_stream import OriginStream
from sandbox.portable.packet_pipe import PacketReader, PacketWriter
from sandbox.portable.saved_gate import restore_gate_untrusted, save_gate
from sandbox.portable.saved_wasi import restore_wasi_untrusted, save_wasi
from sandbox.portable.saved_world import BadWorld
from sandbox.portable.wasi_layout import PREVIEW1
from sandbox.portable.wasi_world import WasiWorld

NATIVE = Path(__file__).parents[2] / "sandbox/native/abi/state_vectors.json"
PORTABLE = Path(__file__).parent / "saved_worlds.json"
VECTORS: dict[str, dict[str, Any]] = {row["name"]: row for row in json.loads(NATIVE.read_text())}
SECONDS = os.environ.get("GATEBUS_FUZZ_SECONDS")
fuzzed = settings(
    max_examples=int(SECONDS) * 1000 if SECONDS else 300, derandomize=not SECONDS, deadline=None, database=None
)
# The limits of the native tests whose vectors these are.
FILES, NODES = 1 << 24, 1000


def clock_at(now: int, *, masked: bool = False, tick: int = 1) -> GuestClock:
    return GuestClock(gate_tick(tick) if masked else tick, masked, lambda: now, lambda: now, now)


def fresh_wasi(pipe: FakePipe, *, files: int = FILES, nodes: int = NODES, log_limit: int = 1 << 20) -> WasiWorld:
    tree = make_files(files, nodes)
    memory = bytearray(4 * PAGE)
    origin = OriginStream(pipe, PacketReader(), PacketWriter(pipe), 0)
    log = DebugLog(wanted=True, limit=log_limit)
    return WasiWorld(
        memory=GuestMemory(lambda: memoryview(memory)),
        layout=PREVIEW1,
        files=tree,
        table=DescriptorTable(tree),
        arguments=(),
        environment=(),
        clock=clock_at(pipe.now),
        random=bytes,
        origin=origin,
        log=log,
        pipe=pipe,
    )


def fresh_gate(pipe: FakePipe) -> GateWorld:
    memory = bytearray(4 * PAGE)
    log = DebugLog(wanted=True, limit=1 << 20)
    return GateWorld(GuestMemory(lambda: memoryview(memory)), pipe, log, clock_at(pipe.now, masked=True), bytes)


def again(name: str, state: bytes) -> bytes:
    """Restored and saved. Raises BadWorld."""
    pipe = FakePipe()
    if name.startswith("wasi"):
        return save_wasi(restore_wasi_untrusted(fresh_wasi(pipe), state))
    world = fresh_gate(pipe)
    restore_gate_untrusted(world, state)
    return save_gate(world)


@pytest.mark.parametrize("name", VECTORS)
def test_what_the_native_back_end_saved_is_saved_again_byte_for_byte(name: str) -> None:
    state = bytes.fromhex(VECTORS[name]["hex"])
    assert again(name, state) == state


@pytest.mark.parametrize("name", VECTORS)
def test_every_byte_inverted_is_refused_here_exactly_where_it_is_refused_there(name: str) -> None:
    state = bytes.fromhex(VECTORS[name]["hex"])
    verdicts = ""
    for at in range(len(state)):
        corrupt = state[:at] + bytes((state[at] ^ 0xFF,)) + state[at + 1 :]
        try:
            again(name, corrupt)
        except BadWorld:
            verdicts += "0"
        else:
            verdicts += "1"
    assert verdicts == VECTORS[name]["each_byte_inverted"]


@pytest.mark.parametrize("name", VECTORS)
def test_a_world_cut_short_or_too_long_is_refused(name: str) -> None:
    state = bytes.fromhex(VECTORS[name]["hex"])
    for length in range(len(state)):
        with pytest.raises(BadWorld):
            again(name, state[:length])
    with pytest.raises(BadWorld, match="is too long"):
        again(name, state + b"\0")


@fuzzed
@given(st.data())
def test_broken_worlds_are_refused_or_mean_exactly_what_they_say(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(VECTORS)))
    state = bytearray.fromhex(VECTORS[name]["hex"])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(state) - 1))
        state[at : at + 1] = data.draw(st.binary(max_size=9))
    try:
        saved = again(name, bytes(state))
    except BadWorld:
        return
    # the clock is rounded up to a tick, and Gate's finest are two nanoseconds
    assert (saved[:4], saved[12:]) == (bytes(state[:4]), bytes(state[12:]))


def test_the_native_world_means_what_it_was() -> None:
    pipe = FakePipe()
    world = restore_wasi_untrusted(fresh_wasi(pipe), bytes.fromhex(VECTORS["wasi: everything"]["hex"]))
    assert (world.arguments, world.environment) == ((b"prog",), (b"A=1",))
    assert (world.origin.available, world.origin.credit) == (2, 65_536)
    assert [None if slot is None else slot.offset for slot in world.table.slots()] == [0, 0, 0, 0, 0, 65_549, 9, 0]
    assert world.log.used == 9
    caller = Caller("wasi", world, bytearray(), "wasi_snapshot_preview1")
    kept = world.table.get(6).target
    assert bytes(kept.content) == b"some text"  # type: ignore[union-attr]
    assert kept.links == 0, "unlinked, and open"  # type: ignore[union-attr]
    sparse, link = world.files.root.find(b"s"), world.files.root.find(b"l")
    assert bytes(sparse.content) == bytes(65_540) + b"some text" + bytes(100)  # type: ignore[union-attr]
    assert (sparse.links, link.target) == (2, b"d/twin")  # type: ignore[union-attr]
    assert caller.world.stopped.since == SECOND


def stop(caller: Caller, pipe: FakePipe) -> bytes:
    pipe.incoming.append(SUSPEND_PACKET)
    if isinstance(caller.world, GateWorld):
        caller.world.drain_until_suspend()
        return save_gate(caller.world)
    caller.world.origin.drain_until_suspend()
    return save_wasi(caller.world)


def furnished_wasi() -> tuple[bytes, bytes]:
    """A world with hard links, holes and a symbolic link, and what is in its file."""
    caller, pipe = wasi_caller(arguments=(b"a",), environment=(b"B=c",))
    path, fd = caller.put(b"d/file"), caller.room(4)
    assert caller("path_create_directory", 3, path, 1) == 0
    assert caller("path_open", 3, 0, path, 6, 1, 66, 0, 0, fd) == 0
    content = b"start" + bytes(65_540) + b"end\0"
    assert caller("fd_write", caller.u32(fd), *caller.vectors(content), fd) == 0
    assert caller("path_link", 3, 0, path, 6, 3, caller.put(b"twin"), 4) == 0
    assert caller("path_symlink", path, 6, 3, caller.put(b"link"), 4) == 0
    return stop(caller, pipe), content


def test_a_world_of_this_back_end_goes_on_as_it_was() -> None:
    state, content = furnished_wasi()
    world = restore_wasi_untrusted(fresh_wasi(FakePipe()), state)
    assert save_wasi(world) == state
    assert len(state) < 2_000, "zeros at the end of a piece cost nothing"
    assert world.files.quota.names_used == 4
    assert world.files.quota.bytes_used == 2 * len(content) + 6
    assert world.table.get(5).offset == len(content)
    twin = world.files.root.find(b"twin")
    assert twin is not None
    assert (bytes(twin.content), twin.links) == (content, 2)  # type: ignore[union-attr]


def furnished_gate() -> bytes:
    """Half read and half written."""
    packet = encode(3, 1, b"0123456789")
    caller, pipe = gate_caller(FakePipe(incoming=[packet + packet]))
    result = caller.room(4)
    assert caller("fd_read", 4, *caller.vectors(bytes(5)), result) == 0
    assert caller("fd_write", 4, *caller.vectors(packet[:13]), result) == 0
    return stop(caller, pipe)


def test_the_native_back_end_is_given_what_this_one_saves() -> None:
    """`BLESS=1` writes the file that the native tests read; otherwise it is compared."""
    made = {"wasi": furnished_wasi()[0].hex(), "gate": furnished_gate().hex()}
    if os.environ.get("BLESS"):
        PORTABLE.write_text(json.dumps(made, indent=2) + "\n")
    assert json.loads(PORTABLE.read_text()) == made


def test_limits_are_those_of_whoever_goes_on() -> None:
    caller, pipe = wasi_caller()
    path, fd = caller.put(b"f"), caller.room(4)
    assert caller("path_open", 3, 0, path, 1, 1, 66, 0, 0, fd) == 0
    assert caller("fd_write", 5, *caller.vectors(bytes(1000)), fd) == 0
    state = stop(caller, pipe)
    for limits, text in (({"files": 999}, "more bytes in files"), ({"nodes": 0}, "more files and directories")):
        with pytest.raises(BadWorld, match=text):
            restore_wasi_untrusted(fresh_wasi(FakePipe(), **limits), state)
    assert restore_wasi_untrusted(fresh_wasi(FakePipe(), files=1000, nodes=1), state).files.quota.room() == 0
    with pytest.raises(BadWorld, match="another interface"):
        restore_gate_untrusted(fresh_gate(FakePipe()), state)


def test_the_monotonic_clock_goes_on_and_never_back() -> None:
    for before, after in ((10, 10), (1, 16), (16, 1), (7, 1000)):
        clock = GuestClock(before * MILLISECOND, False, lambda: 0, lambda: 1_234_567_890, 0)
        later = clock_at(77, tick=after * MILLISECOND).resumed_untrusted(clock.saved())
        assert later is not None
        assert 0 <= later.now(1) - clock.now(1) <= 2 * max(before, after) * MILLISECOND
    for bad in (0, SECOND - 1, 1 << 62, (1 << 64) - 1):
        assert clock_at(0).resumed_untrusted(bad) is None


def test_a_gate_world_keeps_what_is_half_read_and_half_written() -> None:
    packet = encode(3, 1, b"0123456789")
    caller, pipe = gate_caller(FakePipe(incoming=[packet + packet]))
    result = caller.room(4)
    assert caller("random_get", caller.room(16), 16) == 0
    assert caller("fd_read", 4, *caller.vectors(bytes(5)), result) == 0
    assert caller("fd_write", 4, *caller.vectors(packet[:13]), result) == 0
    state = stop(caller, pipe)
    assert bytes(pipe.sent) == b"", "what is not whole stays with the program"
    other, pipe = gate_caller()
    other.world.inbox.push(packet)  # behind GO
    restore_gate_untrusted(other.world, state)
    assert other("fd_read", 4, *other.vectors(bytes(100)), result) == 0
    assert other.u32(result) == 3 * len(packet) - 5
    assert other("fd_write", 4, *other.vectors(packet[13:]), result) == 0
    assert bytes(pipe.sent) == packet
    assert other("random_get", other.room(16), 16) == 0, "a whole seed again"
    assert other.world.started_unread, "io will tell that it was resumed"


def test_input_credit_and_ends_are_kept() -> None:
    pipe = FakePipe(incoming=[encode_data(0, 0, b"abc") + encode_data(0, 0, b"") + encode_flow(0, [(0, 7), (0, 0)])])
    caller, _ = wasi_caller(pipe, credit=5)
    caller.world.origin.want_input()
    world = restore_wasi_untrusted(fresh_wasi(FakePipe()), stop(caller, pipe))
    assert (world.origin.credit, world.origin.available, world.origin.output_ended) == (12, 3, True)
    assert world.origin.read(10, wait=True) == b"abc"
    assert world.origin.read(10, wait=True) == b""


def test_a_world_with_more_input_than_was_asked_for_is_refused() -> None:
    state = bytearray.fromhex(VECTORS["wasi: nothing done"]["hex"])
    at = state.index(struct.pack("<QBBHII", 65_536, 0, 0, 0, 0, 0)) + 12
    for granted, good in ((131_040, True), (131_041, False)):
        state[at : at + 4] = granted.to_bytes(4, "little")
        if good:
            assert again("wasi", bytes(state)) == bytes(state)
        else:
            with pytest.raises(BadWorld, match="more input than was asked for"):
                again("wasi", bytes(state))


def test_a_bad_world_ends_the_program_with_its_own_status() -> None:
    bad = BadWorld("why")
    assert isinstance(bad, GuestEnd)
    assert (bad.status, bad.text) == (77, "why")


def test_a_word_to_stop_that_came_before_the_state_was_read_is_not_forgotten() -> None:
    caller, pipe = gate_caller()
    state = stop(caller, pipe)
    other, _ = gate_caller()
    other.world.inbox.push(SUSPEND_PACKET)
    restore_gate_untrusted(other.world, state)
    assert other.world.inbox.asked_to_stop
