"""docs/clients.md: each of its examples is run, against the product's host on a real socket."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import trio
from busworld import ALICE, module, put
from loopbackhost import host_on_loopback

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
OUTPUT = [
    ["NORMAL b'hello'"],
    ["b'one'", "0"],
    ["b'one'", "[(UUID, 'KILLED')]"],
    ["any 60.0", "[True, True]"],
    ["b'hello'", "b'one'"],
    ["any 1"],
]


async def ran(example: str, given: dict[str, Any]) -> list[str]:
    """What it printed; an example without `await` runs in a thread of its own, as an ordinary program."""
    printed: list[str] = []
    names = given | {"print": lambda *said: printed.append(re.sub(r"UUID\([^)]*\)", "UUID", " ".join(map(str, said))))}
    for name in ("Life", "Program", "connect", "sync"):
        exec(f"from gatebus.client import {name}", names)
    code = compile(example, "docs/clients.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if "await" in example or "async" in example:
        await eval(code, names)
    else:
        await trio.to_thread.run_sync(exec, code, names)
    return printed


@pytest.mark.parametrize("number", range(len(OUTPUT)))
async def test_an_example_of_the_page_prints_what_it_should(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    async with host_on_loopback() as (world, place):
        await put(world.host, b"echo")
        given = {"url": place, "wasm": module(b"echo"), "key": ALICE}
        assert await ran(EXAMPLES[number], given) == OUTPUT[number]


def test_every_example_has_its_output_here() -> None:
    assert len(EXAMPLES) == len(OUTPUT)
