"""Programs in real child processes, through the public interface of the package."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from waiting import PATIENCE

import sandbox
from sandbox import Cause, Limits, Setup, State, Tree
from sandbox.packets import DATA, PAIR, encode_data, encode_flow, split_untrusted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WASI = "wasi_snapshot_preview1"


@pytest.fixture
async def box() -> AsyncIterator[sandbox.Sandbox]:
    async with sandbox.open_sandbox("portable", sandbox.Settings(cache_directory="")) as opened:
        yield opened


@asynccontextmanager
async def running(box, text: str, setup: Setup | None = None, limits: Limits | None = None):
    image = await box.compile(text.encode())
    async with box.start(image, setup or Setup(), limits or Limits()) as program:
        yield program


async def outcome_of(box, text: str, setup: Setup | None = None, limits: Limits | None = None) -> sandbox.Outcome:
    async with running(box, text, setup, limits) as program:
        async for _ in program:
            pass
        return await program.wait()


def start(body: str, before: str = "") -> str:
    other = "(memory 1) (table 4 funcref) (type $other (func (param i32)))"
    return f'(module {before} {other} (func (export "_start") {body}))'


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("unreachable", Cause.UNREACHABLE),
        ("(drop (i32.load (i32.const 65536)))", Cause.MEMORY_ACCESS_OUT_OF_BOUNDS),
        ("(drop (i32.load (i32.const -8)))", Cause.MEMORY_ACCESS_OUT_OF_BOUNDS),
        ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", Cause.INTEGER_DIVIDE_BY_ZERO),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", Cause.INTEGER_OVERFLOW),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", Cause.INTEGER_OVERFLOW),
        ("(call_indirect (type $other) (i32.const 0) (i32.const 9))", Cause.INDIRECT_CALL_INDEX_OUT_OF_BOUNDS),
        ("(call_indirect (type $other) (i32.const 0) (i32.const 1))", Cause.INDIRECT_CALL_INDEX_OUT_OF_BOUNDS),
        ("(throw $t)", Cause.TRAP),
    ],
)
async def test_each_trap_has_its_cause(box, body: str, cause: Cause) -> None:
    outcome = await outcome_of(box, start(body, "(tag $t)"))
    assert (outcome.state, outcome.cause) == (State.KILLED, cause)


async def test_a_wrong_signature_has_its_cause(box) -> None:
    text = """(module (type $a (func)) (type $b (func (result i32)))
        (table funcref (elem $f)) (func $f (type $b) i32.const 1)
        (func (export "_start") (call_indirect (type $a) (i32.const 0))))"""
    assert (await outcome_of(box, text)).cause is Cause.INDIRECT_CALL_SIGNATURE_MISMATCH


@pytest.mark.parametrize("stack", [256 << 10, 8 << 20])
async def test_endless_recursion_exhausts_the_stack(box, stack: int) -> None:
    text = '(module (func $f (export "_start") (call $f)))'
    assert (await outcome_of(box, text, limits=Limits(stack=stack))).cause is Cause.CALL_STACK_EXHAUSTED


async def test_the_large_stack_holds_what_the_small_one_does_not(box) -> None:
    text = """(module (func $f (param i32) (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1))))))
        (func (export "_start") (call $f (i32.const 60000))))"""
    assert (await outcome_of(box, text, limits=Limits(stack=256 << 10))).cause is Cause.CALL_STACK_EXHAUSTED
    assert (await outcome_of(box, text, limits=Limits(stack=8 << 20))).ok


async def test_a_busy_loop_ends_with_its_cpu_time(box) -> None:
    outcome = await outcome_of(box, start("(loop (br 0))"), limits=Limits(cpu_time=0.2))
    assert outcome.cause is Cause.CPU_TIME
    assert 0.1 < outcome.usage.cpu_user < 3


async def test_a_busy_loop_ends_with_its_wall_time(box) -> None:
    outcome = await outcome_of(box, start("(loop (br 0))"), limits=Limits(wall_time=1.0))
    assert outcome.cause is Cause.WALL_TIME


async def test_a_program_that_only_waits_ends_with_its_wall_time(box) -> None:
    body = "(drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))"
    data = '(data (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00")'
    read = f'(import "{WASI}" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))'
    text = f'(module {read} (memory 1) {data} (func (export "_start") {body}))'
    outcome = await outcome_of(box, text, limits=Limits(wall_time=1.0))
    assert outcome.cause is Cause.WALL_TIME
    assert outcome.usage.cpu_user < 1


async def test_memory_grows_to_its_limit_and_not_beyond(box) -> None:
    body = """(if (i32.ne (memory.grow (i32.const 15)) (i32.const 1)) (then unreachable))
              (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))"""
    assert (await outcome_of(box, start(body), limits=Limits(memory=16 << 16))).ok


async def test_a_memory_that_begins_beyond_its_limit_is_not_started(box) -> None:
    outcome = await outcome_of(box, '(module (memory 17) (func (export "_start")))', limits=Limits(memory=16 << 16))
    assert outcome.cause is Cause.MEMORY_LIMIT


async def test_several_memories_share_the_limit(box) -> None:
    text = '(module (memory 9) (memory 9) (func (export "_start")))'
    assert (await outcome_of(box, text, limits=Limits(memory=16 << 16))).cause is Cause.MEMORY_LIMIT
    assert (await outcome_of(box, text, limits=Limits(memory=18 << 16))).ok


async def test_a_segment_that_does_not_fit_is_a_memory_fault(box) -> None:
    outcome = await outcome_of(box, '(module (memory 1) (data (i32.const 70000) "x") (func (export "_start")))')
    assert outcome.cause is Cause.MEMORY_ACCESS_OUT_OF_BOUNDS


async def test_a_start_section_runs_after_the_setup_and_may_call_imports(box) -> None:
    write = f'(import "{WASI}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))'
    data = '(data (i32.const 0) "\\10\\00\\00\\00\\03\\00\\00\\00") (data (i32.const 16) "hi\\n")'
    body = "(drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"
    text = f"(module {write} (memory 1) {data} (func $s {body}) (start $s))"
    async with running(box, text) as program:
        received = b"".join([bytes(packets) async for packets in program])
        assert (await program.wait()).ok
    assert [packet.content[8:] for packet in split_untrusted(received)] == [b"hi\n"]


@pytest.mark.parametrize("code", [0, 42, 0xFFFFFFFE])
async def test_the_exit_code_has_all_its_bits(box, code: int) -> None:
    leave = f'(import "{WASI}" "proc_exit" (func $x (param i32)))'
    outcome = await outcome_of(box, f'(module {leave} (func (export "_start") (call $x (i32.const {code}))))')
    assert (outcome.state, outcome.result) == (State.TERMINATED, code)


@pytest.mark.parametrize("value", [0, 1, 77])
async def test_a_returned_number_is_the_result(box, value: int) -> None:
    text = f'(module (func (export "main") (result i32) (i32.const {value})))'
    outcome = await outcome_of(box, text, Setup(function="main"))
    assert (outcome.state, outcome.result) == (State.HALTED, value)


async def test_an_entry_function_that_is_not_there_is_named(box) -> None:
    assert (await outcome_of(box, "(module)", Setup(function="main"))).cause is Cause.NO_FUNCTION


async def test_a_module_without_anything_ends_well(box) -> None:
    assert (await outcome_of(box, "(module)")).ok


ECHO = f"""(module
  (import "{WASI}" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "{WASI}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (loop $again
      (i32.store (i32.const 4) (i32.const 4096))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (if (i32.load (i32.const 8)) (then
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br $again))))))"""


async def test_bytes_go_through_a_program_and_come_back(box) -> None:
    async with running(box, ECHO) as program:
        await program.send(encode_data(0, 0, b"through the child") + encode_data(0, 0, b""))
        received = b"".join([bytes(packets) async for packets in program])
        assert (await program.wait()).ok
    data = [packet.content[PAIR.size :] for packet in split_untrusted(received) if packet.domain == DATA]
    assert data == [b"through the child"]


async def test_a_killed_program_is_gone_at_once(box) -> None:
    async with running(box, ECHO) as program:
        await program.receive_some()
        program.kill()
        with trio.fail_after(PATIENCE):
            outcome = await program.wait()
    assert outcome.cause is Cause.KILLED


async def test_the_tree_comes_back_with_what_the_program_made(box) -> None:
    make = f'(import "{WASI}" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))'
    body = "(drop (call $mkdir (i32.const 3) (i32.const 0) (i32.const 3)))"
    text = f'(module {make} (memory 1) (data (i32.const 0) "new") (func (export "_start") {body}))'
    tree = Tree({"old/file": sandbox.File(b"content" * 20_000, 5)})
    async with running(box, text, Setup(tree=tree)) as program:
        async for _ in program:
            pass
        assert (await program.wait()).ok
        left = program.tree()
    assert left is not None
    assert set(left) == {"old", "old/file", "new"}
    assert left["old/file"] == tree["old/file"]


async def test_the_host_is_told_what_a_program_cost(box) -> None:
    outcome = await outcome_of(box, '(module (memory 3) (func (export "_start")))')
    assert outcome.usage.cpu_user > 0
    assert outcome.usage.max_rss > 1 << 20


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("(module (func", "malformed", "malformed text: expected `)` (line 1, column 14)"),
        ("(module (memory i64 1))", "unsupported", "64-bit memory is not supported: build for wasm32"),
        ("(component)", "unsupported", "a component is not supported: build for wasm32-wasip1"),
        (
            "(module (func drop))",
            "invalid",
            "invalid module: type mismatch: expected a type but nothing on stack (at byte 23)",
        ),
        (
            '(module (import "a" "b" (func)))',
            "bad-import",
            "import a.b is not provided: programs may import WASI preview 1 and Gate's functions",
        ),
    ],
)
async def test_a_refusal_says_what_and_why(box, text: str, code: str, said: str) -> None:
    with pytest.raises(sandbox.Refused) as caught:
        await box.compile(text.encode())
    assert (caught.value.code, caught.value.text) == (code, said)


async def test_output_is_held_back_until_the_host_gives_credit(box) -> None:
    setup = Setup(origin_credit=4)
    async with running(box, ECHO, setup) as program:
        await program.send(encode_data(0, 0, b"0123456789") + encode_data(0, 0, b""))
        seen = b""
        while b"0123" not in seen:
            seen += bytes(await program.receive_some())
        await program.send(encode_flow(0, [(0, 100)]))
        rest = b"".join([bytes(packets) async for packets in program])
        assert (await program.wait()).ok
    assert b"456789" in rest
