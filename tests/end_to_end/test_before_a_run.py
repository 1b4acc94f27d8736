"""`gatebus run` where nothing runs: what was typed, named or configured wrongly, and what the command itself costs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import command_programs as programs
import pytest
from commands import ROOT, Ended, command, native_is_missing, ours
from waiting import PATIENCE


def test_a_file_that_is_not_there_is_127(tmp_path: Path) -> None:
    assert ours("no.wasm", folder=tmp_path) == Ended(
        127, b"", "gatebus: no.wasm: there is no such file. Check the name.\n"
    )


def test_a_directory_is_no_program(tmp_path: Path) -> None:
    assert ours(".", folder=tmp_path) == Ended(125, b"", "gatebus: .: It cannot be read: is a directory.\n")


def test_a_wrong_option_is_125(tmp_path: Path) -> None:
    ended = ours("--memory", "much", "x", folder=tmp_path)
    assert ended == Ended(125, b"", "gatebus: --memory much: A size is written like 64MiB, 512KiB or 4096.\n")


def test_a_missing_interpreter_is_125_with_the_command_that_makes_it(tmp_path: Path) -> None:
    (tmp_path / "hello.js").write_text("print('hello')")
    ended = ours("hello.js", folder=tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))
    line = "gatebus: hello.js: The module that runs .js files is missing; make it once: make -C examples/js.\n"
    assert ended == Ended(125, b"", line)


def test_a_script_of_which_nothing_is_there_is_127(tmp_path: Path) -> None:
    assert ours("hello.js", folder=tmp_path).code == 127


def test_the_owners_table_says_what_runs_a_file(tmp_path: Path) -> None:
    (tmp_path / "printer.wat").write_text(programs.ARGUMENTS)
    (tmp_path / "poem.txt").write_text("roses")
    (tmp_path / "table.toml").write_text(
        '[run.".txt"]\nmodule = "printer.wat"\narguments = ["p", "/{file}", "{arguments}"]'
    )
    ended = ours("--backend", "portable", "--config", "table.toml", "poem.txt", "1", "2", folder=tmp_path)
    assert ended == Ended(0, b"p\0/poem.txt\0001\0002\0", "")


def test_a_script_that_no_module_is_named_for(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text("print('hello')")
    why = "It is no WebAssembly module, and the configuration has no module for .py files."
    line = f"gatebus: it.py: {why} Build it for wasm32-wasip1, or name what runs it (README).\n"
    assert ours("it.py", folder=tmp_path) == Ended(125, b"", line)


def test_a_broken_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "table.toml").write_text("[run")
    ended = ours("--config", "table.toml", "x.wasm", folder=tmp_path)
    assert ended.code == 125
    assert ended.err.startswith("gatebus: x.wasm: The configuration is no TOML: ")
    assert ours("--config", "none.toml", "x.wasm", folder=tmp_path).err == (
        "gatebus: x.wasm: The configuration none.toml cannot be read: no such file or directory.\n"
    )


def test_help_costs_no_event_loop(tmp_path: Path) -> None:
    line = [sys.executable, "-X", "importtime", "-m", "gatebus", "--help"]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, capture_output=True, check=False, cwd=tmp_path, env=surroundings, timeout=PATIENCE)
    assert done.stdout.startswith(b"usage: gatebus COMMAND")
    assert b"trio" not in done.stderr


def test_a_wrong_line_is_answered_in_json_when_that_is_asked_for(tmp_path: Path) -> None:
    ended = ours("--json", "--memory", "much", "x", folder=tmp_path)
    said = json.loads(ended.err)
    assert (ended.code, ended.out) == (125, b"")
    assert (said["exit"], said["error"], said["file"]) == (125, "usage", None)
    assert said["text"] == "--memory much: A size is written like 64MiB, 512KiB or 4096."


def test_control_c_while_the_command_imports_is_no_traceback(tmp_path: Path) -> None:
    pressed = (
        "import signal, gatebus.__main__ as it\n"
        "it.import_module = lambda name: signal.raise_signal(signal.SIGINT)\n"
        "it.main(['run', 'x.wasm'])"
    )
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", pressed], capture_output=True, check=False, env=surroundings, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


def test_whoever_ignores_control_c_still_does_so_afterwards() -> None:
    ignoring = (
        "import signal, gatebus.__main__ as it\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "it.import_module = lambda name: signal.raise_signal(signal.SIGINT)\n"
        "it.quickly_imported('x')\n"
        "print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    )
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", ignoring]
    done = subprocess.run(line, capture_output=True, check=False, env=surroundings, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"True\n", b"")


def test_a_program_may_come_through_stdin(tmp_path: Path) -> None:
    ended = ours("--backend", "portable", "-", "a", folder=tmp_path, stdin=programs.ARGUMENTS.encode())
    assert ended == Ended(0, b"-\0a\0", "")


def test_a_program_of_another_machine_is_called_by_its_kind(tmp_path: Path) -> None:
    (tmp_path / "it.wasm").write_bytes(b"\x7fELF\x02\x01\x01")
    line = "gatebus: it.wasm: It is no WebAssembly module but a program or library for Linux itself (ELF). "
    assert ours("it.wasm", folder=tmp_path) == Ended(125, b"", f"{line}Build its source for wasm32-wasip1.\n")


@pytest.mark.skipif(native_is_missing(), reason="the native part is not built")
@pytest.mark.parametrize(
    ("limit", "named"),
    [("-n 64", "open files 64 (ulimit -n)"), ("-v 4000000", "address space 3.8 GiB (ulimit -v)")],
)
def test_a_limit_of_the_shell_is_named_where_the_sandbox_fails(tmp_path: Path, limit: str, named: str) -> None:
    (tmp_path / "it.wat").write_text(programs.HELLO)
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    line = ["sh", "-c", f'ulimit {limit}; exec "$@"', "sh", *command("it.wat")]
    done = subprocess.run(line, cwd=tmp_path, env=surroundings, capture_output=True, check=False, timeout=PATIENCE)
    assert done.returncode == 125
    assert done.stderr.decode().endswith(f" Your shell allows little: {named}. Raise that and try again.\n")
