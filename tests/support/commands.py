"""`gatebus run` as a process, for tests of what a person types and reads."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from waiting import PATIENCE

from sandbox.errors import BackendUnavailable
from sandbox.keeperprocess import find_executable

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Ended:
    code: int
    out: bytes
    err: str


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "gatebus", "run", *arguments]


def ours(*arguments: str, folder: Path, stdin: bytes = b"", **more: str) -> Ended:
    """Without the configuration of whoever runs the tests."""
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(folder / "config"), **more}
    line = command(*arguments)
    done = subprocess.run(
        line, input=stdin, capture_output=True, check=False, cwd=folder, env=surroundings, timeout=PATIENCE
    )
    return Ended(done.returncode, done.stdout, done.stderr.decode())


def native_is_missing() -> bool:
    try:
        find_executable(None)
    except BackendUnavailable:
        return "GATEBUS_REQUIRE_LAYERS" not in os.environ
    return False
