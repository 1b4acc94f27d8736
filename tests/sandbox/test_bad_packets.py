"""Programs that misuse their packet stream, their memory or their time: each gets the outcome that its deed belongs to,
and the host process holds no more than before (T10, T17, T18 of the threat table).

A Gate program writes its packets itself; what it writes is checked by the runtime beside it (sizes and control
packets, before they leave the process) and again by the host, which trusts neither.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
import trio
from openfiles import left_open, open_files
from outside import MIB, binary, little_growth, open_native, run
from waiting import PATIENCE

import sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.usefixtures("native")

# u32 size, i16 code, u8 domain, u8 index
HEADER = struct.Struct("<IhBB")
CALL, INFO, FLOW, DATA = range(4)

GATE = """(module
  (import "gate" "io_65536" (func $io (param i32 i32 i32 i32 i32 i32 i64 i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $log (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 3)
  (table $table 1 funcref)
  (data (i32.const 4096) "{data}")
  ;; Writes all of it, however often it takes; waits for ever.
  (func $send (param $at i32) (param $count i32)
    (loop $more
      (i32.store (i32.const 0) (local.get $at))
      (i32.store (i32.const 4) (local.get $count))
      (i32.store (i32.const 16) (i32.const 0))
      (call $io (i32.const 0) (i32.const 0) (i32.const 0)
        (i32.const 0) (i32.const 1) (i32.const 16) (i64.const -1) (i32.const 0))
      (local.set $at (i32.add (local.get $at) (i32.load (i32.const 16))))
      (br_if $more (local.tee $count (i32.sub (local.get $count) (i32.load (i32.const 16)))))))
  ;; Waits for input, reads at most eight bytes of it.
  (func $receive
    (i32.store (i32.const 0) (i32.const 2048))
    (i32.store (i32.const 4) (i32.const 8))
    (call $io (i32.const 0) (i32.const 1) (i32.const 16)
      (i32.const 0) (i32.const 0) (i32.const 0) (i64.const -1) (i32.const 0)))
  (func $run (export "_start") (result i32)
    {code}
    (i32.const 0)))"""


def gate(code: str, data: bytes = b"") -> bytes:
    return binary(GATE.format(code=code, data="".join(f"\\{byte:02x}" for byte in data)))


def writes(data: bytes, then: str = "") -> bytes:
    """A program that writes these bytes to its packet stream and ends."""
    return gate(f"(call $send (i32.const 4096) (i32.const {len(data)})) {then}", data)


def header(size: int, code: int = -1, domain: int = CALL, index: int = 0) -> bytes:
    return HEADER.pack(size, code, domain, index)


async def outcome_of(wasm: bytes, limits: sandbox.Limits | None = None) -> sandbox.Outcome:
    with little_growth():
        async with open_native() as box:
            return await run(box, await box.compile(wasm), limits)


WAIT = "(loop $for_ever (br $for_ever))"
VIOLATIONS = {
    "a packet of no bytes": header(0),
    "a packet smaller than its header": header(7),
    "a packet one byte too large": header(65_537),
    "a packet of 4 GiB": header(0xFFFF_FFFF),
    "a control packet": header(8, -2),
    "a forged report": header(40, -2, CALL, 8) + bytes(32),
    "a control packet behind a good one": header(8, 0) + header(8, -2),
    "a control packet behind padding": header(9, 0) + bytes(8) + header(8, -2),
    "a code that nobody has": header(8, -3),
    "the smallest code": header(8, -32_768),
    "a domain that nobody has": header(8, 0, 4),
    "the last domain": header(8, 0, 15),
    "a discovery that is no call": header(8, -1, DATA),
    "data without a stream": header(8, 0, DATA),
    "data with half a stream": header(12, 0, DATA) + bytes(8),
}


@pytest.mark.parametrize("deed", VIOLATIONS)
async def test_what_is_no_packet_kills_its_program(deed: str) -> None:
    """Also when the program would never end by itself."""
    outcome = await outcome_of(writes(VIOLATIONS[deed], WAIT))
    assert (outcome.state, outcome.cause) == (sandbox.State.KILLED, sandbox.Cause.ABI_VIOLATION), outcome
    assert outcome.usage.cpu_user < 5


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 99])
async def test_half_a_packet_at_the_end_is_nobodys_problem(cut: int) -> None:
    """It ended by itself with a result; what it did not finish is dropped."""
    outcome = await outcome_of(writes((header(100, 0) + bytes(92))[:cut]))
    assert (outcome.state, outcome.cause) == (sandbox.State.HALTED, sandbox.Cause.NORMAL), outcome
    assert outcome.usage.packets_out == 0


async def test_the_largest_and_the_smallest_packet_arrive_whole() -> None:
    largest = header(65_536, 0) + bytes(range(256)) * 255 + bytes(248)
    wasm = writes(largest + header(8, 1, INFO))
    async with open_native() as box, box.start(await box.compile(wasm)) as program:
        received = b"".join([packets async for packets in program])
        assert received == largest + header(8, 1, INFO)
        assert (await program.wait()).ok


FLOOD = "(loop $again (call $send (i32.const 4096) (i32.const 65536)) (br $again))"


def flood() -> bytes:
    return gate(FLOOD, header(65_536, 0))


async def test_a_flood_that_is_read_is_killed_by_its_time() -> None:
    for seconds in (0.5, 4, 30):  # the first is enough, unless the machine hardly finds the time to run it
        outcome = await outcome_of(flood(), sandbox.Limits(wall_time=seconds))
        assert outcome.cause is sandbox.Cause.WALL_TIME, outcome
        if outcome.usage.bytes_out > MIB:
            break
    assert outcome.usage.bytes_out > MIB


async def test_a_flood_that_nobody_reads_stops_its_program() -> None:
    """The socket fills, the program waits in its write and uses no more time; what it wrote is bounded."""
    limits = sandbox.Limits(wall_time=0.7)
    with little_growth(8 * MIB):
        async with open_native() as box, box.start(await box.compile(flood()), limits=limits) as program:
            outcome = await program.wait()
    assert outcome.cause is sandbox.Cause.WALL_TIME, outcome
    assert outcome.usage.bytes_out < 8 * MIB
    assert outcome.usage.cpu_user + outcome.usage.cpu_system < 0.2


async def test_a_program_that_never_reads_stops_its_sender() -> None:
    """The kernel takes what the socket holds, then nothing: the host's queue is its own, and bounded by its caller."""
    packet = header(65_536, 0) + bytes(65_528)
    with little_growth(8 * MIB):
        async with open_native() as box, box.start(await box.compile(gate(WAIT))) as program:
            taken = 0
            while count := program.send_nowait(packet):
                taken += count
                if count < len(packet):
                    break
            assert taken < 8 * MIB
            with trio.move_on_after(0.2) as scope:
                await program.send(packet)
            assert scope.cancelled_caught
            program.kill()
            assert (await program.wait()).cause is sandbox.Cause.KILLED


async def test_a_log_without_end_is_dropped_and_counted() -> None:
    code = """(i32.store (i32.const 32) (i32.const 4096)) (i32.store (i32.const 36) (i32.const 60000))
      (loop $again
        (drop (call $log (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 16)))
        (i32.store (i32.const 20) (i32.add (i32.load (i32.const 20)) (i32.const 1)))
        (br_if $again (i32.lt_u (i32.load (i32.const 20)) (i32.const 1000))))"""
    logged: list[int] = []
    limits = sandbox.Limits(log=100_000)
    with little_growth():
        async with open_native() as box, box.start(await box.compile(gate(code)), limits=limits) as program:
            program.on_log = lambda _stream, data: logged.append(len(data))
            async for _ in program:
                pass
            outcome = await program.wait()
    assert outcome.ok, outcome
    assert sum(logged) == 100_000
    assert outcome.usage.log_dropped == 60_000_000 - 100_000


async def test_memory_grows_to_its_limit_and_no_further() -> None:
    code = """(loop $again (br_if $again (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0))))
      (return (i32.sub (memory.size) (i32.const 160)))"""
    outcome = await outcome_of(gate(code), sandbox.Limits(memory=10 * MIB))
    assert outcome.ok, outcome
    assert outcome.usage.peak_memory <= 10 * MIB


async def test_memory_can_be_used_up_to_its_limit() -> None:
    code = """(drop (memory.grow (i32.const 157)))
      (memory.fill (i32.const 0) (i32.const 1) (i32.const 10485760))"""
    outcome = await outcome_of(gate(code), sandbox.Limits(memory=10 * MIB))
    assert outcome.ok, outcome
    assert outcome.usage.peak_memory == 10 * MIB


async def test_one_byte_behind_the_memory_is_out_of_bounds() -> None:
    code = "(drop (memory.grow (i32.const 157))) (i32.store8 (i32.const 10485760) (i32.const 1))"
    outcome = await outcome_of(gate(code), sandbox.Limits(memory=10 * MIB))
    assert outcome.cause is sandbox.Cause.MEMORY_ACCESS_OUT_OF_BOUNDS, outcome


async def test_a_table_grows_to_its_limit_and_no_further() -> None:
    code = """(loop $again (br_if $again (i32.ge_s (table.grow $table (ref.null func) (i32.const 1)) (i32.const 0))))
      (return (i32.sub (table.size $table) (i32.const 1000)))"""
    outcome = await outcome_of(gate(code), sandbox.Limits(table=1000))
    assert outcome.ok, outcome


async def test_a_memory_that_begins_above_its_limit_never_runs() -> None:
    wasm = binary('(module (memory 200) (func (export "_start")))')
    outcome = await outcome_of(wasm, sandbox.Limits(memory=10 * MIB))
    assert outcome.cause is sandbox.Cause.MEMORY_LIMIT, outcome


async def test_recursion_without_end_exhausts_the_programs_stack_and_nothing_else() -> None:
    for stack in (256 << 10, 8 << 20):
        outcome = await outcome_of(gate("(drop (call $run))"), sandbox.Limits(stack=stack))
        assert outcome.cause is sandbox.Cause.CALL_STACK_EXHAUSTED, outcome


async def test_a_busy_loop_ends_with_its_processor_time() -> None:
    outcome = await outcome_of(gate(WAIT), sandbox.Limits(cpu_time=0.2))
    assert outcome.cause is sandbox.Cause.CPU_TIME, outcome
    assert 0.15 <= outcome.usage.cpu_user + outcome.usage.cpu_system <= 2


async def test_a_program_that_only_waits_ends_with_its_wall_time() -> None:
    """It waits for input that never comes, which costs no processor time."""
    code = "(loop $again (call $receive) (br $again))"
    outcome = await outcome_of(gate(code), sandbox.Limits(wall_time=0.3))
    assert outcome.cause is sandbox.Cause.WALL_TIME, outcome
    assert outcome.usage.cpu_user + outcome.usage.cpu_system < 0.2


async def test_fifty_busy_programs_end_on_time_and_leave_the_machine_usable() -> None:
    """T9: all of them want every core; an honest program still runs meanwhile."""
    limits = sandbox.Limits(wall_time=2)
    async with open_native() as box:
        busy, honest = await box.compile(gate(WAIT)), await box.compile(gate(""))

        async def loop() -> None:
            outcome = await run(box, busy, limits)
            assert outcome.cause is sandbox.Cause.WALL_TIME, outcome

        with little_growth(), trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(loop)
                assert (await run(box, honest)).ok


async def starts(box: sandbox.Sandbox, image: sandbox.Image, count: int) -> AsyncIterator[sandbox.Outcome]:
    for _ in range(count):
        yield await run(box, image)


async def test_a_thousand_violations_leave_nothing_behind() -> None:
    """T15: no descriptor, no memory, no process is kept for a program that was killed."""
    async with open_native() as box:
        image = await box.compile(writes(header(7)))
        async for outcome in starts(box, image, 50):
            assert outcome.cause is sandbox.Cause.ABI_VIOLATION
        before = open_files()
        with little_growth(4 * MIB):
            async for outcome in starts(box, image, 1000):
                assert outcome.cause is sandbox.Cause.ABI_VIOLATION
        assert left_open(before) == []
        assert box.statistics().running == 0
