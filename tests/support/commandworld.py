"""A real host and a person at its command line, with small programs to send; also at a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostprocess import PATIENCE, HostProcess, gatebus, serving, surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator

HELLO = Path(__file__).parent.parent.parent / "examples" / "1_hello_wat" / "hello.wat"

# Copies stdin to stdout, and ends with exit code 7.
CAT = """(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (loop $again
      (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 65536))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (if (i32.load (i32.const 8)) (then
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
        (br $again))))
    (call $exit (i32.const 7))))"""
LOOP = '(module (memory (export "memory") 1) (func (export "_start") (loop $x (br $x))))'


class World:
    """A host, and a person whose files are in a folder of their own."""

    def __init__(self, home: Path, host: HostProcess) -> None:
        self.home = home
        self.host = host
        self.cat, self.loop = home / "cat.wat", home / "loop.wat"
        self.cat.write_text(CAT)
        self.loop.write_text(LOOP)

    def run(self, *arguments: str, stdin: bytes = b"", **variables: str) -> subprocess.CompletedProcess[bytes]:
        return gatebus(self.home, *arguments, stdin=stdin, **variables)

    def says(self, *arguments: str) -> str:
        """Of a command that must work."""
        done = self.run(*arguments)
        assert (done.returncode, done.stderr) == (0, b""), (arguments, done)
        return done.stdout.decode()

    def reads(self, *arguments: str) -> Any:
        return json.loads(self.says(*arguments, "--json"))

    def fails(self, *arguments: str, code: int = 125) -> str:
        done = self.run(*arguments)
        assert (done.returncode, done.stdout) == (code, b""), (arguments, done)
        (line,) = done.stderr.decode().splitlines()
        return line

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "gatebus", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=surroundings(self.home), stdin=pipe, stdout=pipe, stderr=pipe)


def at_a_terminal(home: Path, *arguments: str, types: bytes = b"") -> tuple[int, str]:
    """Exit code and everything on the screen. What is typed waits in the terminal until somebody reads it."""
    ours, theirs = pty.openpty()
    os.write(ours, types)
    command = [sys.executable, "-m", "gatebus", *arguments]
    process = subprocess.Popen(command, env=surroundings(home), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    screen = b""
    with contextlib.suppress(OSError):  # how a terminal says that nobody is there any more
        while piece := os.read(ours, 65536):
            screen += piece
    os.close(ours)
    return process.wait(PATIENCE), screen.decode()


def at_ones_own_terminal(home: Path, *arguments: str, when: bytes, types: bytes, first: bytes = b"") -> tuple[int, str]:
    """The same where Ctrl-C is a signal. It is typed when the screen shows `when`; `first` is at the beginning."""
    child, ours = pty.fork()
    if child == 0:
        os.execve(sys.executable, [sys.executable, "-m", "gatebus", *arguments], surroundings(home))
    os.write(ours, first)
    screen = b""
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 65536):
            if when not in screen and when in screen + piece:
                os.write(ours, types)
            screen += piece
    os.close(ours)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), screen.decode()


@contextlib.contextmanager
def command_world(home: Path) -> Iterator[World]:
    with serving(home, "--listen", "127.0.0.1:0", "--stop-seconds", "0") as host:
        yield World(home, host)
