"""`gatebus show MODULE`: whether it can be stopped, and what is in the way."""

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest
from commands import command, native_is_missing
from stoppedruns import WAITS, run, stop

pytestmark = pytest.mark.skipif(native_is_missing(), reason="the native part is not built")

# $keeps has an exception in hand where the host may stop it.
KEEPS = """(module (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32))) (tag $t) (memory 2)
  (func $keeps (export "_start") (local $e exnref)
    (block $caught (result exnref) (try_table (catch_all_ref $caught) (throw $t)) (unreachable))
    (local.set $e) (drop (call $yield)) (throw_ref (local.get $e))))"""


def show(folder: Path, *words: str) -> tuple[int, str, str]:
    line = command()
    done = run(folder, *line[: line.index("run")], "show", *words)
    return done.code, done.out.decode(), done.err


def test_a_module_that_can_be_stopped_anywhere_says_so(tmp_path: Path) -> None:
    (tmp_path / "it.wat").write_text(WAITS)
    code, told, wrong = show(tmp_path, "it.wat")
    assert (code, wrong) == (0, "")
    first, *rest = told.splitlines()
    assert first == f"program   {sha256(WAITS.encode()).hexdigest()}  it.wat"
    assert rest[:3] == ["speaks    WASI", "enters    _start", "stops     anywhere"]
    assert f"{len(WAITS.encode()):>10}  module" in told


def test_what_is_in_the_way_is_told_by_function_and_reason(tmp_path: Path) -> None:
    (tmp_path / "keeps.wat").write_text(KEEPS)
    code, told, _ = show(tmp_path, "keeps.wat")
    assert code == 0
    assert (
        "stops     nowhere, because of\n  function 1 (keeps): an exception is alive where it may be stopped\n" in told
    )
    as_json = json.loads(show(tmp_path, "--json", "keeps.wat")[1])
    assert as_json["suspendable"] is False
    assert as_json["unsuspendable"] == ["function 1 (keeps): an exception is alive where it may be stopped"]
    assert as_json["size"]["memory"] == 2 * 65_536


def test_an_exported_program_is_shown_as_the_stopped_one_that_it_is(tmp_path: Path) -> None:
    (tmp_path / "it.wat").write_text(WAITS)
    reader, writer = os.pipe()
    stop(tmp_path, reader, "it.wat")
    os.close(reader)
    os.close(writer)
    line = command()
    run(tmp_path, *line[: line.index("run")], "export", "it.state", "-o", "it.wasm")
    of_module, of_state = (json.loads(show(tmp_path, "--json", file)[1]) for file in ("it.wasm", "it.state"))
    assert of_module["frames"] == of_state["frames"] != []
    assert of_module["memory"] == of_state["memory"]


def test_what_is_no_module_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "no.wat").write_text("(modul)")
    code, told, wrong = show(tmp_path, "no.wat")
    assert (code, told) == (125, "")
    assert wrong.startswith("gatebus: no.wat: malformed text: ")
    assert len(wrong.splitlines()) == 1
