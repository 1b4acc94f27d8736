"""The commands at a host where a pipe gives their bytes, and where a full disk takes none of what they say."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from commandworld import HELLO, World
from hostprocess import PATIENCE, surroundings

if TYPE_CHECKING:
    from pathlib import Path


def test_a_module_is_pushed_out_of_whatever_gives_its_bytes_once(world: World, tmp_path: Path) -> None:
    digest = hashlib.sha256(HELLO.read_bytes()).hexdigest()
    os.mkfifo(tmp_path / "fifo")
    writing = subprocess.Popen(["cp", str(HELLO), str(tmp_path / "fifo")])
    assert world.says("push", "--loose", str(tmp_path / "fifo")) == f"{digest}\n"
    assert writing.wait(PATIENCE) == 0
    for name in ("-", "/dev/stdin"):
        done = world.run("push", "--loose", name, stdin=HELLO.read_bytes())
        assert (done.returncode, done.stdout) == (0, f"{digest}\n".encode())
    assert world.fails("push", "-") == "gatebus: -: It is empty. Build its source for wasm32-wasip1."


def shell(world: World, line: str) -> subprocess.CompletedProcess[str]:
    """`gatebus` in the line is the command."""
    line = line.replace("gatebus ", f"{sys.executable} -m gatebus ")
    ours = surroundings(world.home)
    return subprocess.run(line, shell=True, env=ours, capture_output=True, text=True, check=False, timeout=PATIENCE)


def test_a_full_disk_behind_stdout_is_told_with_the_name_of_what_was_made(world: World) -> None:
    done = shell(world, f"gatebus launch {HELLO} >/dev/full")
    told = r"gatebus: The output cannot be written: No space left on device\. What was made is ([0-9a-f-]{36})\.\n"
    found = re.fullmatch(told, done.stderr)
    assert (done.returncode, found is not None) == (125, True), done
    assert world.run("wait", found[1] if found else "").returncode == 0


def test_the_exit_code_is_the_programs_where_stderr_takes_nothing(world: World) -> None:
    done = shell(world, f"echo hello | gatebus call --json --usage {world.cat} 2>/dev/full")
    assert (done.returncode, done.stdout, done.stderr) == (7, "hello\n", "")
    done = shell(
        world, f"gatebus call nothing.wasm 2>/dev/full; echo $?; gatebus call --memory 1TiB {HELLO} 2>/dev/full"
    )
    assert (done.stdout, done.returncode) == ("127\n", 125)
