"""Real programs, stopped at moments that a seed chooses and continued on one back-end after the other, give what they
give without a stop.

The moment is a number of bytes of output: the program gets credit for so many, is in the middle of a write when they
are used up, and is stopped there. A program that only computes is stopped at once, wherever that is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import cycle, pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest
from commands import ROOT
from guestworld import guest
from programoutput import rest_of

import sandbox
from sandbox import Cause, Form, Limits, Outcome, Sandbox, Setup, State, Suspended, Tree
from sandbox.packets import DATA, FLOW, PAIR, encode_data, encode_flow, split_untrusted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

ROOM = Limits(stack=8 << 20, cpu_time=60)


@dataclass
class Told:
    """What a program that was stopped `stops` times has told in all."""

    output: bytes = b""
    stops: int = 0
    outcome: Outcome | None = None
    files: Tree | None = None

    def same(self) -> tuple[object, ...]:
        assert self.outcome is not None
        nodes = {} if self.files is None else self.files
        files = {path: getattr(node, "content", None) for path, node in nodes.items()}
        return self.output, self.outcome.state, self.outcome.cause, self.outcome.result, files


@dataclass
class Journey:
    """One program on its way. `room`: bytes of input that it asked for; `credit`: of output that it may send."""

    wasm: bytes
    setup: Setup
    feed: bytes = b""
    told: Told = field(default_factory=Told)
    room: int = 0
    credit: int = 0
    input_over: bool = False
    last: Suspended | None = None  # of its stops

    async def whole(self, box: Sandbox) -> Told:
        """Without a stop."""
        image = await box.compile(self.wasm, form=Form.SUSPENDABLE)
        assert image.unsuspendable == ()
        self.credit = 1 << 20
        async with box.start(image, replace(self.setup, origin_credit=self.credit), ROOM) as program:
            await self._to_its_end_or(program, 0)
        return self.told

    async def stopped(self, boxes: list[Sandbox], portions: list[int]) -> Told:
        """One more stop and the next box after each portion of output; the rest without."""
        suspended: Suspended | None = None
        for portion, box in zip((*portions, 1 << 20), cycle(boxes), strict=False):
            image = await box.compile(self.wasm, form=Form.SUSPENDABLE)
            if suspended is None:
                self.credit = portion
                running = box.start(image, replace(self.setup, origin_credit=portion), ROOM)
            else:
                running = box.resume(image, suspended, ROOM, Setup(tree=self.setup.tree), program=self.wasm)
            async with running as program:
                if suspended is not None:
                    self.credit += portion
                    await program.send(encode_flow(0, [(0, portion)]))
                suspended = await self._to_its_end_or(program, portion)
            if suspended is None:
                break
        return self.told

    async def _to_its_end_or(self, program: sandbox.Program, portion: int) -> Suspended | None:
        """Until its output is over, or it has used up its credit and is stopped."""
        suspended: Suspended | None = None
        while batch := await program.receive_some():
            self._take(batch)
            if suspended is None:
                await self._give(program)
            if portion and not self.credit and suspended is None:
                suspended = self.last = await program.suspend()
                self.told.stops += 1
        outcome = await program.wait()
        if outcome.state is State.SUSPENDED:
            return suspended
        self.told.outcome, self.told.files = outcome, program.tree()
        return None

    def _take(self, batch: bytes) -> None:
        for packet in split_untrusted(batch):
            if packet.domain == DATA:
                self.told.output += packet.content[PAIR.size :]
                self.credit -= len(packet.content) - PAIR.size
            elif packet.domain == FLOW:
                self.room += sum(max(0, value) for _stream, value in PAIR.iter_unpack(packet.content))

    async def _give(self, program: sandbox.Program) -> None:
        now, self.feed = self.feed[: self.room], self.feed[self.room :]
        if now:
            self.room -= len(now)
            await program.send(b"".join(encode_data(0, 0, now[at : at + 4096]) for at in range(0, len(now), 4096)))
        if not self.feed and not self.input_over and self.room:
            self.input_over = True
            await program.send(encode_data(0, 0, b""))


@pytest.fixture
async def boxes(native: None, image_directory: Path) -> AsyncIterator[list[Sandbox]]:
    settings = sandbox.Settings(cache_directory=str(image_directory))
    async with sandbox.open_sandbox("native", settings) as first, sandbox.open_sandbox("portable", settings) as second:
        yield [first, second]


STATEMENTS = b"""
create table people(name text, born int);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 200)
  insert into people select 'person ' || i, 1900 + i * 7 % 100 from n;
create index by_year on people(born);
select name, born from people where born % 3 = 0 order by born, name limit 60;
begin; delete from people where born < 1950; select count(*) from people; commit;
select group_concat(name) from (select name from people order by name limit 20);
"""

SCRIPT = """
let text = "";
function deep(n) { return n ? 1 + deep(n - 1) : (print("at the bottom, " + text.length), 0); }
for (let i = 0; i < 6; i++) { text += "line " + i + ";"; print(i, deep(100 + i), [..."abc"].map(c => c + i).join()); }
try { JSON.parse("{"); } catch (e) { print(e.name); }
let timers = 3;
(function tick() { print("tick", timers); if (--timers) os.setTimeout(tick, 5); })();
"""

DEEP_SCRIPT = """
function down(level, sum) {
  const own = [level, sum];
  print("down", level);
  const below = level ? [level].map(n => down(n - 1, (sum * 31 + n) % 1000003))[0] : sum;
  print("up", ...own, below);
  return (below * 17 + level) % 1000003;
}
print(down(50, 1));
"""

# Says "e" and "o" in a circle of tail calls that ends in an exception, inside of what catches it; three times.
THROWS = b"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (tag $e (param i32))
  (data (i32.const 0) "\\10\\00\\00\\00\\01\\00\\00\\00")
  (func $say (param i32)
    (i32.store8 (i32.const 16) (local.get 0))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $even (param i32)
    (call $say (i32.const 101))
    (if (i32.eqz (local.get 0)) (then (throw $e (i32.const 33))))
    (return_call $odd (i32.sub (local.get 0) (i32.const 1))))
  (func $odd (param i32)
    (call $say (i32.const 111))
    (return_call $even (i32.sub (local.get 0) (i32.const 1))))
  (func (export "_start") (local $n i32)
    (loop $again
      (call $say (block $caught (result i32)
        (try_table (catch $e $caught) (call $even (i32.const 4)))
        (i32.const 63)))
      (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 3))))))"""

THROWS_SAYS = b"eoeoe!" * 3

# An exception is in a local while something is called that may be stopped.
HOLDS = b"""(module (tag $e)
  (func $spin (param $n i32) (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $holds (export "_start") (local $x exnref)
    (block $caught (result exnref) (try_table (catch_all_ref $caught) (throw $e)) (return))
    (local.set $x) (call $spin (i32.const 9)) (throw_ref (local.get $x))))"""

SQLITE = Setup(arguments=("sqlite", "/people.db"), tree=Tree({}))
INTERPRETER = Setup(arguments=("qjs", "--std", "--stack-size", "1024", "-e", SCRIPT))
# File, setup, input, stops: each stop of a large program costs a compilation of its largest function.
PROGRAMS: dict[str, tuple[str, Setup, bytes, int]] = {
    "sqlite3": ("tests/wasi_sqlite.wasm", SQLITE, STATEMENTS, 2),
    "javascript": ("qjs.wasm", INTERPRETER, b"", 1),
    "streams of C": ("tests/wasi_streams.wasm", Setup(arguments=("streams", "reverse")), bytes(range(200)) * 30, 4),
    "files of C": ("tests/wasi_files.wasm", Setup(), b"", 4),
    "deep calls of C": ("tests/wasi_depths.wasm", Setup(arguments=("depths", "down", "400")), b"", 4),
    "example 2": ("2_hello_c.wasm", Setup(arguments=("hello", "Ada"), tree=Tree({})), b"a\nb\n", 4),
}
# File, setup, input, and how deep in calls of functions it is at the last line that begins with "down".
DEEP: dict[str, tuple[str, Setup, bytes, int]] = {
    "C": ("tests/wasi_depths.wasm", Setup(arguments=("depths", "down", "900")), b"", 900),
    "sqlite3": ("tests/wasi_sqlite.wasm", SQLITE, b"select 'answer', descend(100);", 400),
    "javascript": ("qjs.wasm", replace(INTERPRETER, arguments=(*INTERPRETER.arguments[:-1], DEEP_SCRIPT)), b"", 150),
}
# Those in text, by their folders.
TEXTS = {"1_hello_wat/hello.wat": b"hello, world\n", "demo/spy.wat": b"/etc/passwd: there is no such file here\n"}


async def same_with_stops(boxes: list[Sandbox], journey: Callable[[], Journey], dice: Random, stops: int = 4) -> bytes:
    """Its output."""
    whole = await journey().whole(boxes[0])
    cuts = sorted(dice.sample(range(1, len(whole.output)), stops))
    portions = [end - start for start, end in pairwise([0, *cuts])]
    told = await journey().stopped(boxes, portions)
    assert told.stops == len(portions), portions
    assert told.same() == whole.same(), portions
    return told.output


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_program_that_is_stopped_in_the_middle_of_its_output_gives_the_same(
    boxes: list[Sandbox], name: str
) -> None:
    path, setup, feed, stops = PROGRAMS[name]
    wasm = guest(path)
    assert await same_with_stops(boxes, lambda: Journey(wasm, setup, feed), Random(name), stops)


async def same_from_the_bottom(boxes: list[Sandbox], journey: Callable[[], Journey], bottom: bytes = b"down") -> int:
    """Stopped where it has said that for the last time: no function has returned. How many calls were under way."""
    whole = await journey().whole(boxes[0])
    once = journey()
    told = await once.stopped(boxes, [whole.output.rindex(bottom) + len(bottom)])
    assert told.stops == 1
    assert told.same() == whole.same()
    assert once.last is not None
    innermost, *_ = await boxes[0].frames(once.last, once.wasm)
    return int(innermost["depth"])


@pytest.mark.parametrize("name", DEEP)
async def test_a_program_that_is_stopped_at_its_deepest_gives_the_same(boxes: list[Sandbox], name: str) -> None:
    """It goes on natively: the portable engine takes many seconds for the largest functions of large programs."""
    path, setup, feed, calls = DEEP[name]
    wasm = guest(path)
    assert await same_from_the_bottom(boxes[:1], lambda: Journey(wasm, setup, feed)) > calls


@pytest.mark.parametrize("path", TEXTS)
async def test_an_example_in_text_that_is_stopped_before_its_one_line_gives_the_same(
    boxes: list[Sandbox], path: str
) -> None:
    """It takes a write for done however much of it was: there is credit for all of it, or for nothing."""
    wasm = (ROOT / "examples" / path).read_bytes()
    setup, suspended, journey = Setup(tree=Tree({}), origin_credit=0), None, Journey(wasm, Setup())
    for box in [*boxes, *boxes]:
        image = await box.compile(wasm, form=Form.SUSPENDABLE)
        running = (
            box.resume(image, suspended, ROOM, setup, program=wasm) if suspended else box.start(image, setup, ROOM)
        )
        async with running as program:
            suspended = await program.suspend()
            assert await rest_of(program) == b""
    image = await boxes[0].compile(wasm, form=Form.SUSPENDABLE)
    async with boxes[0].resume(image, suspended, ROOM, setup, program=wasm) as program:
        await program.send(encode_flow(0, [(0, 1 << 20)]))
        await journey._to_its_end_or(program, 0)
    whole = await Journey(wasm, Setup(tree=Tree({}))).whole(boxes[0])
    assert journey.told.same() == whole.same()
    assert whole.output == TEXTS[path]


async def test_a_program_that_computes_for_ever_goes_on_with_that_wherever_it_is_stopped(boxes: list[Sandbox]) -> None:
    """Of the demo: its limit ends it, with a stop and without."""
    wasm = (ROOT / "examples/demo/busy.wat").read_bytes()
    brief, suspended, stood = Limits(cpu_time=0.5), None, []
    for box in [*boxes, *boxes]:
        image = await box.compile(wasm, form=Form.SUSPENDABLE)
        running = box.resume(image, suspended, brief, program=wasm) if suspended else box.start(image, Setup(), brief)
        async with running as program:
            suspended = await program.suspend()
        stood.append(await boxes[0].frames(suspended, wasm))
    assert all(each == stood[0] for each in stood)
    assert suspended is not None
    for box in boxes:
        image = await box.compile(wasm, form=Form.SUSPENDABLE)
        for running in (box.start(image, Setup(), brief), box.resume(image, suspended, brief, program=wasm)):
            async with running as program:
                assert await program.receive_some() == b""
                assert (await program.wait()).cause is Cause.CPU_TIME


async def test_exceptions_and_tail_calls_go_on_where_they_are(boxes: list[Sandbox]) -> None:
    output = await same_with_stops(boxes, lambda: Journey(THROWS, Setup()), Random("exceptions"))
    assert output == THROWS_SAYS


async def test_an_exception_that_is_alive_is_refused_by_the_name_of_its_function(boxes: list[Sandbox]) -> None:
    for box in boxes:
        image = await box.compile(HOLDS, form=Form.SUSPENDABLE)
        assert image.unsuspendable == ("function 1 (holds): an exception is alive where it may be stopped",)


@pytest.mark.timeout(180)  # the first build compiles Go's library
async def test_a_go_program_that_is_stopped_in_the_middle_of_its_output_gives_the_same(
    boxes: list[Sandbox], go_program: bytes
) -> None:
    """Only natively: the portable engine takes many seconds for its rewritten form."""
    setup = Setup(arguments=("main", "one"), environment={"NAME": "Ada"}, tree=Tree({}))
    output = await same_with_stops(boxes[:1], lambda: Journey(go_program, setup, b"b\nc\na\n"), Random("go"), 2)
    assert output.startswith(b"from a goroutine: 42")


@pytest.mark.timeout(180)  # the first build compiles Go's library
async def test_a_go_program_that_is_stopped_deep_in_calls_gives_the_same(
    boxes: list[Sandbox], go_depths: bytes
) -> None:
    setup = Setup(arguments=("main", "deep", "calls"))
    output = await same_with_stops(boxes[:1], lambda: Journey(go_depths, setup), Random("deep Go"), 2)
    assert output.count(b"down ") == 301


@pytest.mark.timeout(180)  # the first build compiles Go's library
async def test_a_go_program_that_is_stopped_while_it_computes_deep_in_calls_gives_the_same(
    boxes: list[Sandbox], go_depths: bytes
) -> None:
    """One that waits has left its functions, and has only Go's own stack of them."""
    setup = Setup(arguments=("main", "dig"))
    assert await same_from_the_bottom(boxes[:1], lambda: Journey(go_depths, setup), b"bottom\n") > 300


async def test_a_program_that_only_computes_is_stopped_at_once_again_and_again(boxes: list[Sandbox]) -> None:
    """A compressor, wherever it is: its sums at the end are the same."""
    wasm = guest("bench/zlib.wasm")
    whole = await Journey(wasm, Setup()).whole(boxes[0])
    box, suspended, output = boxes[0], None, b""
    image = await box.compile(wasm, form=Form.SUSPENDABLE)
    for _ in range(8):
        running = (
            box.start(image, Setup(), ROOM) if suspended is None else box.resume(image, suspended, ROOM, program=wasm)
        )
        async with running as program:
            suspended = await program.suspend()
            async for batch in program:
                output += b"".join(each.content[PAIR.size :] for each in split_untrusted(batch) if each.domain == DATA)
    assert suspended is not None
    async with box.resume(image, suspended, ROOM, program=wasm) as program:
        async for batch in program:
            output += b"".join(each.content[PAIR.size :] for each in split_untrusted(batch) if each.domain == DATA)
        assert whole.outcome is not None
        assert (output, (await program.wait()).result) == (whole.output, whole.outcome.result)
