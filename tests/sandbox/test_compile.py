"""What is admitted and what is refused, and that a compiler that goes wrong costs one program only."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import wat_programs as wat
from processes import children_of, cpu_ticks, descendants
from talk import run
from waiting import PATIENCE, until
from wasmbytes import HEADER, leb, section

import sandbox
from sandbox import CompileLimits, Limits, Settings

if TYPE_CHECKING:
    from sandbox.box import BackendName

ACCEPTED = {
    "multi-value": """(module (func (export "_start") (call $two) drop drop)
        (func $two (result i32 i32) (i32.const 1) (i32.const 2)))""",
    "mutable globals": '(module (global (export "g") (mut i32) (i32.const 0)) (func (export "_start")))',
    "sign extension": '(module (func (export "_start") (drop (i32.extend8_s (i32.const 255)))))',
    "non-trapping conversions": '(module (func (export "_start") (drop (i32.trunc_sat_f32_s (f32.const 1e30)))))',
    "bulk memory": """(module (memory 1)
        (func (export "_start") (memory.fill (i32.const 0) (i32.const 1) (i32.const 9))))""",
    "reference types": '(module (table 1 externref) (func (export "_start") (drop (ref.null extern))))',
    "SIMD": '(module (func (export "_start") (drop (i32x4.splat (i32.const 1)))))',
    "tail calls": '(module (func (export "_start") (return_call $f)) (func $f))',
    "extended constants": '(module (global i32 (i32.add (i32.const 1) (i32.const 2))) (func (export "_start")))',
    "exceptions": '(module (tag $e) (func (export "_start") (block $h (try_table (catch $e $h) (throw $e)))))',
    "multi-memory": '(module (memory 1) (memory 1) (func (export "_start")))',
}

REFUSED = {
    "threads": '(module (memory 1 1 shared) (func (export "_start")))',
    "64-bit memory": '(module (memory i64 1) (func (export "_start")))',
    "GC": '(module (type (struct (field i32))) (func (export "_start")))',
}


@pytest.mark.parametrize("feature", ACCEPTED)
async def test_what_todays_toolchains_emit_is_accepted_and_runs(box: sandbox.Sandbox, feature: str) -> None:
    assert (await run(box, ACCEPTED[feature].encode())).outcome.ok


@pytest.mark.parametrize("feature", REFUSED)
async def test_other_features_are_refused_by_name(box: sandbox.Sandbox, feature: str) -> None:
    with pytest.raises(sandbox.Refused) as caught:
        await box.compile(REFUSED[feature].encode())
    assert caught.value.code == "unsupported"
    assert feature.lower() in caught.value.text.lower()


async def test_a_component_is_refused_with_what_to_do(box: sandbox.Sandbox) -> None:
    with pytest.raises(sandbox.Refused) as caught:
        await box.compile(b"\0asm\x0d\0\1\0")
    assert caught.value.code == "unsupported"
    assert "wasm32-wasip1" in caught.value.text


@pytest.mark.parametrize(
    ("wasm", "code"),
    [
        (b"", "malformed"),
        (b"\0asm", "malformed"),
        (b"\0asm\2\0\0\0", "malformed"),
        (b"#!/bin/sh\n", "malformed"),
        (b"(module (func", "malformed"),
        (b'(module (func (export "_start") (i32.add)))', "invalid"),
        (b'(module (import "env" "nowhere" (func)) (func (export "_start")))', "bad-import"),
        (b'(module (import "wasi_snapshot_preview1" "fd_write" (func)) (func (export "_start")))', "bad-import"),
    ],
)
async def test_what_is_no_program_is_refused_with_a_code(box: sandbox.Sandbox, wasm: bytes, code: str) -> None:
    with pytest.raises(sandbox.Refused) as caught:
        await box.compile(wasm)
    assert caught.value.code == code
    assert caught.value.text


async def test_a_truncated_module_is_refused_at_every_length(box: sandbox.Sandbox) -> None:
    whole = large_module(functions=1, additions=2)
    assert (await box.compile(whole)).sha256
    step = 1 if box.backend == "native" else 7
    for size in range(0, len(whole) - 1, step):
        if size in (8, 16):
            continue  # a header alone is a module, and so is one with types
        with pytest.raises(sandbox.Refused):
            await box.compile(whole[:size])


async def test_facts_describe_the_program(box: sandbox.Sandbox) -> None:
    image = await box.compile(wat.program("", memory="3", more="(table 7 funcref)"))
    assert (image.personality, image.memory_minimum, image.table_minimum) == ("wasi", 3 * 65536, 7)
    assert "_start" in image.exports
    assert image.code_size > 0
    assert (await box.compile(wat.gate_program(b""))).personality == "gate"


async def test_a_second_compilation_is_a_cache_hit(box: sandbox.Sandbox) -> None:
    first = await box.compile(wat.HELLO)
    before = box.statistics().cache_hits
    assert await box.compile(wat.HELLO) == first
    assert box.statistics().cache_hits == before + 1


def large_module(functions: int, additions: int) -> bytes:
    """Each function adds and multiplies a parameter `additions` times."""
    body = b"\0" + b"\x20\0\x41\3\x6a\x20\0\x6c\x21\0" * additions + b"\x20\0\x0b"
    code = leb(functions) + (leb(len(body)) + body) * functions
    types = section(1, b"\1\x60\1\x7f\1\x7f")
    return HEADER + types + section(3, leb(functions) + bytes(functions)) + section(10, code)


HEAVY = large_module(functions=4_000, additions=300)
# So much that it is still being compiled when somebody comes to kill it.
ENOUGH = CompileLimits(cpu_time=300, wall_time=600)

Opener = Callable[[CompileLimits], AbstractAsyncContextManager[sandbox.Sandbox]]


@pytest.fixture
def opened(backend: BackendName) -> Opener:
    @asynccontextmanager
    async def open_with(limits: CompileLimits) -> AsyncIterator[sandbox.Sandbox]:
        try:
            async with sandbox.open_sandbox(backend, Settings(cache_directory="", compile_limits=limits)) as made:
                yield made
        except sandbox.BackendUnavailable as missing:
            if os.environ.get("GATEBUS_REQUIRE_LAYERS"):
                raise
            pytest.skip(f"{backend}: {missing.text}")

    return open_with


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (CompileLimits(cpu_time=1, wall_time=60), "compile-cpu-time"),
        (CompileLimits(cpu_time=60, wall_time=3), "compile-wall-time"),
        (CompileLimits(max_code=64 << 10, cpu_time=60), "code-too-large"),
    ],
    ids=["cpu time", "wall time", "code"],
)
async def test_compiling_is_limited(opened: Opener, limits: CompileLimits, code: str) -> None:
    # so much code that a second is not enough, and for the size of the code so little that it is compiled soon
    wasm = large_module(functions=40, additions=300) if code == "code-too-large" else HEAVY
    async with opened(limits) as box:
        with pytest.raises(sandbox.CompileLimit) as caught:
            await box.compile(wasm)
        assert caught.value.code == code
        assert (await run(box, wat.NOTHING)).outcome.ok


async def test_a_program_above_the_limit_of_size_is_refused(opened: Opener) -> None:
    async with opened(CompileLimits(program_size=1000)) as box:
        with pytest.raises(sandbox.Refused) as caught:
            await box.compile(b"\0asm\1\0\0\0" + bytes(993))
        assert caught.value.code == "too-large"


async def test_a_compile_worker_that_is_killed_costs_its_program_only(opened: Opener) -> None:
    async with opened(ENOUGH) as box:
        await box.compile(wat.NOTHING)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(is_told_that_it_crashed, box)
            os.kill(await the_one_that_works(box), signal.SIGKILL)
        assert (await run(box, wat.NOTHING)).outcome.ok


async def is_told_that_it_crashed(box: sandbox.Sandbox) -> None:
    with pytest.raises(sandbox.CompileLimit) as caught:
        await box.compile(HEAVY)
    assert caught.value.code == "compile-crashed"


async def the_one_that_works(box: sandbox.Sandbox) -> int:
    """The compile worker: the process below the keeper, or below us, that computed for half a second since now."""
    parent = keeper_of(box) if box.backend == "native" else None
    before = {pid: cpu_ticks(pid) for pid in descendants(parent)}
    working: list[int] = []

    def somebody() -> list[int]:
        working[:] = [pid for pid in descendants(parent) if cpu_ticks(pid) - before.get(pid, 0) > 50]
        return working

    await until(somebody)
    return working[0]


async def test_programs_run_while_another_compiles_and_a_cancelled_compilation_stops(opened: Opener) -> None:
    async with opened(ENOUGH) as box:
        image = await box.compile(wat.HELLO)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(box.compile, HEAVY)
            await the_one_that_works(box)
            async with box.start(image) as program:
                assert (await program.wait()).ok
            nursery.cancel_scope.cancel()
        assert (await run(box, wat.exit_with(3))).outcome.result == 3


@pytest.mark.parametrize("backend", ["native"])  # the portable one has no keeper
async def test_a_keeper_that_is_killed_takes_its_programs_and_is_replaced(opened: Opener) -> None:
    async with opened(CompileLimits()) as box:
        image, keeper = await box.compile(wat.SLEEP), keeper_of(box)
        async with box.start(image) as first, box.start(image) as second:
            os.kill(keeper, signal.SIGKILL)
            for program in (first, second):
                outcome = await program.wait()
                assert outcome.cause is sandbox.Cause.INTERNAL
                assert "keeper" in outcome.text
        assert (await run(box, wat.HELLO)).stdout == b"hello\n"


@pytest.mark.parametrize("backend", ["native"])  # the portable one has no keeper
async def test_spawners_that_are_killed_are_replaced(opened: Opener) -> None:
    async with opened(CompileLimits()) as box:
        image, keeper = await box.compile(wat.ECHO), keeper_of(box)
        async with box.start(image, None, Limits(wall_time=None)) as program:
            assert await program.receive_some()  # it runs, and asks for its input
            for spawner in children_of(keeper):
                os.kill(spawner, signal.SIGKILL)
            assert (await program.wait()).state is sandbox.State.KILLED
        with trio.fail_after(PATIENCE):
            while not await says_hello(box):  # noqa: ASYNC110, another process sets no event of ours
                await trio.sleep(0.05)  # the spawner's place is being taken


async def says_hello(box: sandbox.Sandbox) -> bool:
    try:
        return (await run(box, wat.HELLO)).stdout == b"hello\n"
    except (sandbox.StartFailed, sandbox.SandboxBroken):
        return False


def keeper_of(box: sandbox.Sandbox) -> int:
    return box._backend._keeper._process.pid
