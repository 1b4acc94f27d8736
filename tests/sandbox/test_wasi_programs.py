"""Ordinary WASI programs on both back-ends: C programs that check themselves, and large ones that others wrote."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from guestworld import Around, Caller, guest, run_guest

from sandbox import (
    Cause,
    CompileLimits,
    Directory,
    File,
    Limits,
    Outcome,
    Sandbox,
    Settings,
    Setup,
    State,
    Tree,
    open_sandbox,
)

if TYPE_CHECKING:
    from sandbox.box import BackendName

ROOT = Path(__file__).parent.parent.parent
# The interpreter: enough stack for recursive scripts.
QJS = ("qjs", "--std", "--stack-size", "1024")
LARGE_STACK = Limits(stack=8 << 20, clock_resolution=1)


def ended(outcome: Outcome, code: int = 0) -> bool:
    state = State.HALTED if code == 0 and outcome.state is State.HALTED else State.TERMINATED
    return (outcome.state, outcome.cause, outcome.result) == (state, Cause.NORMAL, code)


async def test_files_behave_as_posix_says(box: Sandbox) -> None:
    run = await run_guest(box, guest("tests/wasi_files.wasm"))
    assert run.output == b"PASS\n"
    assert ended(run.outcome)


async def test_clocks_sleep_poll_and_randomness_work(box: Sandbox) -> None:
    run = await run_guest(box, guest("tests/wasi_clocks.wasm"))
    assert run.output == b"PASS\n"
    assert ended(run.outcome)


@pytest.mark.parametrize("code", [0, 1, 77, 255])
async def test_arguments_environment_input_and_exit_code_go_through(box: Sandbox, code: int) -> None:
    setup = Setup(arguments=("world", "", "two words", "ä"), environment={"EXIT": str(code), "EMPTY": ""})
    run = await run_guest(box, guest("tests/wasi_world.wasm"), setup, Around([Caller(b"x" * 5000)]))
    lines = run.output.decode().splitlines()
    assert lines[:4] == ["argument 0: <world>", "argument 1: <>", "argument 2: <two words>", "argument 3: <ä>"]
    assert sorted(lines[4:6]) == ["variable: <EMPTY=>", f"variable: <EXIT={code}>"]
    assert lines[6:] == ["input: 5000 bytes"]
    assert run.log == b"to standard error\n"
    assert ended(run.outcome, code)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 1_000_000])
async def test_bytes_go_through_a_program_in_order(box: Sandbox, size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    run = await run_guest(box, guest("tests/wasi_streams.wasm"), None, Around([Caller(data[:size])]))
    assert run.output == data[:size]
    assert ended(run.outcome)


async def test_a_program_may_read_everything_before_it_writes(box: Sandbox) -> None:
    data = bytes(range(250)) * 2000
    setup = Setup(arguments=("streams", "reverse"))
    run = await run_guest(box, guest("tests/wasi_streams.wasm"), setup, Around([Caller(data)]))
    assert run.output == data[::-1]


async def test_an_interpreter_runs_scripts_from_its_files(box: Sandbox) -> None:
    tree = Tree({"hello.js": File((ROOT / "examples/js/hello.js").read_bytes())})
    setup = Setup(arguments=(*QJS, "/hello.js", "Ada"), tree=tree)
    run = await run_guest(box, guest("qjs.wasm"), setup, Around(limits=LARGE_STACK))
    assert run.output == (ROOT / "examples/js/expected.txt").read_bytes()
    assert ended(run.outcome)


async def test_an_interpreter_reads_and_leaves_files(box: Sandbox) -> None:
    tree = Tree({"data": Directory(), "files.js": File((ROOT / "examples/js/files.js").read_bytes())})
    run = await run_guest(box, guest("qjs.wasm"), Setup(arguments=(*QJS, "/files.js"), tree=tree))
    assert run.output == (
        b"files here: data files.js\n"
        b"read back: written by JavaScript\n"
        b"no password file: the host's files do not exist here\n"
    )
    left = run.tree
    assert left is not None
    assert isinstance(left["note.txt"], File)
    assert left["note.txt"].content == b"written by JavaScript\n"


async def test_endless_recursion_of_a_script_is_an_error_of_the_script(box: Sandbox) -> None:
    script = "let depth = 0; try { (function f() { depth++; f() })() } catch (e) { print(e.name, depth > 100) }"
    for arguments, limits in ((("qjs",), Limits()), (QJS, LARGE_STACK)):
        setup = Setup(arguments=(*arguments, "-e", script))
        run = await run_guest(box, guest("qjs.wasm"), setup, Around(limits=limits))
        assert run.output == b"RangeError true\n"


async def test_an_error_of_a_script_is_its_exit_code(box: Sandbox) -> None:
    run = await run_guest(box, guest("qjs.wasm"), Setup(arguments=(*QJS, "-e", "throw new Error('no')")))
    assert b"Error: no" in run.log
    assert ended(run.outcome, 1)


def database(script: str) -> bytes:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(script)
        return connection.serialize()


def rows(content: bytes, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(content)
        return connection.execute(query).fetchall()


async def test_a_database_is_read_changed_and_left_behind(box: Sandbox) -> None:
    people = database("create table people(name, born); insert into people values ('Ada', 1815)")
    tree = Tree({"people.db": File(people)})
    statements = b"""
        insert into people values ('Grace', 1906);
        create index by_birth on people(born);
        with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
            insert into people select 'number ' || i, 2000 + i from n;
        select name, born from people order by born limit 2;
        select count(*), sum(born) from people;
    """
    setup = Setup(arguments=("sqlite", "/people.db"), tree=tree)
    run = await run_guest(box, guest("tests/wasi_sqlite.wasm"), setup, Around([Caller(statements)]))
    assert run.output == b"Ada|1815\nGrace|1906\n5002|22506221\n"
    assert run.tree is not None
    left = run.tree["people.db"]
    assert isinstance(left, File)
    assert rows(left.content, "select max(born), count(*) from people") == [(7000, 5002)]
    assert rows(left.content, "pragma integrity_check") == [("ok",)]


async def test_an_error_of_a_statement_is_told(box: Sandbox) -> None:
    setup = Setup(arguments=("sqlite", "/new.db"), tree=Tree({}))
    run = await run_guest(box, guest("tests/wasi_sqlite.wasm"), setup, Around([Caller(b"select * from absent;")]))
    assert run.log == b"no such table: absent\n"
    assert ended(run.outcome, 1)


# Go's functions are large state machines: the checks of time that the portable back-end compiles into every loop make
# its compiler need 1.2 GB of address space there; natively the default is enough.
GO_COMPILES_WITHIN = {"native": CompileLimits(), "portable": CompileLimits(memory=2 << 30)}


@pytest.mark.timeout(180)  # the first build compiles Go's library
async def test_a_go_program_with_goroutines_and_files_runs(backend: BackendName, go_program: bytes) -> None:
    setup = Setup(arguments=("main", "one", "two"), environment={"NAME": "Ada"}, tree=Tree({}))
    settings = Settings(cache_directory="", compile_limits=GO_COMPILES_WITHIN[backend])
    async with open_sandbox(backend, settings) as box:
        run = await run_guest(box, go_program, setup, Around([Caller(b"b\nc\na\n")]))
    assert run.output == b"from a goroutine: 42 true\n[a b c] [one two] Ada\n"
    assert run.tree is not None
    assert isinstance(run.tree["out.txt"], File)
    assert run.tree["out.txt"].content == b"left by Go\n"
    assert ended(run.outcome, 3)
