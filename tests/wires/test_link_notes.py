"""What a command says of a link that was lost: to a person at a terminal, never into a pipe or a log."""

from __future__ import annotations

import io

import pytest

from gatebus.cli.connecting_host import tell_of_link


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_person_at_a_terminal_reads_that_it_is_tried_again_and_for_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Terminal()
    monkeypatch.setattr("sys.stderr", seen)
    tell_of_link("lost")
    tell_of_link("back")
    assert seen.getvalue() == (
        "gatebus: The connection to the host was lost. It is tried again, for up to 30 seconds.\n"
        "gatebus: The connection to the host is there again.\n"
    )


@pytest.mark.parametrize("stderr", [io.StringIO(), None])
def test_a_script_reads_the_end_only(stderr: io.StringIO | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stderr)
    tell_of_link("lost")
    tell_of_link("back")
    assert stderr is None or stderr.getvalue() == ""
