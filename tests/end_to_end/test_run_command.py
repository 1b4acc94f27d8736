"""`gatebus run` as a process, over both back-ends: what a person types, sees and gets as exit code."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import command_programs as programs
import pytest
from commands import ROOT, Ended, command, native_is_missing
from waiting import PATIENCE

Run = Callable[..., Ended]


NATIVE = pytest.param("native", marks=pytest.mark.skipif(native_is_missing(), reason="the native part is not built"))


@pytest.fixture(params=[NATIVE, "portable"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """No configuration and no guests of whoever runs the tests; the cache of compiled programs may stay."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(tmp_path / "config")}


@pytest.fixture
def run(backend: str, tmp_path: Path, surroundings: dict[str, str]) -> Run:
    def run(source: str, *arguments: str, options: tuple[str, ...] = (), stdin: bytes = b"") -> Ended:
        (tmp_path / "it.wat").write_text(source)
        line = command("--backend", backend, *options, "it.wat", *arguments)
        done = subprocess.run(
            line, input=stdin, capture_output=True, check=False, cwd=tmp_path, env=surroundings, timeout=PATIENCE
        )
        return Ended(done.returncode, done.stdout, done.stderr.decode())

    return run


def start(backend: str, source: str, folder: Path, *options: str, **pipes: int) -> "subprocess.Popen[bytes]":
    (folder / "it.wat").write_text(source)
    line = command("--backend", backend, *options, "it.wat")
    return subprocess.Popen(line, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, **pipes)


def test_a_program_says_hello(run: Run) -> None:
    assert run(programs.HELLO) == Ended(0, b"hello, world\n", "")


@pytest.mark.parametrize(("result", "code"), [(0, 0), (1, 1), (42, 42), (255, 255), (300, 255)])
def test_the_programs_exit_code_is_ours(run: Run, result: int, code: int) -> None:
    assert run(programs.exit_with(result)) == Ended(code, b"", "")


def test_stdout_and_stderr_are_kept_apart(run: Run) -> None:
    assert run(programs.COMPLAIN) == Ended(0, b"to stdout\n", "to stderr\n")


def test_stdin_arrives_whole_and_binary(run: Run) -> None:
    data = bytes(range(256)) * 4096
    assert run(programs.CAT, stdin=data) == Ended(0, data, "")


def test_an_empty_stdin_is_the_end_of_file(run: Run) -> None:
    assert run(programs.CAT, stdin=b"") == Ended(0, b"", "")


def test_a_program_that_does_not_read_all_of_its_input_ends_all_the_same(run: Run) -> None:
    assert run(programs.FIVE, stdin=bytes(3_000_000)) == Ended(0, bytes(5), "")


def test_endless_input_is_read_only_as_the_program_wants_it(backend: str, tmp_path: Path) -> None:
    with open("/dev/zero", "rb") as zeros:
        process = start(backend, programs.FIVE, tmp_path, stdin=zeros.fileno(), stdout=subprocess.PIPE)
        assert process.communicate(timeout=PATIENCE)[0] == bytes(5)


def test_arguments_are_the_programs_options_too(run: Run) -> None:
    ended = run(programs.ARGUMENTS, "--usage", "a b", "", "ä", "--")
    assert ended == Ended(0, "it.wat\0--usage\0a b\0\0ä\0--\0".encode(), "")


def test_the_environment_is_only_what_was_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(programs.ENVIRONMENT, options=("--env", "A=1", "--env", "B=x=y")) == Ended(0, b"A=1\0B=x=y\0", "")
    assert run(programs.ENVIRONMENT) == Ended(0, b"", "")


def test_another_function_can_be_called(run: Run) -> None:
    assert run(programs.HELLO, options=("--function", "other")) == Ended(0, b"world\n", "")


def test_a_function_that_is_not_there_is_answered_with_those_that_are(run: Run) -> None:
    ended = run(programs.HELLO, options=("--function", "main"))
    assert ended.code == 125
    assert ended.err.startswith("gatebus: it.wat: It has no function main without parameters. There is: ")
    assert "other" in ended.err


def test_a_program_without_a_beginning_is_answered_with_its_functions(run: Run) -> None:
    library = '(module (func (export "a")) (func (export "b")) (func (export "with_parameter") (param i32)))'
    said = "gatebus: it.wat: Nothing ran: it exports no _start. --function NAME calls one of: a, b.\n"
    assert run(library) == Ended(125, b"", said)
    assert run(library, options=("--function", "b")) == Ended(0, b"", "")
    said = "gatebus: it.wat: Nothing ran: it exports no _start. Build it as a command, not as a library.\n"
    assert run("(module)") == Ended(125, b"", said)


def test_a_start_section_is_a_beginning(run: Run) -> None:
    assert run("(module (func $it) (start $it))") == Ended(0, b"", "")


def test_a_programs_names_cannot_write_on_the_terminal(run: Run) -> None:
    ended = run(programs.RUDE, options=("--function", "main"))
    assert (ended.code, "rude" in ended.err, ended.err.removesuffix("\n").isprintable()) == (125, True, True)


def test_the_hosts_files_are_not_there(run: Run) -> None:
    no_entry = 44
    assert run(programs.INTRUDER).code == no_entry


def test_a_directory_is_copied_in_and_what_was_left_is_copied_out(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "a.txt").write_text("from the host")
    ended = run(programs.MAKER, options=("--dir", "data::in", "--out", "left"))
    assert ended == Ended(0, b"", "")
    assert (tmp_path / "left" / "made").read_text() == "inside"
    assert (tmp_path / "left" / "in" / "deep" / "a.txt").read_text() == "from the host"
    assert sorted(each.name for each in (tmp_path / "data").iterdir()) == ["deep"]


def test_a_tree_deeper_than_the_host_takes_costs_its_end_and_not_the_program(run: Run, tmp_path: Path) -> None:
    assert (run(programs.DEEP, options=("--out", "left")).code, len([*tmp_path.glob("left/**/a")])) == (0, 256)


def test_out_never_overwrites(run: Run, tmp_path: Path) -> None:
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "mine").write_text("precious")
    ended = run(programs.MAKER, options=("--out", "left"))
    problem = "--out left: it is there already. Name a new or an empty directory."
    assert ended == Ended(125, b"", f"gatebus: it.wat: {problem}\n")


def test_a_directory_that_is_not_there(run: Run) -> None:
    ended = run(programs.HELLO, options=("--dir", "nowhere"))
    assert ended == Ended(125, b"", "gatebus: it.wat: --dir nowhere: there is no such directory.\n")


@pytest.mark.parametrize(
    ("source", "options", "line"),
    [
        (programs.LOOP, ("--wall-time", "1s"), "ran longer than its wall time"),
        (programs.LOOP, ("--cpu-time", "1s"), "used up its CPU time"),
        (programs.TRAP, (), "executed `unreachable`"),
        (programs.RECURSE, (), "call stack is exhausted"),
        (programs.GATE_VIOLATION, (), "A packet is for service number 7; 1 were discovered."),
    ],
)
def test_a_killed_program_is_126_and_one_line_says_why_and_what_to_do(
    run: Run, source: str, options: tuple[str, ...], line: str
) -> None:
    ended = run(source, options=options)
    assert (ended.code, ended.out) == (126, b"")
    assert ended.err.startswith("gatebus: it.wat was killed: ")
    assert line in ended.err
    assert ended.err.count("\n") == 1
    assert "try --" in ended.err.lower() or "Tell its author." in ended.err


def test_a_program_that_needs_more_memory_than_it_may_have(run: Run) -> None:
    ended = run(programs.GREEDY)
    assert ended.code in (125, 126)
    assert "memory" in ended.err
    assert ended.err.count("\n") == 1
    assert run(programs.GREEDY, options=("--memory", "256MiB")).code == 0


def test_a_program_with_threads_is_refused_by_name(run: Run) -> None:
    ended = run(programs.THREADS)
    assert ended.code == 125
    assert "thread" in ended.err
    assert ended.err.count("\n") == 1


def test_what_is_no_program_is_refused(run: Run) -> None:
    ended = run("this is no program")
    assert ended.code == 125
    assert ended.err.startswith("gatebus: it.wat: ")
    assert ended.err.count("\n") == 1


def test_a_gate_program_talks_to_the_terminal_as_its_origin(run: Run) -> None:
    assert run(programs.GATE_HELLO) == Ended(0, b"gate\n", "")


def test_the_costs_are_told_when_asked(run: Run) -> None:
    ended = run(programs.HELLO, options=("--usage",))
    assert ended.code == 0
    assert [line.split("  ")[0].strip() for line in ended.err.splitlines()][:3] == ["CPU time", "wall time", "memory"]


def test_the_result_is_told_as_json_when_asked(run: Run, backend: str) -> None:
    said = json.loads(run(programs.exit_with(3), options=("--json",)).err)
    assert (said["exit"], said["state"], said["result"], said["backend"]) == (3, "TERMINATED", 3, backend)
    said = json.loads(run(programs.TRAP, options=("--json",)).err)
    assert (said["exit"], said["state"], said["cause"], said["error"]) == (126, "KILLED", "UNREACHABLE", "unreachable")
    assert said["usage"]["cpu_user"] >= 0


def test_a_reader_that_goes_away_ends_the_program_without_a_word(backend: str, tmp_path: Path) -> None:
    process = start(backend, programs.YES, tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(100_000) == bytes(100_000)
    process.stdout.close()
    assert process.wait(PATIENCE) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


# Says something first, so that a test knows that it runs.
BUSY = programs.program("""
  (data (i32.const 1024) "running\\n")
  (func (export "_start")
    (call $write (i32.const 1) (i32.const 1024) (i32.const 8))
    (loop $for_ever (br $for_ever)))""")
IDLE = programs.CAT.replace(
    '(func (export "_start") (local $left i32) (local $at i32)',
    """
  (data (i32.const 1024) "running\\n")
  (func (export "_start") (local $left i32) (local $at i32)
    (call $write (i32.const 1) (i32.const 1024) (i32.const 8))""",
)


@pytest.mark.parametrize("source", [BUSY, IDLE], ids=["busy", "waiting for input"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_ends_everything_at_once(
    backend: str, tmp_path: Path, source: str, number: signal.Signals, code: int
) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start(backend, source, tmp_path, **pipes)
    assert process.stdout is not None
    assert process.stdout.readline() == b"running\n"
    process.send_signal(number)
    assert process.wait(PATIENCE) == code
    out, err = process.communicate()
    assert (out, err) == (b"", b"")


def test_a_signal_ends_a_program_whose_output_nobody_takes(backend: str, tmp_path: Path) -> None:
    process = start(backend, programs.YES, tmp_path, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    process.stdout.close()


def test_a_full_disk_is_told(backend: str, tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        process = start(backend, programs.HELLO, tmp_path, stdout=full.fileno(), stderr=subprocess.PIPE)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 125
    assert err == b"gatebus: it.wat: Its output cannot be written: no space left on device.\n"


def test_closed_descriptors_are_an_empty_input_and_a_void(backend: str, tmp_path: Path) -> None:
    (tmp_path / "it.wat").write_text(programs.CAT)
    line = [sys.executable, "-c", CLOSED, *command("--backend", backend, "it.wat")]
    done = subprocess.run(
        line, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0


CLOSED = "import os, sys; os.closerange(0, 3); os.execv(sys.argv[1], sys.argv[1:])"


def typed(backend: str, folder: Path, keys: bytes, *options: str) -> tuple[int, bytes]:
    """The command on a terminal: what is shown, after the program has said that it runs and the keys were typed."""
    (folder / "it.wat").write_text(IDLE)
    child, screen = pty.fork()
    if child == 0:
        os.chdir(folder)
        line = command("--backend", backend, *options, "it.wat")
        os.execve(sys.executable, line, {**os.environ, "PYTHONPATH": str(ROOT)})
    shown = b""
    while b"running" not in shown:
        shown += os.read(screen, 1000)
    os.write(screen, keys)
    try:
        while piece := os.read(screen, 1000):
            shown += piece
    except OSError:  # Linux says EIO when the other side of a terminal has gone
        pass
    os.close(screen)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown


def test_on_a_terminal_one_types_lines_and_ends_with_control_d(backend: str, tmp_path: Path) -> None:
    code, shown = typed(backend, tmp_path, b"some words\n\x04")
    assert code == 0
    assert shown.count(b"some words") == 2  # echoed by the terminal, and sent back by the program


def test_on_a_terminal_control_c_ends_the_program(backend: str, tmp_path: Path) -> None:
    code, shown = typed(backend, tmp_path, b"\x03")
    assert code == 130
    assert b"Traceback" not in shown


def test_a_program_knows_whether_its_output_is_a_terminal(run: Run, backend: str, tmp_path: Path) -> None:
    assert run(programs.KIND_OF_OUTPUT).code == 0
    (tmp_path / "it.wat").write_text(programs.KIND_OF_OUTPUT)
    shown, ours = pty.openpty()
    line = command("--backend", backend, "it.wat")
    process = subprocess.run(line, cwd=tmp_path, stdout=ours, stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False)
    os.close(shown)
    os.close(ours)
    assert process.returncode == 2


def test_on_a_terminal_nobody_is_cut_off_unless_a_wall_time_is_named(tmp_path: Path) -> None:
    _, shown = typed("portable", tmp_path, b"\x04", "--usage")
    assert b" of none" in shown
    _, shown = typed("portable", tmp_path, b"\x04", "--usage", "--wall-time", "50s")
    assert b" of 50s" in shown
