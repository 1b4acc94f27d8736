"""gatebus.cli.bus_options: what is typed for a host, and what is said about what cannot be meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.__main__ import BUS, at_host, main
from gatebus.__main__ import COMMANDS as OWN
from gatebus.cli.bus_options import (
    COMMANDS,
    BusOptions,
    ProgramOptions,
    bus_options,
    bus_parser,
    digest,
    instance_id,
)
from gatebus.cli.ipfs_options import IpfsOptions
from gatebus.cli.options import Copied
from gatebus.faults import UsageError

if TYPE_CHECKING:
    from pathlib import Path

ID = "7c1f3bd7-e35b-4439-beb3-d1984745ab3f"


def fault(name: str, *arguments: str) -> str:
    with pytest.raises(UsageError) as caught:
        bus_options(name, arguments)
    return caught.value.text


def test_every_command_of_the_table_is_a_command_of_gatebus_and_none_is_there_twice() -> None:
    assert set(BUS) == set(COMMANDS)
    assert set(BUS) & set(OWN) == {"show", "export"}  # of a file here, or of something at a host


@pytest.mark.parametrize(
    "name", sorted(each for each, command in COMMANDS.items() if command.count[1] and not command.program)
)
def test_behind_two_dashes_everything_is_a_name(name: str) -> None:
    least = COMMANDS[name].count[0]
    needed = {"export": ["--out", "file"], "keep": ["--every", "1"]}.get(name, [])
    names = ("-rf", "--", "--json")[: max(least, 1)]
    given = bus_options(name, ["--json", *needed, "--", *names])
    assert (given.json, given.arguments) == (True, names)
    if COMMANDS[name].count[1] > len(names):
        assert bus_options(name, ["first", *needed, "--", *names]).arguments == ("first", *names)


def test_behind_two_dashes_a_name_is_no_option_that_would_choose_a_host() -> None:
    assert at_host(["--", "--host"])
    assert at_host(["--", "-x"])
    assert not at_host(["--json", "--", str(__file__)])


def test_a_call_keeps_everything_behind_the_module_for_the_program() -> None:
    given = bus_options("call", ["--host", "lab", "--json", "m.wasm", "--host", "other", "-x", "--", "y"])
    assert (given.host, given.json) == ("lab", True)
    assert given.program is not None
    assert given.program.module == "m.wasm"
    assert given.program.arguments == ("--host", "other", "-x", "--", "y")


@pytest.mark.parametrize("stray", ["--host", "--key", "--host=lab", "--key=me"])
def test_another_host_or_key_behind_the_module_is_not_taken_silently_for_the_programs(stray: str) -> None:
    assert fault("launch", "m.wasm", "a", stray) == (
        f"{stray} stands behind the module, so the program would get it, and run at another host than you mean. "
        f"Write it before the module; `gatebus launch -- MODULE {stray} ...` if it is for the program."
    )
    program = bus_options("launch", ["--", "m.wasm", "a", stray]).program
    assert program is not None
    assert program.arguments == ("a", stray)


def test_a_tag_behind_the_module_of_a_launch_is_not_taken_silently_for_the_programs() -> None:
    assert fault("launch", "m.wasm", "--tag", "t") == (
        "--tag stands behind the module, so the program would get it. "
        "Write it before the module; `gatebus launch -- MODULE --tag ...` if it is for the program."
    )
    for line in (["--tag", "t", "m.wasm", "--tag", "x"], ["--", "m.wasm", "--tag", "x"]):
        program = bus_options("launch", line).program
        assert program is not None
        assert program.arguments == ("--tag", "x")
    program = bus_options("call", ["m.wasm", "--tag", "x"]).program
    assert program is not None
    assert program.arguments == ("--tag", "x")


def test_everything_that_can_be_said_about_a_program() -> None:
    given = bus_options(
        "call",
        [
            *("--env", "A=1", "--env", "B", "--dir", "here::there", "--out", "left", "--function", "f"),
            *("--config", "c.toml", "--memory", "1MiB", "--wall-time", "none", "--usage", "--", "m.wasm", "a"),
        ],
    )
    assert given.program == ProgramOptions(
        "m.wasm",
        ("a",),
        ("A=1", "B"),
        (Copied("here", "there"),),
        "left",
        "f",
        "c.toml",
        {"memory": 1 << 20, "wall_time": None},
        usage=True,
    )


def test_only_limits_that_were_asked_for_are_sent() -> None:
    given = bus_options("launch", ["m.wasm"])
    assert given.program is not None
    assert given.program.limits == {}


def test_the_help_of_a_launch_has_what_each_limit_is_when_nobody_says_otherwise() -> None:
    shown = " ".join(bus_parser("launch").format_help().split())
    for each in (
        "--cpu-time VALUE in seconds, default 30s,",
        "--wall-time VALUE in seconds, default none (without a key",
    ):
        assert each in shown
    assert "--wall-time VALUE in seconds, default 300s," in " ".join(bus_parser("call").format_help().split())


def test_a_launch_has_tags_and_may_be_open() -> None:
    given = bus_options("launch", ["--tag", "a", "--tag", "b", "--open", "m.wasm"])
    assert (given.tags, given.open) == (("a", "b"), True)
    assert bus_options("launch", ["m.wasm"]).open is False


def test_options_and_arguments_of_the_others_stand_in_any_order() -> None:
    assert bus_options("kill", ["a", "--host", "h", "b"]).arguments == ("a", "b")
    assert bus_options("push", ["f", "--tag", "t", "--loose"]) == BusOptions(
        "push", None, None, False, ("f",), tags=("t",), loose=True
    )
    assert bus_options("events", ["--since", "7"]).since == 7
    assert bus_options("wait", ["a", "--timeout", "2m"]).timeout == 120
    assert (bus_options("wait", ["--timeout", "0", "a"]).timeout, bus_options("wait", ["a"]).timeout) == (0, None)
    assert bus_options("login", ["n", "a", "--host-key", "SHA256:x", "--default", "--key", "anonymous"]) == BusOptions(
        "login", None, "anonymous", False, ("n", "a"), host_key="SHA256:x", default=True
    )
    assert bus_options("login", ["--forget", "n"]) == BusOptions("login", None, None, False, ("n",), forget=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_names_a_host_a_key_and_json(name: str) -> None:
    least = ["x"] * max(1, COMMANDS[name].count[0]) if COMMANDS[name].program or COMMANDS[name].count[0] else []
    needed = {"keep": ["--every", "1s"], "export": ["--out", "f"]}.get(name, [])
    host = [] if name == "login" else ["--host", "h"]  # whose argument it is
    given = bus_options(name, [*host, "--key", "k", "--json", *needed, *least])
    assert (given.command, given.host, given.key, given.json) == (name, None if name == "login" else "h", "k", True)
    assert len(COMMANDS[name].help) > 10
    assert bus_parser(name).format_help().startswith(f"usage: gatebus {name} [OPTION ...]")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (("call",), "No module is named. Write `gatebus call MODULE [ARGUMENT ...]`."),
        (("launch", "--"), "No module is named. Write `gatebus launch MODULE [ARGUMENT ...]`."),
        (("io",), "It is written `gatebus io INSTANCE`; see `gatebus io --help`."),
        (("io", "a", "b"), "It is written `gatebus io INSTANCE`; see `gatebus io --help`."),
        (("ps", "a"), "It is written `gatebus ps`; see `gatebus ps --help`."),
        (("kill",), "It is written `gatebus kill INSTANCE ...`; see `gatebus kill --help`."),
        (
            ("login", "a", "b", "c"),
            "It is written `gatebus login [NAME ADDRESS | --forget NAME]`; see `gatebus login --help`.",
        ),
        (
            ("events", "--since", "x"),
            "Argument --since: invalid int value: 'x'. `gatebus events --help` shows how it is written.",
        ),
        (("login", "--host", "h"), "Unrecognized arguments: --host. `gatebus login --help` shows how it is written."),
        (("wait", "--timeout", "soon", "a"), "--timeout soon: A time is written like 500ms, 1s, 2m or 1h."),
        (("ps", "--hots"), "Unrecognized arguments: --hots. `gatebus ps --help` shows how it is written."),
        (("call", "--memory", "1", "m"), "--memory 1: it must be 64KiB to 4GiB."),
        (("call", "--dir", "::x", "m"), "--dir needs a directory: --dir HOST or --dir HOST::GUEST."),
    ],
)
def test_what_cannot_be_meant_is_told(line: tuple[str, ...], told: str) -> None:
    assert fault(*line) == told


@pytest.mark.parametrize("name", ["show", "export"])
def test_the_help_of_what_is_for_files_and_for_hosts_says_both(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    told = capsys.readouterr().out
    assert "FILE\n" in told
    assert all(
        each in told
        for each in ("[--host HOST] [--key FILE]", " SNAPSHOT", "no file here" if name == "export" else " INSTANCE")
    )


@pytest.mark.parametrize("option", ["--host", "--key", "--form"])
def test_whoever_names_a_host_or_a_key_means_one_although_a_file_has_the_name(option: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("")
    assert at_host([option, str(tmp_path / "key"), "abcd"])
    assert at_host([f"{option}={tmp_path / 'key'}", str(tmp_path / "key")])
    assert not at_host(["--json", str(tmp_path / "key")])
    assert not at_host(["-o", str(tmp_path / "none"), str(tmp_path / "key")])
    assert at_host(["-o", str(tmp_path / "key"), "abcd"])


def test_a_module_by_its_hash_has_64_digits() -> None:
    assert digest("0A" * 32) == bytes([10]) * 32
    for other in ("0a" * 31, "0a" * 33, "zz" * 32, "", "hello.wasm"):
        assert digest(other) is None


def test_an_instance_is_written_with_or_without_dashes() -> None:
    whole = bytes.fromhex(ID.replace("-", ""))
    assert instance_id(ID) == instance_id(ID.upper()) == instance_id(ID.replace("-", "")) == whole
    assert instance_id(ID[:-1]) is None


@pytest.mark.parametrize("name", ["push", "pin", "unpin", "launch"])
def test_tags_are_written_in_the_same_way_everywhere(name: str) -> None:
    assert bus_options(name, ["--tag", "a", "--tag", "b", "m"]).tags == ("a", "b")


@pytest.mark.parametrize("name", ["io", "status", "wait", "kill", "rm"])
def test_the_help_of_a_command_says_how_an_instance_is_named(name: str) -> None:
    assert "its first digits, at least four, or a tag" in bus_parser(name).format_help()


@given(st.sampled_from(sorted(COMMANDS)), st.lists(st.text(max_size=12), max_size=5))
def test_no_line_makes_anything_but_options_or_a_fault(name: str, line: list[str]) -> None:
    line = [each for each in line if not each.startswith("-h") and not "--help".startswith(each[:6] or "x")]
    try:
        told = bus_options(name, line).command
    except UsageError as problem:
        told = problem.text
    assert told


def test_a_push_by_content_goes_to_no_host() -> None:
    content = IpfsOptions("add", ("f",), None)
    assert bus_options("push", ["--ipfs", "f"]) == BusOptions(
        "push", None, None, False, ("f",), ipfs=True, content=content
    )
    for more in (["--host", "h"], ["--key", "k"], ["--tag", "t"], ["--loose"]):
        with pytest.raises(UsageError) as fault:
            bus_options("push", ["--ipfs", "f", *more])
        assert fault.value.text == (
            "--ipfs is for your own store and nodes (--source node+http://HOST:PORT), not for a host, and "
            f"{more[0]} is of hosts only. Leave out one or the other."
        )


def test_a_push_by_content_takes_what_ipfs_add_takes() -> None:
    line = ["--ipfs", "--json", "--profile", "kubo-v1", "--source", "node+http://a", "--source", "node+http://b", "f"]
    sources = ("node+http://a", "node+http://b")
    assert bus_options("push", line).content == IpfsOptions("add", ("f",), sources, "kubo-v1", json=True)
    assert bus_options("push", ["f", "--ipfs", "--offline"]).content == IpfsOptions("add", ("f",), ())
    for more in (["--source", "x"], ["--offline"], ["--profile", "x"]):
        with pytest.raises(UsageError, match=f"^{more[0]} goes with --ipfs only. Write that, too, or leave it out: "):
            bus_options("push", ["f", *more])
    with pytest.raises(UsageError, match="contradict each other"):
        bus_options("push", ["--ipfs", "--offline", "--source", "x", "f"])
