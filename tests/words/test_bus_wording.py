"""gatebus.cli.bus_wording: tables, lines, JSON and exit codes of what a host said."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.cli.bus_wording import (
    age,
    as_json,
    ended,
    event_line,
    event_map,
    features_lines,
    id_text,
    instances_table,
    milliseconds,
    modules_table,
    no_file_either,
    plain,
    progress_line,
    result_json,
    status_lines,
    status_map,
    table,
    text,
    usage_lines,
    usage_table,
    words,
)
from gatebus.cli.wording import OURS, Result
from gatebus.client.answers import Clients, Event, Live, Module, Outcome, Status, Usage

ID = UUID("7c1f3bd7-e35b-4439-beb3-d1984745ab3f")
RUDE = "\x1b[2J\x1b]0;owned\x07\r\n\u202erude"
USAGE = Usage(cpu_ms=1500, peak_memory=3 << 20, bytes_in=5, bytes_out=2048, wall_ms=20, log_dropped=0)


def status(state: str = "RUNNING", cause: str = "", result: int | None = None, **more: object) -> Status:
    fields: dict[str, object] = {"module": "ab" * 32, "created": 100, "usage": USAGE, **more}
    return Status(ID, state, cause, result, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "code", "line"),
    [
        (Outcome("HALTED", "NORMAL", 0), 0, ""),
        (Outcome("TERMINATED", "NORMAL", 7), 7, ""),
        (Outcome("TERMINATED", "NORMAL", 256), 255, ""),
        (Outcome("TERMINATED", "NORMAL", -1), 0, ""),
        (Outcome("KILLED", "KILLED", 0, "Killed."), 126, "gatebus: m.wasm was killed: Killed."),
        (Outcome("KILLED", "UNREACHABLE", 0), 126, "gatebus: m.wasm was killed: the host does not say why."),
        (
            Outcome("KILLED", "CPU_TIME", 0, "It used up its time; raise the limit."),
            126,
            "gatebus: m.wasm was killed: It used up its time. Try a larger --cpu-time than 0.5s.",
        ),
        (
            Outcome("KILLED", "MEMORY_LIMIT", 0, "It needs more; raise it."),
            126,
            "gatebus: m.wasm was killed: It needs more. Try a larger --memory.",
        ),
        (Outcome("KILLED", "INTERNAL", 0, "Our fault."), 125, "gatebus: m.wasm was killed: Our fault."),
        (Outcome("NEW-STATE", "X", 0, "Hm."), 125, "gatebus: m.wasm was killed: Hm."),
    ],
)
def test_the_end_of_a_program_is_an_exit_code_and_perhaps_a_line(outcome: Outcome, code: int, line: str) -> None:
    found = ended("m.wasm", outcome, {"cpu_time": 0.5})
    assert (found.code, found.line) == (code, line)


def test_nothing_that_a_host_says_moves_a_cursor() -> None:
    rude = Outcome("KILLED", RUDE, 0, RUDE)
    shown = [
        ended(RUDE, rude, {}).line,
        instances_table([status(RUDE, RUDE, tags=(RUDE,), module=RUDE)], 0).replace("\n", ""),
        status_lines(status("KILLED", RUDE, tags=(RUDE,), module=RUDE, text=RUDE), 0).replace("\n", ""),
        modules_table([Module(b"m" * 32, 1, (RUDE,))]).replace("\n", ""),
        features_lines({"agent": RUDE, "backend": RUDE, "layers": {"on": [RUDE]}, "operations": [RUDE]}).replace(
            "\n", ""
        ),
        usage_table({RUDE: {"used": 1, "limit": 2}}).replace("\n", ""),
        event_line(Event(1, RUDE, {"instance": ID.bytes, "state": RUDE, "cause": RUDE})),
        progress_line(RUDE, 1, 2, 80),
    ]
    for line in shown:
        assert line.isprintable(), line
        assert "\u202e" not in line


@pytest.mark.parametrize(
    ("clients", "line"),
    [
        (Clients(), "none"),
        (Clients(1), "1 connected"),
        (Clients(0, 1), "1 whose link is lost: it may come back"),
        (Clients(3, 2), "3 connected, 2 whose link is lost: it may come back"),
        (Clients(over=True), "none, and nobody gets another connection"),
    ],
)
def test_a_status_names_who_is_connected(clients: Clients, line: str) -> None:
    assert f"clients    {line}" in status_lines(status(clients=clients), 0).splitlines()


@pytest.mark.parametrize(
    ("state", "cpu_ms", "cpu"),
    [
        ("RUNNING", 0, "of at most 30s"),
        ("RUNNING", 1500, "1.50 s until it last stopped, of 30s"),
        ("SUSPENDED", 1500, "1.50 s of 30s"),
        ("SUSPENDED", 0, "0 ms of 30s"),
    ],
)
def test_a_status_has_limits_and_what_is_used_of_them(state: str, cpu_ms: int, cpu: str) -> None:
    limits = {"cpu_time": 30.0, "wall_time": None, "memory": 64 << 20, "of a newer host": 3}
    lines = status_lines(status(state, usage=Usage(cpu_ms=cpu_ms, wall_ms=20), limits=limits), 0).splitlines()
    assert lines[-3:] == [f"CPU time   {cpu}", "wall time  20 ms, without a limit", "memory     at most 64MiB"]
    assert "wall time  20 ms of what it does not say" in status_lines(status(usage=Usage(wall_ms=20), limits={}), 0)


def test_a_status_says_why_one_could_not_go_on_and_that_one_is_about_to() -> None:
    lines = status_lines(status("SUSPENDED", live=Live("stored", due=True, failure=f"No room.{RUDE}")), 0).splitlines()
    assert "due        it goes on as soon as it can" in lines
    (why,) = [line for line in lines if line.startswith("not woken")]
    assert why.startswith("not woken  No room.")
    assert why.isprintable()


def test_json_of_a_host_stays_on_one_line_and_holds_no_control_characters() -> None:
    line = result_json(RUDE, "lab", Result(1, RUDE, "x"), Outcome("HALTED", RUDE, 0), ID)
    assert line.isascii()
    assert line.isprintable()


def test_the_json_of_a_result_has_every_field() -> None:
    told = json.loads(
        result_json("f", "lab", Result(126, "gatebus: why", "cpu-time"), status("KILLED", "CPU_TIME", None), ID)
    )
    assert told == {
        "file": "f",
        "host": "lab",
        "exit": 126,
        "error": "cpu-time",
        "text": "why",
        "instance": str(ID),
        "state": "KILLED",
        "cause": "CPU_TIME",
        "result": None,
        "usage": {
            "cpu_ms": 1500,
            "peak_memory": 3 << 20,
            "bytes_in": 5,
            "bytes_out": 2048,
            "wall_ms": 20,
            "log_dropped": 0,
        },
    }
    nothing = json.loads(result_json("", "", Result(125), None, None))
    assert {name for name, value in nothing.items() if value is None} == set(nothing) - {"exit"}


def test_the_table_of_instances() -> None:
    rows = instances_table([status(), status("TERMINATED", "NORMAL", 7, tags=("a", "b"))], 105.0).splitlines()
    assert rows == [
        "INSTANCE  STATE       CAUSE   RESULT  AGE  CPU     MEMORY   MODULE        TAGS",
        "7c1f3bd7  RUNNING     -       -       5s   -       -        abababababab  -",
        "7c1f3bd7  TERMINATED  NORMAL  7       5s   1.50 s  3.0 MiB  abababababab  a b",
    ]
    assert instances_table([], 0).splitlines() == ["INSTANCE  STATE  CAUSE  RESULT  AGE  CPU  MEMORY  MODULE  TAGS"]


def test_the_lines_of_one_instance() -> None:
    assert status_lines(status(), 105.0).splitlines() == [
        f"instance   {ID}",
        "state      RUNNING",
        f"module     {'ab' * 32}",
        "age        5s",
    ]
    over = status_lines(status("KILLED", "CPU_TIME", text="Too slow."), 105.0).splitlines()
    assert over[4:7] == ["cause      CPU_TIME", "why        Too slow.", "CPU time   1.50 s"]


def test_the_json_of_an_instance_that_runs_has_neither_cause_nor_result() -> None:
    told = json.loads(as_json([status_map(status())]))[0]
    assert (told["cause"], told["result"], told["text"]) == (None, None, None)
    assert (told["created"], type(told["created"]), told["instance"]) == (100, int, str(ID))
    over = json.loads(as_json(status_map(status("TERMINATED", "NORMAL", 7))))
    assert (over["cause"], over["result"]) == ("NORMAL", 7)


def test_an_event_has_the_same_fields_whether_it_runs_or_has_ended() -> None:
    assert event_map(Event(1, "started", {"state": "RUNNING"})) == {"state": "RUNNING", "cause": None, "result": None}
    ended = {"state": "HALTED", "cause": "NORMAL", "result": 0}
    assert event_map(Event(2, "ended", ended)) == ended
    assert event_map(Event(3, "lost", {"count": 3})) == {"count": 3}


def test_the_table_of_modules() -> None:
    modules = [Module(b"m" * 32, 2048, ("a",), pinned=True), Module(b"n" * 32, 1)]
    assert modules_table(modules).splitlines() == [
        "MODULE        SIZE     PINNED  TAGS",
        f"{'6d' * 6}  2.0 KiB  yes     a",
        f"{'6e' * 6}  1 B      no      -",
    ]


def test_the_table_of_usage_knows_sizes_from_counts() -> None:
    usage = {"instances": {"used": 1, "limit": 2}, "stored": {"used": 1024, "limit": None}, "odd": 3}
    assert usage_table(usage).splitlines() == [
        "WHAT       USED     LIMIT",
        "instances  1        2",
        "stored     1.0 KiB  -",
    ]


def test_features_of_a_host_that_says_little() -> None:
    assert features_lines({"layers": 3}).splitlines() == [
        "host       -",
        "back-end   -",
        "layers     -",
        "missing    -",
        "you may    -",
    ]


def test_an_event_is_one_line() -> None:
    began = Event(7, "started", {"instance": ID.bytes, "state": "STARTING", "cause": "NORMAL"})
    over = Event(8, "ended", {"instance": ID.bytes, "state": "KILLED", "cause": "CPU_TIME"})
    assert event_line(began) == f"     7 started  {ID} STARTING"
    assert event_line(over) == f"     8 ended    {ID} KILLED CPU_TIME"
    assert event_line(Event(9, "lost", {"count": 3})) == "     9 lost     -"


def test_what_a_run_cost() -> None:
    assert usage_lines(USAGE).splitlines() == [
        "CPU time   1.50 s",
        "wall time  20 ms",
        "memory     3.0 MiB",
        "to it      5 B",
        "from it    2.0 KiB",
    ]
    assert usage_lines(Usage(log_dropped=1024)).splitlines()[-1] == "log        1.0 KiB were too much and dropped"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172_800, "2d"), (-5, "0s")],
)
def test_an_age_is_short(seconds: float, shown: str) -> None:
    assert age(1000.0, 1000.0 + seconds) == shown


def test_small_things() -> None:
    assert (milliseconds(999.4), milliseconds(1000)) == ("999 ms", "1.00 s")
    assert (text(None), text(""), text("a"), text("x" * 100)) == ("-", "-", "a", "x" * 59 + "…")
    assert (words(["a", "b"]), words([]), words(3)) == ("a b", "-", "-")
    assert (id_text(ID.bytes), id_text(b"\1")) == (str(ID), "01")
    assert plain({"a": (b"\1", {ID}, 1.5, None, object)}) == {"a": ["01", [str(ID)], 1.5, None, str(object)]}
    assert as_json(Module(b"m" * 32, 1)) == json.dumps({"sha256": "6d" * 32, "size": 1, "tags": [], "pinned": False})


@given(st.text(max_size=40), st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(1, 300))
def test_a_bar_fits_its_terminal(name: str, done: int, size: int, width: int) -> None:
    line = progress_line(name, min(done, size), size, width)
    assert len(line) < max(width, 1)


def test_a_bar_shows_how_much_there_is() -> None:
    assert progress_line("m.wasm", 512, 1024, 60) == "m.wasm [###############               ]  50% of 1.0 KiB"
    assert progress_line("m.wasm", 0, 0, 60).endswith("100% of 0 B")


@given(st.lists(st.lists(st.text(max_size=5), min_size=2, max_size=2), max_size=5))
def test_columns_of_a_table_stand_below_each_other(rows: list[list[str]]) -> None:
    rows = [[cell.replace("\n", "").replace("\r", "") for cell in row] for row in rows]
    first = max([len("A"), *(len(row[0]) for row in rows)])
    assert table(("A", "B"), rows).split("\n")[0] == "A".ljust(first + 2) + "B"


def test_where_a_file_may_have_been_meant_that_is_said_and_not_of_a_whole_id() -> None:
    refused = Result(OURS, "gatebus: None of your snapshots begins with nope.", "usage")
    assert no_file_either(refused, "nope").line == (
        "gatebus: None of your snapshots begins with nope. There is no file nope here, either."
    )
    assert no_file_either(refused, "\x1b[2J\n").line.endswith(" There is no file  [2J  here, either.")
    for whole in ("00" * 32, "00" * 16):
        assert no_file_either(refused, whole) == refused
    assert no_file_either(Result(0), "nope") == Result(0)
