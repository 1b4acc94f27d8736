"""Bytes that are no good program: each is answered with a code or runs in its sandbox, and nobody else notices."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import bombs
import pytest
import trio
from outside import CODES, NEVER, assert_public, binary, little_growth, open_native, run
from waiting import PATIENCE

import sandbox

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.usefixtures("native")

HELLO = binary(
    """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\03\\00\\00\\00hi\\n")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))"""
)
# A little of everything that a byte can break: types, a table, a memory, a global, segments, a loop, calls.
SMALL = binary(
    """(module
  (type $t (func (param i32) (result i32)))
  (memory 1 2) (table 2 funcref) (global $g (mut i32) (i32.const 3))
  (elem (i32.const 0) $twice $twice) (data (i32.const 8) "\\01\\02")
  (func $twice (type $t) (i32.shl (local.get 0) (i32.const 1)))
  (func (export "_start")
    (local $i i32)
    (loop $l
      (global.set $g (call_indirect (type $t) (global.get $g) (i32.const 1)))
      (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (local.get $i)))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3))))))"""
)
# A flipped bit may make a loop endless, or a memory large.
SHORT = sandbox.Limits(cpu_time=0.2, wall_time=2)
WORKERS = 4


async def answer(box: sandbox.Sandbox, wasm: bytes, principal: str) -> str:
    """The code of a refusal, or the name of the cause with which it ended; anything else fails."""
    try:
        image = await box.compile(wasm, principal=principal)
    except sandbox.Refused as error:
        assert_public(error)
        return error.code
    outcome = await run(box, image, SHORT)
    assert outcome.cause not in NEVER, outcome
    return outcome.cause.name


async def answers(modules: Iterable[bytes]) -> Counter[str]:
    """Each module's answer; after all of them an honest program is still served."""
    counts: Counter[str] = Counter()
    waiting = iter(modules)

    async def work(principal: str) -> None:
        for wasm in waiting:
            counts[await answer(box, wasm, principal)] += 1

    async with open_native() as box:
        async with trio.open_nursery() as nursery:
            for number in range(WORKERS):
                nursery.start_soon(work, f"stranger-{number}")
        assert await answer(box, HELLO, "honest") == "NORMAL"
    return counts


async def test_a_program_cut_off_at_any_byte_is_refused_or_has_nothing_to_run() -> None:
    with little_growth():
        counts = await answers(HELLO[:length] for length in range(1, len(HELLO)))
    assert counts.total() == len(HELLO) - 1
    # Between two sections a cut module is whole, but its code or its entry is missing.
    assert set(counts) <= {"malformed", "invalid", "NO_FUNCTION", "NORMAL"}, counts
    assert counts["malformed"] + counts["invalid"] >= counts.total() - 8, counts


async def test_a_program_with_any_bit_flipped_is_refused_or_stays_in_its_sandbox() -> None:
    def flipped(bit: int) -> bytes:
        changed = bytearray(SMALL)
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    with little_growth():
        counts = await answers(flipped(bit) for bit in range(8 * len(SMALL)))
    assert counts.total() == 8 * len(SMALL)
    assert set(counts) <= CODES | {cause.name for cause in sandbox.Cause}
    assert counts["malformed"] > 100
    assert counts["invalid"] > 100
    assert counts["NORMAL"] > 20, counts


NO_MODULES = (b"\0", b"\0asm", b"\0asm\2\0\0\0", b"\x7fELF", b"#!/bin/sh\n", b"(modul", b"(module", b"\xff" * 99)


@pytest.mark.parametrize("wasm", NO_MODULES)
async def test_what_is_no_module_is_called_malformed(wasm: bytes) -> None:
    async with open_native() as box:
        assert await answer(box, wasm, "stranger") == "malformed"


async def test_nothing_at_all_is_refused() -> None:
    async with open_native() as box:
        with pytest.raises(sandbox.Refused) as caught:
            await box.compile(b"")
    assert caught.value.code == "malformed"


async def test_a_component_is_refused_by_name_with_advice() -> None:
    async with open_native() as box:
        with pytest.raises(sandbox.Refused) as caught:
            await box.compile(b"\0asm\x0d\0\1\0")
    assert caught.value.code == "unsupported"
    assert "component" in caught.value.text
    assert "wasm32-wasip1" in caught.value.text


FEATURES = {
    "threads": "(module (memory 1 1 shared))",
    "64-bit memory": "(module (memory i64 1))",
    "GC": "(module (type (struct)))",
}


@pytest.mark.parametrize("name", FEATURES)
async def test_a_refused_feature_is_named(name: str) -> None:
    async with open_native() as box:
        with pytest.raises(sandbox.Refused) as caught:
            await box.compile(FEATURES[name].encode())
    assert caught.value.code == "unsupported"
    assert name in caught.value.text


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", bombs.huge())
async def test_a_compile_bomb_is_refused_for_its_counts(name: str) -> None:
    wasm = bombs.huge()[name]()
    with little_growth():
        async with open_native() as box:
            with pytest.raises(sandbox.Refused) as caught, trio.fail_after(PATIENCE):
                await box.compile(wasm, principal="stranger")
    assert caught.value.code == "too-large"
    assert_public(caught.value)


# What one stranger may cost in these tests: less than by default, so that they are short.
TIGHT = sandbox.CompileLimits(cpu_time=2, wall_time=6, memory=1 << 30)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", bombs.just_below())
async def test_a_bomb_below_every_count_is_compiled_or_stopped_within_its_limits(name: str) -> None:
    wasm = bombs.just_below()[name]()
    with little_growth():
        async with open_native(compile_limits=TIGHT) as box:
            with trio.fail_after(PATIENCE):
                try:
                    image = await box.compile(wasm, principal="stranger")
                except sandbox.CompileLimit as error:
                    assert_public(error)
                else:
                    assert (await run(box, image, SHORT)).cause not in NEVER


@pytest.mark.timeout(120)
async def test_while_bombs_are_compiled_others_are_served() -> None:
    """One stranger sends all his bombs at once; another principal's programs are compiled meanwhile, one by one."""
    sent = {name: bomb() for name, bomb in bombs.just_below().items()}
    waiting = set(sent)

    async def attack(name: str, wasm: bytes) -> None:
        try:
            await box.compile(wasm, principal="stranger")
        except sandbox.CompileLimit as error:
            assert_public(error)
        waiting.discard(name)

    async with open_native(compile_limits=TIGHT) as box:
        with little_growth():
            async with trio.open_nursery() as nursery:
                for name, wasm in sent.items():
                    nursery.start_soon(attack, name, wasm)
                await trio.lowlevel.checkpoint()
                for number in range(10):
                    before = len(waiting)
                    await box.compile(bombs.straight(number), principal="honest")
                    assert before - len(waiting) <= 2  # it waited for one bomb at most, and ran beside another
                assert waiting  # whose sender still waits for his own when the others are done
