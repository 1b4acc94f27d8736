"""docs/live-programs.md, from its first command to its last, in this order, at one host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guestfiles import require_guest
from hostprocess import serving
from test_documents import ROOT, commands
from test_operations_story import output

if TYPE_CHECKING:
    from pathlib import Path

PAGE = ROOT / "docs" / "live-programs.md"
WARM = "gatebus call --warm qjs.wasm --std -e 'print(eval(std.in.getline()))'"


class Reader:
    """Somebody who types what the page says, and fills in what it leaves open."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.told: dict[str, str] = {}
        self._instance = ""

    def type(self, line: str) -> None:
        typed = line.replace("INSTANCE", self._instance).replace("qjs.wasm", str(require_guest("qjs.wasm")))
        typed = typed.replace("collatz.snapshot", str(self.home / "collatz.snapshot"))
        given, _, typed = typed.rpartition(" | ")
        said = self.told[line] = output(typed, self.home, given.removeprefix("echo ").strip("'"))
        if line.startswith("gatebus launch"):
            self._instance = said.strip()
        if line.startswith(("gatebus restore", "gatebus clone")):
            self._kill(said.split())

    def _kill(self, copies: list[str]) -> None:
        """They would compute for minutes beside everything that follows."""
        for each in copies:
            output(f"gatebus kill {each}", self.home)


def test_the_page_works_from_its_first_command_to_its_last(tmp_path: Path) -> None:
    with serving(tmp_path, "--listen", "127.0.0.1:0", "--stop-seconds", "0"):
        reader = Reader(tmp_path)
        for line in commands(PAGE):
            reader.type(line)
    told = reader.told
    assert "SUSPENDED stored" in told["gatebus ps"]
    assert "search" in told["gatebus show INSTANCE"]
    assert len(told["gatebus clone -n 2 --tag copy collatz"].split()) == 2
    assert "first" in told["gatebus snapshots"]
    assert told[f"echo '6 * 7' | {WARM}"] == "42\n"
    assert 0 < float(told[f"echo 'Math.random()' | {WARM}"]) < 1
    assert "changed" in told["gatebus diff first second"]
    assert len(told["gatebus import collatz.snapshot"].strip()) == 64
