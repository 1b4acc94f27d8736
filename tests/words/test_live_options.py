"""gatebus.cli.live_options: what is typed about stopped programs, and what is said about what cannot be meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gatebus.cli.bus_options import bus_options, bus_parser
from gatebus.faults import UsageError

if TYPE_CHECKING:
    from gatebus.cli.live_options import LiveOptions

ID = "7c1f3bd7-e35b-4439-beb3-d1984745ab3f"


def live(name: str, *arguments: str) -> LiveOptions:
    return bus_options(name, arguments).live


def life(name: str, *arguments: str) -> dict[str, object]:
    program = bus_options(name, [*arguments, "m.wasm"]).program
    assert program is not None
    return dict(program.life)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        (("suspend", ID), "park", False),
        (("suspend", "--park", ID), "park", True),
        (("resume", ID), "function", None),
        (("resume", "--function", "go", ID), "function", "go"),
        (("clone", ID), "count", 1),
        (("clone", "-n", "100", "--tag", "copy", ID), "count", 100),
        (("keep", "--every", "2m", ID), "every", 120.0),
        (("keep", "--every", "0", ID), "every", 0.0),
        (("keep", "--every", "1s", "--last", "3", ID), "last", 3),
        (("export", "--out", "f", ID), "form", "file"),
        (("export", "-o", "-", "--form", "wasm", ID), "form", "wasm"),
        (("restore", "--memory", "1MiB", ID), "limits", {"memory": 1 << 20}),
        (("restore", ID), "limits", {}),
        (("restore", ID), "transient", None),
        (("restore", ID), "policy", {}),
        (("restore", "--transient", ID), "transient", True),
        (("restore", "--wake", "any", "--idle-store", "1m", ID), "policy", {"wake": "any", "idle_store": 60.0}),
        (("restore", "--keep-last", "2", ID), "policy", {"keep_last": 2}),
        (("restore", "--idle-park", "0", ID), "policy", {"idle_park": 0.0}),
        (("clone", ID), "transient", None),
        (("clone", "--transient", ID), "transient", True),
        (("clone", "--no-transient", ID), "transient", False),
        (("clone", ID), "durable", False),
        (("clone", "--durable", ID), "durable", True),
        (("policy", ID), "policy", {}),
        (("policy", "--wake", "any", "--keep-every", "0", ID), "policy", {"wake": "any", "keep_every": 0.0}),
        (("launch", "--wake", "any", "--transient", "m.wasm"), "policy", {}),
        (("launch", "--wake", "any", "--transient", "m.wasm"), "transient", None),
    ],
)
def test_every_option_has_its_place(line: tuple[str, ...], field: str, value: object) -> None:
    assert getattr(live(*line), field) == value


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (("clone", "-n", "0", ID), "-n 0: it must be a number from 1 to 100."),
        (("clone", "-n", "101", ID), "-n 101: it must be a number from 1 to 100."),
        (("clone", "-n", "\u0661", ID), "-n \u0661: it must be a number from 1 to 100."),
        (("keep", "--every", "1s", "--last", "none", ID), "--last none: it must be a number from 1."),
        (("keep", ID), "Say how often: `gatebus keep --every 60s INSTANCE`; --every 0 ends it."),
        (("export", ID), "Say where to: `gatebus export --out FILE SNAPSHOT`; `--out -` is stdout."),
        (("diff", ID), "It is written `gatebus diff SNAPSHOT SNAPSHOT`; see `gatebus diff --help`."),
        (("snapshot",), "It is written `gatebus snapshot [--tag TAG] INSTANCE`; see `gatebus snapshot --help`."),
    ],
)
def test_what_cannot_be_meant_is_said_with_what_to_write(line: tuple[str, ...], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        live(*line)
    assert caught.value.text == text


def test_who_may_connect_to_what_is_restored_can_be_said() -> None:
    assert bus_options("restore", ["--open", ID]).open
    assert not bus_options("restore", [ID]).open


def test_a_time_that_is_none_is_named_with_its_option() -> None:
    with pytest.raises(UsageError) as caught:
        live("keep", "--every", "soon", ID)
    assert caught.value.text.startswith("--every soon: ")


def test_a_program_that_is_launched_without_a_word_has_the_hosts_life() -> None:
    assert life("launch") == {}


def test_all_of_a_life_can_be_said() -> None:
    assert life("launch", "--transient", "--resumable") == {"transient": True, "resumable": True}
    assert life("launch", "--plain") == {"suspendable": False}
    assert life("call", "--warm") == {"warm": True}
    assert life(
        "launch", "--wake", "never", "--idle-park", "1s", "--idle-store", "1m", "--keep-every", "2m", "--keep-last", "3"
    ) == {"policy": {"wake": "never", "idle_park": 1.0, "idle_store": 60.0, "keep_every": 120.0, "keep_last": 3}}


def test_a_program_that_is_warmed_is_not_offered_the_files_that_no_host_would_take() -> None:
    assert "--dir" in bus_parser("call").format_help()
    assert "--dir" not in bus_parser("warm").format_help()
    with pytest.raises(UsageError) as caught:
        bus_options("warm", ["--dir", ".", "m.wasm"])
    assert "--dir" in caught.value.text


@pytest.mark.parametrize("option", [("--resumable",), ("--wake", "io"), ("--keep-every", "1s")])
def test_one_that_cannot_be_stopped_has_nothing_else_of_this_life(option: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        life("launch", "--plain", *option)
    assert caught.value.text == (
        "--plain makes a program that cannot be stopped: leave out the other options of its life."
    )


def test_checkpoints_that_nobody_takes_cannot_stay() -> None:
    with pytest.raises(UsageError) as caught:
        life("launch", "--keep-last", "2")
    assert caught.value.text == "--keep-last says how many checkpoints stay; --keep-every TIME takes them."
