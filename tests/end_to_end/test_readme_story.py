"""README.md: what it tells a reader to type at a host, in this order, and its Python, at one host."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from guestfiles import require_guest
from hostprocess import PATIENCE, serving, surroundings
from test_documents import RUN_ELSEWHERE, RUN_HERE, commands
from test_operations_story import Reader

if TYPE_CHECKING:
    from hostprocess import HostProcess

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
AT_A_HOST = ("call", "launch", "ps", "status", "suspend", "show", "clone")


def test_every_command_of_the_page_is_run_here_or_by_the_table_of_the_documents() -> None:
    for line in commands(README):
        here = line == "gatebus serve" or is_at_a_host(line)
        assert here or line in RUN_ELSEWHERE or line in RUN_HERE, line


def is_at_a_host(line: str) -> bool:
    return line.split()[1] in AT_A_HOST and line not in RUN_ELSEWHERE


@pytest.mark.timeout(300)
def test_the_first_ten_minutes_at_a_host(tmp_path: Path) -> None:
    require_guest("qjs.wasm")
    with serving(tmp_path, "--listen", "127.0.0.1:0", "--stop-seconds", "0") as host:
        reader = Reader(tmp_path, host)
        for line in commands(README):
            if is_at_a_host(line):
                reader.type(line)
        assert snippet(tmp_path, host) == "b'hello, world\\n' 0\n"
    told = reader.told
    assert told["gatebus call examples/1_hello_wat/hello.wat"] == "hello, world\n"
    assert "Ada" in told["gatebus call examples/js/hello.js Ada"]
    assert "search" in told["gatebus show collatz"]
    assert len(told["gatebus clone -n 2 --tag copy collatz"].split()) == 2
    (status,) = [said for line, said in told.items() if line.startswith("gatebus status")]
    assert re.search("HALTED|RUNNING|STARTING", status)


def snippet(home: Path, host: HostProcess) -> str:
    """The Python of the page, at our host's port."""
    (text,) = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.M | re.S)
    script = home / "snippet.py"
    script.write_text(text.replace("127.0.0.1:6473", host.address()))
    ours = surroundings(home, PYTHONPATH=str(ROOT))
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, cwd=ROOT, env=ours, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
