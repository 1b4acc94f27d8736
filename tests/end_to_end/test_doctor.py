"""`gatebus doctor` as a process."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def doctor(*arguments: str, **surroundings: str) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "gatebus", "doctor", *arguments]
    return subprocess.run(
        line, env={**os.environ, **surroundings}, cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_without_the_native_part_only_the_portable_backend_runs_and_the_exit_code_says_so(tmp_path: Path) -> None:
    done = doctor(GATEBUS_SANDBOX=str(tmp_path / "nothing"))
    assert done.returncode == 1
    assert "native       does not work. The native part is missing: run make build" in done.stdout
    assert "portable     works: a program ran in " in done.stdout
    assert done.stdout.endswith("which protects this machine less.\n")
    assert done.stderr == ""


def test_the_json_says_the_same(tmp_path: Path) -> None:
    done = doctor("--json", GATEBUS_SANDBOX=str(tmp_path / "nothing"), XDG_CACHE_HOME=str(tmp_path))
    said = json.loads(done.stdout)
    assert (said["exit"], done.returncode) == (1, 1)
    assert [each["name"] for each in said["backends"]] == ["native", "portable"]
    assert said["interpreters"] == [{"extension": ".js", "present": False, "make": "make -C examples/js"}]


def test_a_wrong_option_is_one_line() -> None:
    done = doctor("--verbose")
    assert done.returncode == 125
    assert (
        done.stderr == "gatebus: Unrecognized arguments: --verbose. `gatebus doctor --help` shows how it is written.\n"
    )
