"""The command where its surroundings are not as usual: what whoever started it had closed, ignored or taken away."""

import os
import subprocess
import sys
from pathlib import Path

import command_programs as programs
import pytest
from waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "it.wat").write_text(programs.HELLO)
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "GATEBUS": sys.executable,
    }


def shell(line: str, folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """`gatebus` in the line is the command."""
    line = line.replace("gatebus ", '"$GATEBUS" -m gatebus ')
    return subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


@pytest.mark.parametrize("backend", ["native", "portable"])
def test_whoever_ignores_the_ends_of_children_gets_the_right_exit_code(
    backend: str, tmp_path: Path, surroundings: dict[str, str]
) -> None:
    done = shell(f"trap '' CHLD; gatebus run --backend {backend} it.wat", tmp_path, surroundings)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello, world\n", "")


def test_the_exit_code_is_right_where_nothing_can_be_said(tmp_path: Path, surroundings: dict[str, str]) -> None:
    assert shell("gatebus run missing.wasm 2>&-", tmp_path, surroundings).returncode == 127
    assert shell("gatebus run --memory much it.wat 2>&-", tmp_path, surroundings).returncode == 125
    assert shell("gatebus run missing.wasm 2>/dev/full", tmp_path, surroundings).returncode == 127


@pytest.mark.parametrize("line", ["gatebus --help", "gatebus --version", "gatebus call --help", "gatebus ipfs --help"])
def test_a_full_disk_is_told_by_what_only_prints(line: str, tmp_path: Path, surroundings: dict[str, str]) -> None:
    done = shell(f"{line} >/dev/full", tmp_path, surroundings)
    assert (done.returncode, done.stderr) == (
        125,
        "gatebus: The output cannot be written: No space left on device.\n",
    )


# Ctrl-C while the command is still being imported, while it does its work, and when all is done.
EARLY = "import gatebus.__main__ as m; m.import_module = lambda name: os.kill(os.getpid(), signal.SIGINT)"
MEANWHILE = """import gatebus.cli.doctor_command as d, gatebus.__main__ as m
d.doctor = lambda options: os.kill(os.getpid(), signal.SIGINT)"""
LATE = "import gatebus.__main__ as m; m.main = lambda: os.kill(os.getpid(), signal.SIGINT)"


@pytest.mark.parametrize(("code", "script"), [(-2, EARLY), (130, MEANWHILE), (-2, LATE)])
def test_ctrl_c_ends_the_command_without_a_word_whenever_it_comes(
    code: int, script: str, tmp_path: Path, surroundings: dict[str, str]
) -> None:
    script = f"import os, signal, sys; sys.argv = ['gatebus', 'doctor']\n{script}\nm.command()"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=surroundings,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")
