"""Gate programs are stopped wherever they are, from their first instruction on, and go on: nothing is said twice."""

from __future__ import annotations

from guestfiles import require_guest

import sandbox
from sandbox import Form, Limits, Setup, State, Suspended
from sandbox.packets import CALL, CODE_DISCOVERY, split_untrusted

ROOM = Limits(stack=8 << 20)

# Waits for 300 ms of its own clock and for a packet that never comes. 0: the time was over, neither early nor twice.
WAITS = b"""(module
  (import "gate" "fd_65536" (func $fd (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func $now (result i64) (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 8))) (i64.load (i32.const 8)))
  (func (export "wait") (result i32) (local $began i64) (local $took i64)
    (local.set $began (call $now))
    (i64.store (i32.const 1024) (i64.const 1))
    (i32.store (i32.const 1040) (i32.const 1)) (i64.store (i32.const 1048) (i64.const 300000000))
    (i64.store (i32.const 1072) (i64.const 2)) (i32.store8 (i32.const 1080) (i32.const 1))
    (i32.store (i32.const 1088) (call $fd))
    (if (call $poll (i32.const 1024) (i32.const 2048) (i32.const 2) (i32.const 4096)) (then (return (i32.const 1))))
    (local.set $took (i64.sub (call $now) (local.get $began)))
    (if (i32.ne (i32.load (i32.const 4096)) (i32.const 1)) (then (return (i32.const 2))))
    (if (i64.ne (i64.load (i32.const 2048)) (i64.const 1)) (then (return (i32.const 3))))
    (i64.lt_u (local.get $took) (i64.const 290000000))))"""


def discoveries(batch: bytes) -> list[bytes]:
    return [each.content for each in split_untrusted(batch) if (each.code, each.domain) == (CODE_DISCOVERY, CALL)]


async def test_a_program_that_is_stopped_at_once_again_and_again_asks_for_its_service_once(
    box: sandbox.Sandbox,
) -> None:
    wasm = require_guest("3_echo_stream.wasm").read_bytes()
    image = await box.compile(wasm, form=Form.SUSPENDABLE)
    suspended: Suspended | None = None
    asked = []
    for _ in range(4):
        if suspended is None:
            running = box.start(image, None, ROOM)
        else:
            running = box.resume(image, suspended, ROOM, program=wasm)
        async with running as program:
            suspended = await program.suspend()
            async for batch in program:
                asked += discoveries(batch)
            assert (await program.wait()).state is State.SUSPENDED
    assert suspended is not None
    if not asked:  # it was never left to come so far
        async with box.resume(image, suspended, ROOM, program=wasm) as program:
            asked += discoveries(await program.receive_some())
    assert asked == [b"\1\0\6origin"]


async def test_a_wait_for_a_time_and_a_packet_goes_on_with_what_is_left_of_it(box: sandbox.Sandbox) -> None:
    image = await box.compile(WAITS, form=Form.SUSPENDABLE)
    async with box.start(image, Setup(function="wait"), ROOM) as program:
        suspended = await program.suspend()
    for _ in range(2):
        async with box.resume(image, suspended, ROOM, program=WAITS) as program:
            suspended = await program.suspend()
    async with box.resume(image, suspended, ROOM, program=WAITS) as program:
        async for _batch in program:
            raise AssertionError("it says nothing")
        outcome = await program.wait()
        assert (outcome.state, outcome.result) == (State.HALTED, 0), outcome
