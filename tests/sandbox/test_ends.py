"""Every way in which a program is stopped: traps, limits from both sides, broken packets, floods, readers that stop."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
import trio
import trio.testing
import wat_programs as wat
from talk import Origin, run

import sandbox
from sandbox import Cause, File, Limits, Setup, State, Tree
from sandbox.packets import HEADER, encode

KIB, MIB = 1 << 10, 1 << 20


@pytest.mark.parametrize("cause", wat.TRAPS)
async def test_every_trap_has_its_cause(box: sandbox.Sandbox, cause: str) -> None:
    outcome = (await run(box, wat.TRAPS[cause])).outcome
    assert (outcome.state, outcome.cause) == (State.KILLED, Cause[cause])
    assert outcome.text
    assert not outcome.ok


@pytest.mark.parametrize(
    ("program", "cause"),
    [
        (wat.NULL_ELEMENT, Cause.INDIRECT_CALL_INDEX_OUT_OF_BOUNDS),
        (wat.BAD_CONVERSION, Cause.INTEGER_OVERFLOW),
        (wat.SEGMENT_TOO_FAR, Cause.MEMORY_ACCESS_OUT_OF_BOUNDS),
    ],
    ids=["null element", "bad conversion", "segment too far"],
)
async def test_relatives_of_the_traps_have_the_same_causes(box: sandbox.Sandbox, program: bytes, cause: Cause) -> None:
    assert (await run(box, program)).outcome.cause is cause


async def test_memory_grows_up_to_the_limit_and_no_page_further(box: sandbox.Sandbox) -> None:
    limits = Limits(memory=4 * MIB)
    assert (await run(box, wat.grow_to(64), limits=limits)).outcome.ok
    assert (await run(box, wat.grow_to(65), limits=limits)).outcome.result == 1


async def test_a_minimum_above_the_limit_of_memory_is_killed_with_its_cause(box: sandbox.Sandbox) -> None:
    limits = Limits(memory=4 * MIB)
    assert (await run(box, wat.program("", memory="64"), limits=limits)).outcome.ok
    assert (await run(box, wat.program("", memory="65"), limits=limits)).outcome.cause is Cause.MEMORY_LIMIT


async def test_a_table_grows_up_to_the_limit_and_no_element_further(box: sandbox.Sandbox) -> None:
    limits = Limits(table=1000)
    assert (await run(box, wat.grow_table_to(1000), limits=limits)).outcome.ok
    assert (await run(box, wat.grow_table_to(1001), limits=limits)).outcome.result == 1


async def test_the_large_stack_is_deeper_than_the_small_one(box: sandbox.Sandbox) -> None:
    small, large = Limits(), Limits(stack=8 * MIB)
    assert (await run(box, wat.recurse(1_000), limits=small)).outcome.ok
    assert (await run(box, wat.recurse(60_000), limits=small)).outcome.cause is Cause.CALL_STACK_EXHAUSTED
    assert (await run(box, wat.recurse(60_000), limits=large)).outcome.ok
    assert (await run(box, wat.recurse(5_000_000), limits=large)).outcome.cause is Cause.CALL_STACK_EXHAUSTED


async def test_wall_time_ends_a_program_that_sleeps(box: sandbox.Sandbox) -> None:
    outcome = (await run(box, wat.SLEEP, limits=Limits(wall_time=0.4))).outcome
    assert (outcome.state, outcome.cause) == (State.KILLED, Cause.WALL_TIME)


async def test_wall_time_ends_a_program_that_is_busy(box: sandbox.Sandbox) -> None:
    limits = Limits(wall_time=0.4, cpu_time=100)
    assert (await run(box, wat.BUSY, limits=limits)).outcome.cause is Cause.WALL_TIME


async def test_wall_time_ends_a_program_whose_output_nobody_reads(box: sandbox.Sandbox) -> None:
    image = await box.compile(wat.gate_flood(encode(-1, 0, b"\1\0\1x")))
    async with box.start(image, None, Limits(wall_time=0.5)) as program:
        outcome = await program.wait()
    assert outcome.cause is Cause.WALL_TIME
    assert outcome.usage.bytes_out < 32 * MIB


async def test_a_log_is_cut_at_its_limit_and_the_rest_counted(box: sandbox.Sandbox) -> None:
    limits = Limits(log=10_000, cpu_time=0.3)
    assert len((await run(box, wat.LOG_FOR_EVER, limits=limits)).log) == 10_000
    limits = Limits(log=3)
    result = await run(box, wat.SAY_ON_STDERR, limits=limits)
    assert result.log == b"oh "
    assert result.outcome.usage.log_dropped == 3


async def test_files_are_limited_in_bytes(box: sandbox.Sandbox) -> None:
    program = wat.write_file("new", "x" * 100)
    assert (await run(box, program, limits=Limits(files=100))).outcome.ok
    result = await run(box, program, Setup(tree=Tree()), Limits(files=99))
    assert result.tree is None or result.tree.size <= 99  # refused, or written as far as there was room


async def test_files_are_limited_in_number(box: sandbox.Sandbox) -> None:
    program, tree = wat.write_file("new", "x"), Tree({"old": File()})
    assert (await run(box, program, Setup(tree=tree), Limits(nodes=2))).outcome.ok
    assert (await run(box, program, Setup(tree=tree), Limits(nodes=1))).outcome.result != 0


async def test_a_tree_above_the_limits_is_refused_before_anything_starts(box: sandbox.Sandbox) -> None:
    image = await box.compile(wat.NOTHING)
    with pytest.raises(sandbox.BadSetup) as caught:
        async with box.start(image, Setup(tree=Tree({"a": File(bytes(11))})), Limits(files=10)):
            pytest.fail("the body must not run")
    assert caught.value.code == "tree-size"
    assert box.statistics().started == 0


@pytest.mark.parametrize(
    "bad",
    [
        HEADER.pack(7, 0, 0, 0), HEADER.pack(0, 0, 0, 0), HEADER.pack(65_537, 0, 0, 0),
        HEADER.pack((1 << 32) - 1, 0, 0, 0),
        HEADER.pack(8, -2, 0, 0), HEADER.pack(8, -2, 0, 8), HEADER.pack(8, -3, 0, 0), HEADER.pack(8, 0, 4, 0),
        HEADER.pack(8, 0, 3, 0), HEADER.pack(16, -1, 3, 0) + bytes(8),
    ],
    ids=[
        "size 7", "size 0", "size 65537", "size -1", "control", "report", "code -3", "domain 4", "short data",
        "discovery data",
    ],
)  # fmt: skip
async def test_what_is_no_packet_ends_the_program_as_a_violation(box: sandbox.Sandbox, bad: bytes) -> None:
    image = await box.compile(wat.gate_program(bad, "(loop $again (br $again))"))
    async with box.start(image, None, Limits(wall_time=20)) as program:
        with contextlib.suppress(sandbox.PacketViolation):  # whoever sees it first: the runtime, or this host
            async for packets in program:
                assert not packets
        outcome = await program.wait()
    assert (outcome.state, outcome.cause) == (State.KILLED, Cause.ABI_VIOLATION)
    assert outcome.text


async def test_good_packets_before_a_bad_one_are_not_needed_for_the_verdict(box: sandbox.Sandbox) -> None:
    image = await box.compile(wat.gate_program(encode(-1, 0, b"\1\0\1x") + bytes(8)))
    async with box.start(image) as program:
        outcome = await program.wait()
    assert outcome.cause is Cause.ABI_VIOLATION


async def test_a_flood_costs_the_host_nothing_but_time(box: sandbox.Sandbox) -> None:
    image = await box.compile(wat.gate_flood(encode(-1, 0, b"\1\0\1x") * 1000))
    async with box.start(image, None, Limits(wall_time=20)) as program:
        size = 0
        while size < 4 * MIB:
            packets = await program.receive_some()
            assert 0 < len(packets) <= 256 * KIB
            size += len(packets)
        assert program.usage().packets_out >= size // 16


async def test_a_reader_that_stops_stops_the_writer_and_not_the_host(box: sandbox.Sandbox) -> None:
    flood = await box.compile(wat.WRITE_FOR_EVER)
    async with box.start(flood, Setup(origin_credit=(1 << 31) - 1)) as stuck:
        assert (await run(box, wat.HELLO)).stdout == b"hello\n"
        before = stuck.usage().bytes_out
        assert before == 0
        outcome_of_other = (await run(box, wat.exit_with(5))).outcome
        assert outcome_of_other.result == 5
    assert (await stuck.wait()).cause is Cause.KILLED


async def test_a_program_that_does_not_read_stops_its_sender(box: sandbox.Sandbox) -> None:
    image = await box.compile(wat.BUSY)
    async with box.start(image) as program:
        sent = 0
        with trio.move_on_after(0.5):
            while sent < 64 * MIB:
                await program.send(encode(0, 0, bytes(60_000)))
                sent += 60_008
        assert 0 < sent < 64 * MIB
    # the send was cancelled in the middle: half a packet cannot be taken back
    assert (await program.wait()).cause is Cause.KILLED


async def test_a_second_receiver_and_a_second_sender_are_told(box: sandbox.Sandbox) -> None:
    image = await box.compile(wat.BUSY)
    async with box.start(image) as program, trio.open_nursery() as nursery:
        nursery.start_soon(program.receive_some)
        nursery.start_soon(_fill, program)
        await trio.testing.wait_all_tasks_blocked(0.01)
        with pytest.raises(trio.BusyResourceError, match="receiving from"):
            await program.receive_some()
        with pytest.raises(trio.BusyResourceError, match="sending to"):
            await program.send(encode(0, 0))
        nursery.cancel_scope.cancel()


async def _fill(program: sandbox.Program) -> None:
    while True:
        await program.send(encode(0, 0, bytes(60_000)))


async def test_a_cancelled_receive_loses_nothing(box: sandbox.Sandbox) -> None:
    image = await box.compile(wat.ECHO)
    async with box.start(image) as program:
        origin = Origin(program, b"once")
        for _ in range(3):
            packets = b""
            with trio.move_on_after(0.01):
                packets = await program.receive_some()
            await origin.handle(packets)  # not within the limit: what was received is the receiver's
        async for packets in program:
            await origin.handle(packets)
        assert bytes(origin.stdout) == b"once"


async def test_too_many_programs_are_refused_and_room_comes_back(box: sandbox.Sandbox) -> None:
    host = replace(box._settings.host_limits, programs=1)
    box._settings = replace(box._settings, host_limits=host)
    image = await box.compile(wat.SLEEP)
    async with box.start(image):
        with pytest.raises(sandbox.StartFailed) as caught:
            async with box.start(image):
                pytest.fail("the body must not run")
        assert caught.value.code == "too-many-programs"
    assert (await run(box, wat.HELLO)).outcome.ok
