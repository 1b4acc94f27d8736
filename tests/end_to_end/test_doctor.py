"""`gatebus doctor` as a process, and what the demo checks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gatebus.demo import STEPS, Ended, Step, follow

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


TOLD = (
    Ended(0, "hello, world\n", "", 0.1),
    Ended(0, "hello, Ada\n...", "", 0.1),
    Ended(126, "", "gatebus: busy.wat was killed: The program ran longer than its wall time.", 1.1),
    Ended(0, "/etc/passwd: there is no such file here\n", "", 0.1),
)


@pytest.mark.parametrize(("step", "ended"), list(zip(STEPS, TOLD, strict=True)))
def test_the_demo_believes_only_what_it_tells(step: Step, ended: Ended) -> None:
    assert step.holds(ended)
    others = [
        Ended(ended.code + 1, ended.out, ended.err, 0.1),
        Ended(0, "root:x:0:0", "", 0.1),
        Ended(125, "", "refused", 0.1),
    ]
    assert not any(step.holds(other) for other in others)


def test_the_programs_of_the_demo_are_there() -> None:
    files = [word for step in STEPS for word in step.command if word.startswith("examples/")]
    assert files
    assert all((ROOT / file).is_file() for file in files)


def test_whoever_waits_for_the_demo_sees_that_it_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, said = tmp_path / "seen", list[str]()
    monkeypatch.setattr("gatebus.demo.tell", lambda text: (said.append(text), seen.touch()))
    until_seen = f"import os, sys\nwhile not os.path.exists({str(seen)!r}): pass\nsys.exit(3)"
    assert follow((sys.executable, "-c", until_seen), 0.01) == 3
    assert said[0].startswith("   ... still at it, ")
