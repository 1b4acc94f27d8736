"""The examples, each by its own run script, compared with the output that stands beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import native_is_missing
from guestfiles import require_guest
from waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/run.sh"))


needs_native = pytest.mark.skipif(native_is_missing(), reason="the native part is not built")
COMMAND = f'"{sys.executable}" -m gatebus run'
STRAIGHT = '#!/bin/sh\nshift\nexec {command} --backend {backend} "$@"\n'
# Stopped twice, wherever it is then, each time in a process that goes on with the file of the one before. Who has ended
# before has nothing to go on from. What is said of a stop is no output of the example.
STOPPED = """#!/bin/sh
shift
states=$(mktemp -d "$0.XXXXXX")
step() {{ {command} "$@" 2> "$states/said"; code=$?; [ $code = 124 ] || {{ cat "$states/said" >&2; exit $code; }} }}
step --suspend-after 1ms --state "$states/first" "$@"
step --suspend-after 30ms --state "$states/second" --resume "$states/first"
exec {command} --resume "$states/second"
"""
WAYS = {
    "native": STRAIGHT.format(command=COMMAND, backend="native"),
    "portable": STRAIGHT.format(command=COMMAND, backend="portable"),
    "stopped twice": STOPPED.format(command=COMMAND),
}


@pytest.fixture(params=[pytest.param(way, marks=() if way == "portable" else needs_native) for way in WAYS])
def surroundings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The command `gatebus` of this checkout, run in one of the ways, first on the PATH."""
    command = tmp_path / "gatebus"
    command.write_text(WAYS[request.param])
    command.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(tmp_path / "config")}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_prints_what_it_promises(example: Path, surroundings: dict[str, str]) -> None:
    require_guest({"1_hello_wat": None, "js": "qjs.wasm"}.get(example.name, f"{example.name}.wasm"))
    done = subprocess.run([example / "run.sh"], env=surroundings, capture_output=True, check=False, timeout=PATIENCE)
    assert done.stderr == b""
    assert done.stdout.decode() == (example / "expected.txt").read_text()
    assert done.returncode == 0


def test_a_script_may_call_itself_more_than_a_thousand_times_deep(surroundings: dict[str, str], tmp_path: Path) -> None:
    require_guest("qjs.wasm")
    (tmp_path / "deep.js").write_text(
        "let depth = 0; function deeper() { depth++; deeper(); }"
        "try { deeper(); } catch (error) { console.log(error.name, depth > 1000); }"
    )
    line = [tmp_path / "gatebus", "run", "deep.js"]
    done = subprocess.run(line, env=surroundings, cwd=tmp_path, capture_output=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"RangeError true\n", b"")


def test_every_example_is_whole() -> None:
    assert [path.name for path in EXAMPLES] == ["1_hello_wat", "2_hello_c", "3_echo_stream", "4_use_services", "js"]
    for example in EXAMPLES:
        assert {"README.md", "run.sh", "expected.txt"} <= {path.name for path in example.iterdir()}
        assert len((example / "README.md").read_text().splitlines()) <= 25
