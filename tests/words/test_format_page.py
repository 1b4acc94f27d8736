"""gatebus/snapshots/FORMAT.md says what is in the parts of a snapshot: nothing is written that it does not name."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from gatebus.host.lives.manners import Policy
from gatebus.host.lives.recordsof import about_of, record_of
from gatebus.host.lives.streamwords import StreamKept
from gatebus.services.service_table import BUILTIN
from gatebus.snapshots.savedwords import KINDS
from sandbox.limits import Limits
from sandbox.outcome import Usage

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "gatebus" / "snapshots" / "FORMAT.md").read_text()
PARTS = PAGE[PAGE.index("## 5. ") :]


def section(title: str) -> str:
    return PARTS[PARTS.index(f"### {title}") :].split("\n### ")[0]


def test_the_fields_of_a_stream_are_there_in_their_order() -> None:
    assert re.findall(r"^\| `(\w+)` \| (?:int|bytes|text|bool)", section("`streams`"), re.MULTILINE) == [
        each.name for each in fields(StreamKept)
    ]


@pytest.mark.parametrize("service", sorted(BUILTIN))
def test_every_service_is_there(service: str) -> None:
    assert f"`{service}`" in section("`service:NAME`")


@pytest.mark.parametrize("kind", [Limits, Policy, Usage])
def test_every_number_of_a_description_is_there(kind: type[Limits | Policy | Usage]) -> None:
    named = set(re.findall(r"`(\w+)`", section("The description")))
    assert {each.name for each in fields(kind)} <= named


@pytest.mark.parametrize(("writer", "title"), [(about_of, "The description"), (record_of, "Records of instances")])
def test_every_key_that_is_written_is_there(writer: object, title: str) -> None:
    code = (ROOT / "gatebus" / "host" / "lives" / "recordsof.py").read_text()
    body = code[code.index(f"def {writer.__name__}(") :].split("\ndef ")[0]  # type: ignore[attr-defined]
    keys = set(re.findall(r'"(\w+)":|about\["(\w+)"\]', body))
    assert keys
    for key in (one or other for one, other in keys):
        assert f"`{key}`" in section(title) + (PAGE[: PAGE.index("## 2. ")] if writer is about_of else ""), key


def test_every_kind_of_snapshot_is_there() -> None:
    assert all(f"`{kind}`" in PAGE for kind in KINDS)
