"""docs/operations.md, from its first command to its last, in this order, at one host."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from commandfork import run_command
from hostprocess import PATIENCE, HostProcess, serving, surroundings
from test_documents import commands

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "operations.md"


def started(line: str, home: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", *shlex.split(line)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=surroundings(home), stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def output(line: str, home: Path, given: str = "") -> str:
    name, *arguments = shlex.split(line)
    assert name == "gatebus"
    done = run_command(arguments, surroundings(home), given.encode())
    assert done.returncode == 0, (line, done.stderr)
    return done.stdout.decode()


def first_line_until_interrupted(line: str, home: Path) -> str:
    process = started(line, home)
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    return first


class Reader:
    """Somebody who types what the page says, and fills in what it leaves open."""

    def __init__(self, home: Path, host: HostProcess) -> None:
        self.home = home
        self.told: dict[str, str] = {}
        self._filled = {"127.0.0.1:6473": host.address()}

    def type(self, line: str) -> None:
        for placeholder, value in self._filled.items():
            line = line.replace(placeholder, value)
        answer = first_line_until_interrupted if line.startswith("gatebus events") else output
        said = self.told[line] = answer(line, self.home)
        if line.startswith("gatebus push"):
            self._filled["MODULE"] = said.strip()
        if line.startswith("gatebus launch"):
            self._filled["INSTANCE"] = said.strip()
        if line == "gatebus key --make":
            self._let_in()

    def _let_in(self) -> None:
        """The line that it shows goes into the host's authorized_keys."""
        keys = json.loads(output("gatebus key --json", self.home))
        path = self.home / ".config" / "gatebus" / "authorized_keys"
        path.write_text(keys["you"]["line"] + "\n")
        path.chmod(0o600)
        self._filled["SHA256:..."] = keys["host"]["fingerprint"]


def typed() -> Iterator[str]:
    for line in commands(PAGE):
        assert line.startswith("gatebus "), line
        if line != "gatebus serve":
            yield line


def test_the_page_works_from_its_first_command_to_its_last(tmp_path: Path) -> None:
    with serving(tmp_path, "--listen", "127.0.0.1:0", "--stop-seconds", "0") as host:
        reader = Reader(tmp_path, host)
        for line in typed():
            reader.type(line)
    told = reader.told
    assert told["gatebus call examples/1_hello_wat/hello.wat"] == "hello, world\n"
    assert re.search("^you may +attach call", told["gatebus features"], re.M)
    assert "hello" in told["gatebus modules"]
    assert "nightly" in told["gatebus ps"]
    (events,) = [said for line, said in told.items() if line.startswith("gatebus events")]
    assert "started" in events
