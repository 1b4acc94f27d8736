"""Runs of `gatebus` in a folder of the test, and a program that is stopped while it waits for a line."""

import os
import subprocess
from pathlib import Path

import command_programs as programs
from commands import ROOT, Ended, command
from waiting import PATIENCE

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


def surroundings(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(folder / "config")}


def run(folder: Path, *words: str, stdin: int | None = None, text: bytes = b"") -> Ended:
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE if stdin is None else stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=surroundings(folder),
    ) as process:
        out, err = process.communicate(text if stdin is None else None, timeout=PATIENCE)
    return Ended(process.returncode, out, err.decode())


def stop(folder: Path, open_input: int, *what: str, state: str = "it.state") -> Ended:
    return run(folder, *command("--suspend-after", "1ms", "--state", state, *what), stdin=open_input)
