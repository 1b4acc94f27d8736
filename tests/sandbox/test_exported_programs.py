"""A stopped program as one ordinary module: an engine that knows nothing of us (the PyPI package wasmtime) finishes it,
and so does the sandbox, which can stop it again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trio
import wasmtime
from guestworld import guest
from programoutput import rest_of, text_of
from required import require

import sandbox
from sandbox import BadState, CompileLimit, CompileLimits, File, Form, Limits, Setup, Tree
from sandbox.exportfile import state_of_untrusted, with_state
from sandbox.leftbehind import LeftBehind, left_behind_untrusted
from sandbox.packets import encode_data
from sandbox.portable.portable_engine_name import TRANSFORMER
from sandbox.statefile import pieces_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox.suspended import Suspended

pytestmark = pytest.mark.usefixtures("native")

ROOM = Limits(stack=8 << 20, clock_resolution=1)
# Says "go", waits for a byte, and ends with it; what it needs then is in memory, a global, a table and a local.
WAITS = b"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (global $g (mut i32) (i32.const 0)) (table $t 2 funcref) (elem declare func $twice)
  (type $f (func (param i32) (result i32)))
  (data (i32.const 16) "\\20\\00\\00\\00\\02\\00\\00\\00\\28\\00\\00\\00\\01\\00\\00\\00") (data (i32.const 32) "go")
  (func $twice (type $f) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "_start") (local $n i32)
    (drop (memory.grow (i32.const 3)))
    (i32.store8 (i32.const 200000) (i32.const 3)) (global.set $g (i32.const 4)) (local.set $n (i32.const 5))
    (table.set $t (i32.const 1) (ref.func $twice))
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
    (drop (call $read (i32.const 0) (i32.const 24) (i32.const 1) (i32.const 8)))
    (call $exit (i32.add (i32.add (i32.load8_u (i32.const 200000)) (global.get $g))
      (i32.add (call_indirect $t (type $f) (local.get $n) (i32.const 1)) (i32.load8_u (i32.const 40)))))))"""
RESULT = 3 + 4 + 10 + ord("*")


@pytest.fixture
async def box(image_directory: Path) -> AsyncIterator[sandbox.Sandbox]:
    settings = sandbox.Settings(cache_directory=str(image_directory))
    async with sandbox.open_sandbox("native", settings) as made:
        yield made


@pytest.fixture
async def portable(image_directory: Path) -> AsyncIterator[sandbox.Sandbox]:
    require(TRANSFORMER.is_file(), "gatebus-transform is not built: run `make build`")
    settings = sandbox.Settings(cache_directory=str(image_directory))
    async with sandbox.open_sandbox("portable", settings) as made:
        yield made


async def stopped(box: sandbox.Sandbox, module: bytes, setup: Setup, until: bytes, given: bytes = b"") -> Suspended:
    """Where it is once it has written that."""
    image = await box.compile(module, form=Form.SUSPENDABLE)
    assert image.suspendable, image.unsuspendable
    async with box.start(image, setup, ROOM) as program:
        if given:
            await program.send(encode_data(0, 0, given) + encode_data(0, 0, b""))
        text = b""
        while until not in text:
            text += text_of(await program.receive_some())
        suspended = await program.suspend()
        assert text + await rest_of(program) == until
    return suspended


def finish(folder: Path, module: bytes, given: bytes = b"") -> tuple[int, bytes]:
    """By an ordinary engine: exit code and output."""
    (folder / "in").write_bytes(given)
    config = wasmtime.Config()
    config.cranelift_opt_level = "none"  # the quickest to compile
    engine = wasmtime.Engine(config)
    store, linker, world = wasmtime.Store(engine), wasmtime.Linker(engine), wasmtime.WasiConfig()
    world.stdin_file, world.stdout_file = str(folder / "in"), str(folder / "out")
    linker.define_wasi()
    store.set_wasi(world)
    start = linker.instantiate(store, wasmtime.Module(engine, module)).exports(store)["_start"]
    assert isinstance(start, wasmtime.Func)
    code = 0
    try:
        start(store)
    except wasmtime.ExitTrap as end:
        code = end.code
    return code, (folder / "out").read_bytes()


async def test_any_engine_finishes_it_and_the_sandbox_stops_it_again(box: sandbox.Sandbox, tmp_path: Path) -> None:
    suspended = await stopped(box, WAITS, Setup(), b"go")
    module = await box.export(suspended, WAITS)
    assert finish(tmp_path, module, b"*") == (RESULT, b"")
    image = await box.compile(module, form=Form.SUSPENDABLE)
    async with box.start(image, Setup(), ROOM) as program:
        again = await program.suspend()
    twice = await box.export(again, module)
    assert finish(tmp_path, twice, b"*") == (RESULT, b"")
    async with box.start(await box.compile(twice), Setup(), ROOM) as program:
        await program.send(encode_data(0, 0, b"*"))
        await rest_of(program)
        assert (await program.wait()).result == RESULT


async def test_both_back_ends_make_the_same_module(box: sandbox.Sandbox, portable: sandbox.Sandbox) -> None:
    wasm = wasmtime.wat2wasm(WAITS.decode())
    suspended = await stopped(box, bytes(wasm), Setup(), b"go")
    assert await box.export(suspended, bytes(wasm)) == await portable.export(suspended, bytes(wasm))


async def test_with_its_state_beside_it_nothing_is_lost(box: sandbox.Sandbox, tmp_path: Path) -> None:
    setup = Setup(arguments=("it",), tree=Tree({"notes": File(b"kept")}))
    suspended = await stopped(box, WAITS, setup, b"go")
    whole = with_state(await box.export(suspended, WAITS), suspended, WAITS, {}, b"")
    assert finish(tmp_path, whole, b"*") == (RESULT, b"")
    stored = state_of_untrusted(whole)
    assert stored is not None
    assert (stored.program, stored.state) == (WAITS, suspended.state)
    assert stored.pieces == b"".join(pieces_of(suspended))


async def test_what_it_has_outside_of_itself_is_counted(box: sandbox.Sandbox, portable: sandbox.Sandbox) -> None:
    for each in (box, portable):
        assert left_behind_untrusted((await stopped(each, WAITS, Setup(), b"go")).state) == LeftBehind()
        tree = Tree({"a": File(b"1"), "b": File(b"2")})
        suspended = await stopped(each, WAITS, Setup(tree=tree), b"go")
        assert left_behind_untrusted(suspended.state) == LeftBehind(files=2)


async def test_a_state_of_another_program_or_a_broken_one_is_refused(box: sandbox.Sandbox) -> None:
    suspended = await stopped(box, WAITS, Setup(), b"go")
    with pytest.raises(BadState, match="The state is of another program"):
        await box.export(suspended, WAITS + b" ")
    for at in (37, 55, 56):  # length of the entry's name; the site of the innermost frame
        state = suspended.state[:at] + b"\x7f" + suspended.state[at + 1 :]
        with pytest.raises(BadState):
            await box.export(replace(suspended, state=state), WAITS)


FULL = b"""(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 32)
  (data (i32.const 16) "\\20\\00\\00\\00\\02\\00\\00\\00") (data (i32.const 32) "go")
  (func (export "_start") (memory.fill (i32.const 64) (i32.const 1) (i32.const 2000000))
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8))) (loop $l (br $l))))"""


async def test_what_does_not_fit_into_one_module_is_refused_by_name(image_directory: Path) -> None:
    limits = CompileLimits(max_code=1 << 20)
    settings = sandbox.Settings(cache_directory=str(image_directory), compile_limits=limits)
    async with sandbox.open_sandbox("native", settings) as small:
        suspended = await stopped(small, FULL, Setup(), b"go")
        with pytest.raises(CompileLimit, match="its memory is too large for one module"):
            await small.export(suspended, FULL)


SCRIPT = """
let sum = 0;
console.log("go");
for (let i = 0; i < 1000000; i++) sum = (sum * 31 + i) % 1000003;
console.log(sum);
os.setTimeout(() => console.log("later"), 1);
"""


def script_sum() -> int:
    total = 0
    for i in range(1_000_000):
        total = (total * 31 + i) % 1_000_003
    return total


async def test_a_javascript_engine_in_the_middle_of_a_script_is_one_module(
    box: sandbox.Sandbox, tmp_path: Path
) -> None:
    module = guest("qjs.wasm")
    arguments = ("qjs", "--std", "--stack-size", "1024", "-e", SCRIPT)
    suspended = await stopped(box, module, Setup(arguments=arguments), b"go\n")
    exported = await box.export(suspended, module)
    ended = await trio.to_thread.run_sync(finish, tmp_path, exported)
    assert ended == (0, b"%d\nlater\n" % script_sum())


QUERY = b"""select 'go';
with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000)
  select count(*), sum(i * 7 % 13) from n;
"""


async def test_a_database_in_the_middle_of_a_query_is_one_module(box: sandbox.Sandbox, tmp_path: Path) -> None:
    module = guest("tests/wasi_sqlite.wasm")
    setup = Setup(arguments=("sqlite", ":memory:"))
    suspended = await stopped(box, module, setup, b"go\n", QUERY)
    exported = await box.export(suspended, module)
    ended = await trio.to_thread.run_sync(finish, tmp_path, exported)
    assert ended == (0, b"100000|%d\n" % sum(i * 7 % 13 for i in range(1, 100_001)))
