"""The log: only listed events with listed fields, one line each, nothing secret and nothing that a program wrote."""

from __future__ import annotations

import ast
import io
import json
from pathlib import Path

import pytest

from gatebus.host.log import _EVERY, EVENTS, LEVELS, Log, open_log, silent_log

ROOT = Path(__file__).parent.parent.parent


def opened(form: str = "json") -> tuple[Log, io.StringIO]:
    stream = io.StringIO()
    return open_log(form, stream), stream


def only(stream: io.StringIO) -> dict[str, object]:
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def test_an_event_is_one_line_of_json_with_its_time_and_level() -> None:
    log, stream = opened()
    log.event("instance-ended", instance=b"\1\2", cause="EXIT")
    found = only(stream)
    assert found.pop("timestamp")
    assert found == {"event": "instance-ended", "level": "info", "instance": "0102", "cause": "EXIT"}


def test_a_person_gets_text_without_colours_in_a_file() -> None:
    log, stream = opened("text")
    log.event("instance-ended", cause="EXIT")
    assert "instance-ended" in stream.getvalue()
    assert "cause=EXIT" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_by_itself_the_log_is_json_unless_somebody_watches() -> None:
    log, stream = opened("auto")
    log.event("host-stopped")
    assert only(stream)["event"] == "host-stopped"


def test_what_is_not_listed_is_not_written() -> None:
    log, stream = opened()
    log.event("instance-ended", arguments=["--password=x"], environment={"A": "secret"}, cause="NORMAL")
    found = only(stream)
    assert "secret" not in stream.getvalue()
    assert "password" not in stream.getvalue()
    assert found["cause"] == "NORMAL"
    assert found["unlisted"] is True


def test_an_event_that_nobody_listed_is_an_error_without_fields() -> None:
    log, stream = opened()
    log.event("made-up", text="secret")
    found = only(stream)
    assert (found["event"], found["level"], found["unlisted"]) == ("made-up", "error", True)
    assert "secret" not in stream.getvalue()


def test_values_stay_on_one_line_and_are_cut() -> None:
    log, stream = opened("text")
    log.event("layer-missing", why="a\nb\x1b[2J" + "c" * 5000, advice=("x", 1, None))
    assert len(stream.getvalue().splitlines()) == 1
    assert len(stream.getvalue()) < 500
    assert "\x1b" not in stream.getvalue()


def test_a_closed_stream_and_a_silent_log_hurt_nobody() -> None:
    log, stream = opened()
    stream.close()
    log.event("host-stopped")
    silent_log().event("host-stopped")
    open_log("json", None).event("host-stopped")


@pytest.mark.parametrize(("least", "shown"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_what_is_less_than_the_level_is_not_written(least: str, shown: int) -> None:
    stream = io.StringIO()
    log = open_log("json", stream, least)
    for name in ("call-ended", "host-stopped", "layer-missing"):
        log.event(name)
    assert len(stream.getvalue().splitlines()) == shown


@pytest.mark.parametrize("name", EVENTS)
def test_levels_are_levels_and_no_field_can_hold_a_secret(name: str) -> None:
    level, listed = EVENTS[name]
    assert level in LEVELS
    assert not listed & {
        "arguments",
        "args",
        "env",
        "environment",
        "files",
        "data_bytes",
        "stdin",
        "output",
        "key",
        "seed",
    }


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def test_the_host_logs_only_what_is_listed() -> None:
    for path in (ROOT / "gatebus").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(call, ast.Call) and _called(call.func) in ("event", "note")):
                continue
            if not (call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)):
                continue
            name = call.args[0].value
            if "-" not in name:  # notes to a person, and events of instances
                continue
            assert name in EVENTS, f"{path.name}: {name}"
            unlisted = {each.arg for each in call.keywords if each.arg} - EVENTS[name][1] - _EVERY
            assert not unlisted, f"{path.name}: {name} {unlisted}"
