"""Everything that a program is made of is stopped and goes on: its phases, further memories, tables; and programs that
others wrote: JavaScript, a database, Go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from guestworld import guest
from programoutput import rest_of, text_of

import sandbox
from sandbox import File, Form, Lifecycle, Limits, Setup, State, Tree
from sandbox.packets import encode_data
from sandbox.statewords import look_untrusted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox.program import Program
    from sandbox.suspended import Suspended

pytestmark = pytest.mark.usefixtures("native")

QJS = ("qjs", "--std", "--stack-size", "1024")
ROOM = Limits(stack=8 << 20, clock_resolution=1)
# $ask says "go" and gives a byte of input, for which it waits.
ASKS = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\\20\\00\\00\\00\\02\\00\\00\\00\\28\\00\\00\\00\\01\\00\\00\\00") (data (i32.const 32) "go")
  (func $ask (result i32)
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
    (drop (call $read (i32.const 0) (i32.const 24) (i32.const 1) (i32.const 8)))
    (i32.load8_u (i32.const 40)))
  %s)"""
START = """(global $byte (mut i32) (i32.const 0))
  (func $first (global.set $byte (call $ask))) (start $first)
  (func (export "_start")) (func (export "it") (result i32) (i32.add (global.get $byte) (i32.const 1000)))"""
INITIALIZE = """(global $byte (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $byte (i32.add (global.get $byte) (call $ask))))
  (func (export "it") (result i32) (i32.add (global.get $byte) (i32.const 2000)))"""
MEMORIES = """(memory $b 1 4) (memory $c 0 1) (data $late "later")
  (func (export "it") (result i32) (local $byte i32)
    (i32.store8 $b (i32.const 5) (i32.const 7)) (drop (memory.grow $b (i32.const 1)))
    (i32.store $b (i32.const 131068) (i32.const 3000)) (drop (memory.grow $c (i32.const 1)))
    (memory.init $b $late (i32.const 100) (i32.const 0) (i32.const 5)) (data.drop $late)
    (local.set $byte (call $ask))
    (i32.add (i32.add (local.get $byte) (i32.mul (memory.size $b) (i32.const 10000)))
      (i32.add (i32.mul (memory.size $c) (i32.const 100000))
        (i32.add (i32.load $b (i32.const 131068))
          (i32.and (i32.eq (i32.load8_u $b (i32.const 5)) (i32.const 7))
            (i32.eq (i32.load8_u $b (i32.const 104)) (i32.const 114)))))))"""
TABLES = """(type $f (func (result i32))) (table $t 3 9 funcref) (elem (i32.const 0) func $one $two)
  (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
  (func (export "it") (result i32) (local $byte i32)
    (table.set $t (i32.const 0) (ref.func $two)) (table.set $t (i32.const 1) (ref.null func))
    (drop (table.grow $t (ref.func $one) (i32.const 2)))
    (local.set $byte (call $ask))
    (i32.add (i32.add (local.get $byte) (i32.mul (table.size $t) (i32.const 10000)))
      (i32.add (i32.mul (call_indirect $t (type $f) (i32.const 0)) (i32.const 100))
        (i32.add (i32.mul (call_indirect $t (type $f) (i32.const 4)) (i32.const 1000))
          (i32.mul (ref.is_null (table.get $t (i32.const 1))) (i32.const 100000))))))"""


@pytest.fixture
async def box(image_directory: Path) -> AsyncIterator[sandbox.Sandbox]:
    settings = sandbox.Settings(cache_directory=str(image_directory))
    async with sandbox.open_sandbox("native", settings) as made:
        yield made


async def until(program: Program, expected: bytes) -> bytes:
    """What it writes until that is in it."""
    text = b""
    while expected not in text:
        packets = await program.receive_some()
        assert packets, text
        text += text_of(packets)
    return text


async def suspended_of(program: Program) -> tuple[bytes, Suspended]:
    """What it had still written, too."""
    suspended = await program.suspend()
    return await rest_of(program), suspended


@pytest.mark.parametrize(
    ("body", "result"),
    [(START, 1042), (INITIALIZE, 2042), (MEMORIES, 123_043), (TABLES, 151_242)],
    ids=["start function", "_initialize", "memories", "tables"],
)
async def test_it_is_stopped_twice_wherever_it_waits_and_gives_what_it_gives_without(
    box: sandbox.Sandbox, body: str, result: int
) -> None:
    module = (ASKS % body).encode()
    image = await box.compile(module, form=Form.SUSPENDABLE)
    assert image.suspendable, image.unsuspendable
    async with box.start(image, Setup(function="it"), ROOM) as program:
        await until(program, b"go")
        suspended = await program.suspend()
    async with box.resume(image, suspended, ROOM, program=module) as program:
        suspended = await program.suspend()
    async with box.resume(image, suspended, ROOM, program=module) as program:
        await program.send(encode_data(0, 0, b"*"))
        assert await rest_of(program) == b""
        assert (await program.wait()).result == result


# At the bottom it waits for a byte, and then goes as deep once more, on top of the frames that went on.
DEEPER = """(global $again (mut i32) (i32.const 0))
  (func $bottom (result i64) (if (result i64) (global.get $again)
    (then (i64.const 0))
    (else
      (global.set $again (i32.const 1))
      (i64.add (i64.extend_i32_u (call $ask)) (call $down (i32.const 10000) (i64.const 3) (f64.const 1))))))
  (func $down (param $n i32) (param $v i64) (param $w f64) (result i64)
    (if (result i64) (local.get $n)
      (then (i64.add (i64.add (local.get $v) (i64.trunc_f64_s (local.get $w)))
        (call $down (i32.sub (local.get $n) (i32.const 1)) (i64.const 3) (f64.const 1))))
      (else (call $bottom))))
  (func (export "it") (result i32) (i32.wrap_i64 (call $down (i32.const 10000) (i64.const 3) (f64.const 1))))"""


async def test_ten_thousand_frames_go_on_with_room_for_as_many_more(box: sandbox.Sandbox) -> None:
    module = (ASKS % DEEPER).encode()
    image = await box.compile(module, form=Form.SUSPENDABLE)
    async with box.start(image, Setup(function="it"), ROOM) as program:
        await until(program, b"go")
        suspended = await program.suspend()
    assert len(look_untrusted(suspended.state).frames) > 10_000 * 8
    async with box.resume(image, suspended, ROOM, program=module) as program:
        await program.send(encode_data(0, 0, b"*"))
        await rest_of(program)
        outcome = await program.wait()
    assert (outcome.result, outcome.text) == (2 * 10_000 * (3 + 1) + ord("*"), "")


# A frame of many values, which a continuation must hold all: up to half as large again as the program's own.
WIDE = f"""(func $down (param $n i32) (param $v i64) (result i64) {" ".join(f"(local $l{i} i64)" for i in range(12))}
    (local $r i64)
    {" ".join(f"(local.set $l{i} (i64.mul (local.get $v) (i64.const {i})))" for i in range(12))}
    (loop $again
      (if (local.get $n)
        (then (local.set $r (i64.add (local.get $v)
          (call $down (i32.sub (local.get $n) (i32.const 1)) (i64.const 1)))))
        (else (local.set $r (i64.extend_i32_u (call $ask)))))
      (br_if $again (i64.eqz (local.get $r))))
    {" ".join(f"(local.set $r (i64.add (local.get $r) (local.get $l{i})))" for i in range(12))}
    (local.get $r))
  (func (export "it") (result i32) (i32.wrap_i64 (call $down (i32.const 30000) (i64.const 1))))"""


async def test_a_stack_that_was_nearly_full_has_room_for_the_larger_frames_of_a_continuation(
    box: sandbox.Sandbox,
) -> None:
    module = (ASKS % WIDE).encode()
    image = await box.compile(module, form=Form.SUSPENDABLE)
    async with box.start(image, Setup(function="it"), ROOM) as program:
        await until(program, b"go")
        suspended = await program.suspend()
    for _ in range(2):
        async with box.resume(image, suspended, ROOM, program=module) as program:
            suspended = await program.suspend()
    async with box.resume(image, suspended, ROOM, program=module) as program:
        await program.send(encode_data(0, 0, b"*"))
        await rest_of(program)
        outcome = await program.wait()
    assert (outcome.result, outcome.text) == (30_000 + ord("*") + 30_001 * sum(range(12)), "")


SCRIPT = """
let sum = 0;
console.log("go");
for (let i = 0; i < 3000000; i++) sum = (sum * 31 + i) % 1000003;
console.log(sum);
let ticks = 0;
const tick = () => { console.log("tick", ++ticks); if (ticks < 6) os.setTimeout(tick, 20); };
tick();
"""


def script_sum() -> int:
    total = 0
    for i in range(3_000_000):
        total = (total * 31 + i) % 1_000_003
    return total


async def test_javascript_is_stopped_in_a_busy_script_and_between_timers(box: sandbox.Sandbox) -> None:
    module = guest("qjs.wasm")
    image = await box.compile(module, form=Form.SUSPENDABLE)
    setup = Setup(arguments=(*QJS, "-e", SCRIPT))
    async with box.start(image, setup, ROOM) as program:
        text = await until(program, b"go\n")
        more, suspended = await suspended_of(program)
        text += more
    for awaited in (b"tick 1\n", b"tick 3\n"):
        async with box.resume(image, suspended, ROOM, program=module) as program:
            text += await until(program, awaited)
            more, suspended = await suspended_of(program)
            text += more
    async with box.resume(image, suspended, ROOM, program=module) as program:
        text += await rest_of(program)
        assert (await program.wait()).ok
    ticks = b"".join(b"tick %d\n" % n for n in range(1, 7))
    assert text == b"go\n%d\n" % script_sum() + ticks


DRAWS = "const first = Math.random(); print('go'); std.in.getline(); print(first, Math.random(), Math.random())"
HOW = [Lifecycle.RESUMED, Lifecycle.RESTORED, Lifecycle.CLONED, Lifecycle.CLONED]


async def test_copies_of_a_script_draw_numbers_of_their_own(box: sandbox.Sandbox) -> None:
    """From one state, with one memory: gone on with, restored, copied twice (a warm start is a copy, too)."""
    module = guest("qjs.wasm")
    image = await box.compile(module, form=Form.SUSPENDABLE)
    async with box.start(image, Setup(arguments=(*QJS, "-e", DRAWS)), ROOM) as program:
        await until(program, b"go\n")
        suspended = await program.suspend()
    said = []
    for how in HOW:
        async with box.resume(image, suspended, ROOM, program=module, share=True, lifecycle=how) as copy:
            await copy.send(encode_data(0, 0, b"\n"))
            said.append((await rest_of(copy)).split())
    assert len({first for first, *_ in said}) == 1  # drawn before
    assert len({number for _, *later in said for number in later}) == 2 * len(HOW)


QUERY = b"""select 'go';
with recursive n(i) as (select 1 union all select i + 1 from n where i < 300000)
  select count(*), sum(i * 7 % 13) from n;
"""


async def test_a_database_is_stopped_in_a_query_and_leaves_its_file(box: sandbox.Sandbox) -> None:
    module = guest("tests/wasi_sqlite.wasm")
    image = await box.compile(module, form=Form.SUSPENDABLE)
    tree = Tree({})
    async with box.start(image, Setup(arguments=("sqlite", "/new.db"), tree=tree), ROOM) as program:
        await program.send(encode_data(0, 0, b"create table t(a); insert into t values (5);" + QUERY))
        await program.send(encode_data(0, 0, b""))
        text = await until(program, b"go\n")
        more, suspended = await suspended_of(program)
        text += more
    async with box.resume(image, suspended, ROOM, Setup(tree=tree), program=module) as program:
        text += await rest_of(program)
        outcome = await program.wait()
        assert outcome.state is State.HALTED
        assert text == b"go\n300000|%d\n" % sum(i * 7 % 13 for i in range(1, 300_001))
        left = program.tree()
        assert left is not None
        assert isinstance(left["new.db"], File)


@pytest.mark.timeout(180)  # the first build compiles Go's library
async def test_a_go_program_is_stopped_while_it_waits_for_input(box: sandbox.Sandbox, go_program: bytes) -> None:
    image = await box.compile(go_program, form=Form.SUSPENDABLE)
    assert image.suspendable, image.unsuspendable
    setup = Setup(arguments=("main", "one"), environment={"NAME": "Ada"}, tree=Tree({}))
    async with box.start(image, setup, ROOM) as program:
        text = await until(program, b"\n")
        more, suspended = await suspended_of(program)
        text += more
    async with box.resume(image, suspended, ROOM, Setup(tree=Tree({})), program=go_program) as program:
        await program.send(encode_data(0, 0, b"b\nc\na\n") + encode_data(0, 0, b""))
        text += await rest_of(program)
        assert (await program.wait()).result == 3
    assert text == b"from a goroutine: 42 true\n[a b c] [one] Ada\n"
