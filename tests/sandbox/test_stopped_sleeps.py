"""Programs in C, Go and JavaScript and a database that are stopped in the middle of a sleep, several times, say what
they say without a stop, and have slept as long as they wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from guestworld import guest
from processes import descendants, stat_fields
from programoutput import rest_of, said
from waiting import until

import sandbox
from sandbox import Form, Limits, Sandbox, Setup, Suspended, Tree
from sandbox.leftbehind import _world_untrusted
from sandbox.packets import encode_data
from sandbox.portable.saved_world import HEAD_LAYOUT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox import Program
    from sandbox.box import Running

ROOM = Limits(stack=8 << 20, cpu_time=60)
SLEEPS = 3
STATEMENTS = b"".join(b"select 'sleep %d'; select 'slept ' || (nap(200) >= 180);" % n for n in range(SLEEPS))
SCRIPT = """
function sleep(n) {
  print("sleep " + n);
  const began = performance.now();
  os.setTimeout(() => {
    print("slept " + Number(performance.now() - began >= 180));
    if (n < 2) sleep(n + 1);
  }, 200);
}
sleep(0);
"""


class Sleeper(NamedTuple):
    """One that says before each of three sleeps which one it is, and then whether it was as long as it should."""

    wasm: bytes
    setup: Setup = Setup(arguments=("depths", "sleep"))
    feed: bytes = b""
    yes: bytes = b"1"
    result: int = 5

    def says(self) -> bytes:
        return b"".join(b"sleep %d\nslept %b\n" % (number, self.yes) for number in range(SLEEPS))


class Run(NamedTuple):
    """Of a sleeper. `asleep`: how often it was stopped in a sleep."""

    text: bytes
    result: int | None
    asleep: int = 0


@pytest.fixture
async def boxes(native: None, image_directory: Path) -> AsyncIterator[list[Sandbox]]:
    settings = sandbox.Settings(cache_directory=str(image_directory))
    async with sandbox.open_sandbox("native", settings) as first, sandbox.open_sandbox("portable", settings) as second:
        yield [first, second]


def computes(pid: int) -> bool:
    try:
        return stat_fields(pid)[0] == "R"
    except (OSError, IndexError):
        return False  # it has just ended


def nobody_computes() -> bool:
    """A program that has said that it sleeps, and no more computes, sleeps."""
    return not any(map(computes, descendants()))


def waits(suspended: Suspended) -> bool:
    """It was stopped in a wait: its state says since when."""
    _version, _personality, _zero, _clock, since, *_log = HEAD_LAYOUT.unpack_from(_world_untrusted(suspended.state))
    return since > 0


async def whole(box: Sandbox, sleeper: Sleeper) -> Run:
    """Without a stop."""
    async with await begun(box, sleeper) as program:
        await feed(program, sleeper)
        return Run(await rest_of(program), (await program.wait()).result)


async def begun(box: Sandbox, sleeper: Sleeper) -> Running:
    return box.start(await box.compile(sleeper.wasm, form=Form.SUSPENDABLE), sleeper.setup, ROOM)


async def feed(program: Program, sleeper: Sleeper) -> None:
    if sleeper.feed:
        await program.send(encode_data(0, 0, sleeper.feed) + encode_data(0, 0, b""))


async def with_stops(boxes: list[Sandbox], sleeper: Sleeper) -> Run:
    """Two in each sleep but the last: as soon as it sleeps, and at once when it has gone on."""
    text, asleep, suspended = b"", 0, None
    for number in range(SLEEPS - 1):
        for box, awaited in ((boxes[0], b"sleep %d\n" % number), (boxes[-1], b"")):
            async with await gone_on(box, sleeper, suspended) as program:
                if suspended is None:
                    await feed(program, sleeper)
                while awaited not in text:
                    text += await said(program)
                if awaited:
                    await until(nobody_computes)
                suspended = await program.suspend()
                text += await rest_of(program)
            asleep += waits(suspended)
    async with await gone_on(boxes[0], sleeper, suspended) as program:
        return Run(text + await rest_of(program), (await program.wait()).result, asleep)


async def gone_on(box: Sandbox, sleeper: Sleeper, suspended: Suspended | None) -> Running:
    if suspended is None:
        return await begun(box, sleeper)
    image = await box.compile(sleeper.wasm, form=Form.SUSPENDABLE)
    return box.resume(image, suspended, ROOM, program=sleeper.wasm)


async def is_the_same_with_stops(boxes: list[Sandbox], sleeper: Sleeper) -> None:
    unstopped = await whole(boxes[0], sleeper)
    assert unstopped == Run(sleeper.says(), sleeper.result)
    stopped = await with_stops(boxes, sleeper)
    assert stopped._replace(asleep=0) == unstopped
    assert stopped.asleep >= 2  # of 4: a machine with far more to do than processors may be late for one sleep


async def test_a_c_program_that_is_stopped_in_a_sleep_says_the_same(boxes: list[Sandbox]) -> None:
    await is_the_same_with_stops(boxes, Sleeper(guest("tests/wasi_depths.wasm")))


# The portable engine takes many seconds for the rewritten form of large programs.


@pytest.mark.timeout(180)  # the first build compiles Go's library
async def test_a_go_program_that_is_stopped_in_a_sleep_says_the_same(boxes: list[Sandbox], go_depths: bytes) -> None:
    await is_the_same_with_stops(boxes[:1], Sleeper(go_depths, yes=b"true"))


async def test_a_script_that_is_stopped_before_a_timer_says_the_same(boxes: list[Sandbox]) -> None:
    setup = Setup(arguments=("qjs", "--std", "--stack-size", "1024", "-e", SCRIPT))
    await is_the_same_with_stops(boxes[:1], Sleeper(guest("qjs.wasm"), setup, result=0))


async def test_a_database_that_is_stopped_while_it_sleeps_in_a_statement_says_the_same(boxes: list[Sandbox]) -> None:
    setup = Setup(arguments=("sqlite", "/new.db"), tree=Tree({}))
    sleeper = Sleeper(guest("tests/wasi_sqlite.wasm"), setup, STATEMENTS, result=0)
    await is_the_same_with_stops(boxes[:1], sleeper)
