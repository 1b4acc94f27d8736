"""A command that is about several: all names are understood first, and one that is refused hinders no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gatebus.cli.eachnamed import each_named
from gatebus.client import Denied
from gatebus.faults import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Host:
    """It knows these names, and refuses those in capitals."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def find(self, typed: str) -> str:
        if typed == "nosuch":
            raise UsageError("None of yours is called nosuch.")
        return typed

    async def do(self, name: str) -> None:
        if name.isupper():
            raise Denied(f"No: {name}.", "conflict")
        self.done.append(name)


async def test_a_mistyped_name_changes_nothing() -> None:
    host = Host()
    with pytest.raises(UsageError, match="nosuch"):
        await each_named(("a", "nosuch", "b"), host.find, host.do)
    assert host.done == []


@pytest.mark.parametrize(
    ("typed", "said", "line"),
    [
        ("ab", "", ""),
        ("aBc", "", "gatebus: B: No: B."),
        ("ABc", "gatebus: A: No: A.\n", "gatebus: B: No: B."),
    ],
)
async def test_what_is_refused_is_named_and_the_others_are_done(
    typed: Sequence[str], said: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    host = Host()
    result = await each_named(typed, host.find, host.do)
    assert (result.line, result.code) == (line, 125 if line else 0)
    assert capsys.readouterr().err == said
    assert host.done == [each for each in typed if each.islower()]


async def test_of_one_alone_the_refusal_is_the_command_s() -> None:
    host = Host()
    with pytest.raises(Denied, match="No: A"):
        await each_named("A", host.find, host.do)
