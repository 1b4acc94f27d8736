"""The state of a program that had come to its end, in a file: shown, exported, and another function of it is called."""

import json
from pathlib import Path

import pytest
from commands import command, native_is_missing
from stoppedruns import run

from gatebus.cli.statecommand import write_state
from gatebus.keptservices import Kept, encode_kept
from sandbox import Form, Setup, open_sandbox

pytestmark = pytest.mark.skipif(native_is_missing(), reason="the native part is not built")

# Counts its calls in a global and in memory; its start function is no call.
COUNTS = b"""(module
  (memory (export "memory") 1) (global $calls (mut i32) (i32.const 0)) (start $start)
  (func $start (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 100))))
  (func $add (export "add") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 10)))
    (i32.add (global.get $calls) (i32.load (i32.const 8)))))"""
NAMELESS = "It had come to its end. --function NAME calls one of its functions on what it has left."


def gatebus(*words: str) -> tuple[str, ...]:
    line = command()
    return (*line[: line.index("run")], *words)


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """With `it.state` in it, of a program whose `add` was called once."""
    async with open_sandbox("native") as box:
        image = await box.compile(COUNTS, form=Form.SUSPENDABLE)
        async with box.start(image, Setup(function="add", keep=True)) as program:
            while await program.receive_some():
                pass
            assert (await program.wait()).result == 111
            halted = program.halted()
    assert halted is not None
    services = encode_kept(Kept(accepted=True, services=(), output=b"", unsent=b""))
    write_state(str(tmp_path / "it.state"), halted, COUNTS, {"file": "it.wat"}, services)
    return tmp_path


async def test_it_is_shown_without_frames_and_goes_on_with_a_function_that_is_named(folder: Path) -> None:
    shown = run(folder, *gatebus("show", "it.state"))
    assert (shown.code, shown.err) == (0, "")
    assert b"frames    none: it had come to its end; --function NAME calls another one\n" in shown.out
    assert json.loads(run(folder, *gatebus("show", "--json", "it.state")).out)["frames"] == []
    for words in (("it.state",), ("--function", "sub", "it.state")):
        refused = run(folder, *command(*words[:-1], "--resume", words[-1]))
        assert refused.code == 125
        assert (
            NAMELESS if len(words) == 1 else "It has no function sub without parameters. There is: add."
        ) in refused.err
    for _ in range(2):
        called = run(folder, *command("--function", "add", "--resume", "it.state"))
        assert (called.code, called.err) == (122, "")
    refused = run(folder, *command("--backend", "portable", "--function", "add", "--resume", "it.state"))
    assert refused.code == 125
    assert "portable" in refused.err


async def test_its_module_has_what_it_has_left_for_any_runtime(folder: Path) -> None:
    done = run(folder, *gatebus("export", "it.state", "-o", "it.wasm"))
    assert (done.code, done.err) == (
        0,
        "gatebus: exported; it had come to its end; "
        "`gatebus run --function NAME it.wasm`, or any runtime, calls a function of it.\n",
    )
    assert NAMELESS in run(folder, *command("it.wasm")).err
    for options in ((), ("--ignore-state",), ("--ignore-state", "--backend", "portable")):
        called = run(folder, *command(*options, "--function", "add", "it.wasm"))
        assert (called.code, called.err) == (122, "")
