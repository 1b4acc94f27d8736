"""`gatebus run --suspend-after`, `--resume` and `gatebus show`: a program is stopped, shown, and goes on elsewhere."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import command_programs as programs
import pytest
from commands import ROOT, Ended, command, native_is_missing
from waiting import PATIENCE

pytestmark = pytest.mark.skipif(native_is_missing(), reason="the native part is not built")

# Says "before", waits for a line of input wherever it is stopped, and says it again.
WAITS = programs.program("""
  (data (i32.const 1024) "before\\n")
  (func $ask (result i32)
    (i32.store (i32.const 0) (i32.const 2048)) (i32.store (i32.const 4) (i32.const 100))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.load (i32.const 8)))
  (func (export "_start")
    (call $write (i32.const 1) (i32.const 1024) (i32.const 7))
    (call $write (i32.const 1) (i32.const 2048) (call $ask))
    (call $proc_exit (i32.const 7)))""")


def run(folder: Path, *words: str, stdin: int | None = None, text: bytes = b"") -> Ended:
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(folder / "config")}
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE if stdin is None else stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=surroundings,
    ) as process:
        out, err = process.communicate(text if stdin is None else None, timeout=PATIENCE)
    return Ended(process.returncode, out, err.decode())


@pytest.fixture
def open_input() -> Iterator[int]:
    """Nobody writes, and it does not end."""
    reader, writer = os.pipe()
    yield reader
    os.close(reader)
    os.close(writer)


def stop(folder: Path, open_input: int, *what: str, state: str = "it.state") -> Ended:
    return run(folder, *command("--suspend-after", "1ms", "--state", state, *what), stdin=open_input)


def test_a_program_is_stopped_twice_and_one_state_goes_on_twice(tmp_path: Path, open_input: int) -> None:
    (tmp_path / "it.wat").write_text(WAITS)
    first = stop(tmp_path, open_input, "it.wat")
    assert (first.code, first.err) == (0, "gatebus: stopped; `gatebus run --resume it.state` goes on.\n")
    assert (tmp_path / "it.state").stat().st_mode & 0o777 == 0o600
    second = stop(tmp_path, open_input, "--resume", "it.state", state="again.state")
    assert second.code == 0
    for line in (b"one\n", b"two\n"):
        gone_on = run(tmp_path, *command("--resume", "again.state"), text=line)
        assert (gone_on.code, gone_on.err) == (7, "")
        assert first.out + second.out + gone_on.out == b"before\n" + line


def test_a_program_that_ends_before_leaves_no_state(tmp_path: Path) -> None:
    (tmp_path / "it.wat").write_text(WAITS)
    done = run(tmp_path, *command("--suspend-after", "1h", "--state", "it.state", "it.wat"), text=b"x")
    assert (done.code, done.out, done.err) == (7, b"before\nx", "")
    assert not (tmp_path / "it.state").exists()


def show(folder: Path, *words: str) -> Ended:
    line = command()
    return run(folder, *line[: line.index("run")], "show", *words)


def test_a_state_is_shown_and_a_damaged_one_is_refused(tmp_path: Path, open_input: int) -> None:
    (tmp_path / "it.wat").write_text(WAITS)
    stop(tmp_path, open_input, "it.wat")
    told = json.loads(show(tmp_path, "--json", "it.state").out)
    assert (told["entry"], told["file"], told["memory"]["bytes"]) == ("_start", "it.wat", 2 * 65_536)
    assert told["size"]["program"] == len(WAITS.encode())
    assert told["frames"][-1]["depth"] == 0
    data = bytearray((tmp_path / "it.state").read_bytes())
    data[-1] ^= 1
    (tmp_path / "it.state").write_bytes(data)
    for done in (run(tmp_path, *command("--resume", "it.state")), show(tmp_path, "it.state")):
        assert done.code == 125
        assert "The file is damaged: its parts do not fit together. Copy it again." in done.err


def test_the_example_is_stopped_while_it_counts_shown_and_goes_on(tmp_path: Path, open_input: int) -> None:
    example = ROOT / "examples/5_stop_and_go/primes.wat"
    words = command("--suspend-after", "100ms", "--state", "primes.state", str(example))
    stopped = run(tmp_path, *words, stdin=open_input)
    assert (stopped.code, stopped.out) == (0, b"")
    shown = show(tmp_path, "primes.state")
    assert "count_primes" in shown.out.decode()
    gone_on = run(tmp_path, *command("--resume", "primes.state"))
    assert (gone_on.code, gone_on.out, gone_on.err) == (0, b"348513\n", "")
