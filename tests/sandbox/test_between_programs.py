"""What one program can learn or take of another through time, memory and places: nothing (T14, T19, T21 of the threat
table). Everything here is done by ordinary WebAssembly; what native code in its place can do is tested beside the jail.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from openfiles import left_open, open_files
from outside import MIB, binary, little_growth, open_native, run

import sandbox

pytestmark = pytest.mark.usefixtures("native")

FILL = binary(
    """(module (memory 1)
  (func (export "_start")
    (drop (memory.grow (i32.const 511)))
    (memory.fill (i32.const 0) (i32.const 0xa5) (i32.const 0x2000000))))"""
)
# The first bytes are its own data; everything else must be zero, also what it grows into.
SEARCH = binary(
    """(module (memory 1) (table $table 100 funcref) (global $g (mut i32) (i32.const 7))
  (data (i32.const 0) "\\01\\02\\03\\04")
  (func (export "_start") (result i32)
    (local $at i32)
    (if (i32.ne (i32.load (i32.const 0)) (i32.const 0x04030201)) (then (return (i32.const 1))))
    (if (i32.ne (global.get $g) (i32.const 7)) (then (return (i32.const 2))))
    (if (i32.eqz (ref.is_null (table.get $table (i32.const 99)))) (then (return (i32.const 3))))
    (drop (memory.grow (i32.const 511)))
    (local.set $at (i32.const 8))
    (loop $next
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (return (i32.const 4))))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 0x2000000))))
    ;; What the next instance of this very image must not find.
    (i32.store (i32.const 0) (i32.const -1))
    (global.set $g (i32.const 8))
    (memory.fill (i32.const 65536) (i32.const 0x5a) (i32.const 65536))
    (i32.const 0)))"""
)


async def test_a_program_finds_nothing_of_those_before_it() -> None:
    """T21: memory, table and globals are as the module says, whoever was there before, the same program included."""
    async with open_native() as box:
        fill, search = await box.compile(FILL, principal="a"), await box.compile(SEARCH, principal="b")
        for _ in range(10):
            assert (await run(box, fill)).ok
            outcome = await run(box, search)
            assert outcome.ok, outcome


# Watches a clock until it has moved ten times; the result is the smallest step in microseconds.
WATCH = """(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  {gate}
  (memory (export "memory") 1)
  (func $now (result i64) (drop (call $time (i32.const {clock}) (i64.const 1) (i32.const 8))) (i64.load (i32.const 8)))
  (func (export "_start") (result i32)
    (local $last i64) (local $now i64) (local $least i64) (local $steps i32)
    (local.set $last (call $now))
    (local.set $least (i64.const 0x7fffffffffffffff))
    (loop $watch
      (br_if $watch (i64.eq (local.tee $now (call $now)) (local.get $last)))
      (if (i64.lt_u (i64.sub (local.get $now) (local.get $last)) (local.get $least))
        (then (local.set $least (i64.sub (local.get $now) (local.get $last)))))
      (local.set $last (local.get $now))
      (br_if $watch (i32.lt_u (local.tee $steps (i32.add (local.get $steps) (i32.const 1))) (i32.const 10))))
    (i32.wrap_i64 (i64.div_u (local.get $least) (i64.const 1000)))))"""
GATE = '(import "gate" "fd_65536" (func $fd (result i32)))'


@pytest.mark.parametrize("clock", [0, 1], ids=["realtime", "monotonic"])
@pytest.mark.parametrize("gate", ["", GATE], ids=["wasi", "gate"])
@pytest.mark.parametrize("resolution", [10, 40])
async def test_no_clock_moves_in_finer_steps_than_its_resolution(clock: int, gate: str, resolution: int) -> None:
    """T19: also when a program asks for more precision."""
    async with open_native() as box:
        image = await box.compile(binary(WATCH.format(clock=clock, gate=gate)))
        outcome = await run(box, image, sandbox.Limits(clock_resolution=resolution))
    assert outcome.state is sandbox.State.HALTED
    assert resolution * 1000 <= outcome.result < 500_000, outcome


WAIT = binary(
    """(module (import "gate" "io_65536" (func $io (param i32 i32 i32 i32 i32 i32 i64 i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 8) (i32.const 64)) (i32.store (i32.const 12) (i32.const 8))
    (loop $wait
      (call $io (i32.const 8) (i32.const 1) (i32.const 16)
        (i32.const 0) (i32.const 0) (i32.const 0) (i64.const -1) (i32.const 0))
      (br $wait))))"""
)


async def test_programs_are_started_until_the_limit_and_the_host_is_as_before_when_they_are_gone() -> None:
    """T14: the refusal has a code, the others go on, and no descriptor is lost."""
    limits = sandbox.HostLimits(programs=30)
    async with open_native(host_limits=limits) as box:
        image = await box.compile(WAIT)
        async with box.start(image):
            pass
        before = open_files()
        with little_growth(16 * MIB):
            async with AsyncExitStack() as stack:
                programs = [await stack.enter_async_context(box.start(image)) for _ in range(30)]
                with pytest.raises(sandbox.StartFailed) as caught:
                    await stack.enter_async_context(box.start(image))
                assert caught.value.code == "too-many-programs"
                programs[0].kill()
                await programs[0].wait()
                await stack.enter_async_context(box.start(image))
                assert box.statistics().running == 30
        assert box.statistics().running == 0
        assert left_open(before) == []
