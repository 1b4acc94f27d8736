"""What `make demo` checks; that it runs as a whole is tested with the documents that name it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gatebus.client.answers import Outcome, Result
from gatebus.demo import NotAsToldError, Stage, follow, hello, javascript, spy, text_program, two

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass
class Parrot:
    """A bus whose programs say what they are told to say."""

    outputs: list[bytes]
    uploads: list[bytes] = field(default_factory=list)

    async def upload(self, content: bytes) -> Any:
        self.uploads.append(content)
        return SimpleNamespace(sha256=b"s" * 32)

    async def call(self, _program: object) -> Result:
        return Result(Outcome("HALTED", "NORMAL", 0), self.outputs.pop(0))

    async def launch(self, _program: object) -> str:
        return "first"

    async def wait(self, _instance: str) -> Any:
        return SimpleNamespace(state="HALTED")


def stage(outputs: Sequence[bytes]) -> Stage:
    bus: Any = Parrot(list(outputs))
    return Stage(bus, bus, lambda: 1)


@pytest.fixture(autouse=True)
def built_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "qjs.wasm").write_bytes(b"")
    monkeypatch.setattr("gatebus.demo.guests_directory", lambda: tmp_path)
    monkeypatch.setattr("gatebus.demo.built", lambda *_arguments: None)


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (hello, b"hello, world\n"),
        (javascript, b"hello, Ada\n..."),
        (spy, b"/etc/passwd: there is no such file here\n"),
        (two, b'yes: I heard "is anybody there?"\n'),
    ],
)
async def test_the_demo_believes_only_what_it_tells(step: Any, told: bytes) -> None:
    await step(stage([told]))
    for other in (b"", told[1:], b"goodbye"):
        with pytest.raises(NotAsToldError):
            await step(stage([other]))


async def test_a_module_as_text_is_sent_as_it_is() -> None:
    bus: Any = Parrot([])
    await text_program(bus, "examples/demo/busy.wat")
    assert bus.uploads[0].lstrip().startswith((b"(module", b";;"))


def test_whoever_waits_for_the_demo_sees_that_it_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, said = tmp_path / "seen", list[str]()
    monkeypatch.setattr("gatebus.demo.tell", lambda text: (said.append(text), seen.touch()))
    until_seen = f"import os, sys\nwhile not os.path.exists({str(seen)!r}): pass\nsys.exit(3)"
    assert follow((sys.executable, "-c", until_seen), 0.01) == 3
    assert said[0].startswith("   ... still at it, ")
