"""argv of `gatebus ipfs`: what each command takes, what it refuses, and that its help says all of it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.cli.ipfs_options import IPFS_COMMANDS, IpfsOptions, ipfs_options
from gatebus.faults import HelpAsked, UsageError


def helped(*line: str) -> str:
    with pytest.raises(HelpAsked) as asked:
        ipfs_options(line)
    return str(asked.value.text)


def refused(*line: str) -> str:
    with pytest.raises(UsageError) as fault:
        ipfs_options(line)
    return fault.value.text


@pytest.mark.parametrize("name", IPFS_COMMANDS)
def test_the_help_of_each_command_says_what_it_takes_does_and_prints(name: str) -> None:
    for line in ((name, "--help"), (name, "-h"), ("--offline", name, "--help"), ("--help", name)):
        told = helped(*line)
        assert told.startswith(f"usage: gatebus ipfs {name} [OPTION ...] {IPFS_COMMANDS[name].takes}".rstrip())
        assert IPFS_COMMANDS[name].help in told
        assert "prints: " in told
        assert "exit codes: 0 " in told
        assert f"example: gatebus ipfs {name}" in told
        assert "125 " in told
        assert all(len(row) <= 120 for row in told.splitlines())


@pytest.mark.parametrize("name", IPFS_COMMANDS)
def test_the_example_of_each_command_is_understood(name: str) -> None:
    example = helped(name, "--help").partition("example: gatebus ipfs ")[2].splitlines()[0]
    assert ipfs_options(example.split()).command == name


def test_the_help_of_all_lists_each_command_and_says_where_more_is() -> None:
    for line in (("--help",), ("-h",), ("--source", "x", "--help")):
        told = helped(*line)
        assert "`gatebus ipfs COMMAND --help` says more" in told
        for name, command in IPFS_COMMANDS.items():
            assert f"\n  {name} {command.takes}".rstrip() in told


def test_options_stand_anywhere() -> None:
    wanted = IpfsOptions("ls", ("CID",), ("a", "b"), json=True)
    for line in (
        "ls --source a --source b --json CID",
        "--source a --source b ls CID --json",
        "--json ls CID --source a --source=b",
    ):
        assert ipfs_options(line.split()) == wanted
    assert ipfs_options(["get", "-o", "there", "CID"]) == IpfsOptions("get", ("CID",), None, out="there")
    assert ipfs_options(["--out", "cat", "get", "CID"]) == IpfsOptions("get", ("CID",), None, out="cat")
    assert ipfs_options(["add", "--profile", "kubo-v1", "a", "b"]) == IpfsOptions("add", ("a", "b"), None, "kubo-v1")
    assert ipfs_options(["add", "--", "-f"]).arguments == ("-f",)
    assert ipfs_options(["cat", "CID", "--offline"]).sources == ()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("", "No command is named. `gatebus ipfs --help` lists them."),
        ("--offline", "No command is named. `gatebus ipfs --help` lists them."),
        ("nope CID", "There is no command `nope` of `gatebus ipfs`. `gatebus ipfs --help` lists them."),
        ("cat", "It is written `gatebus ipfs cat ADDRESS`; see `gatebus ipfs cat --help`."),
        ("cat a b", "It is written `gatebus ipfs cat ADDRESS`; see `gatebus ipfs cat --help`."),
        ("add", "It is written `gatebus ipfs add FILE ...`; see `gatebus ipfs add --help`."),
        ("gc x", "It is written `gatebus ipfs gc`; see `gatebus ipfs gc --help`."),
        ("pin a b", "It is written `gatebus ipfs pin [ADDRESS]`; see `gatebus ipfs pin --help`."),
        ("cat --json a", "Unrecognized arguments: --json. `gatebus ipfs cat --help` shows how it is written."),
        ("cat --out x", "Unrecognized arguments: --out. `gatebus ipfs cat --help` shows how it is written."),
        ("add - a -", "`-` is stdin, which can be read once."),
        ("get --out= a", "--out: the name is empty. Name a new file or directory."),
        ("ls --offline --source x a", "--offline and --source contradict each other."),
        (
            "ls a --source",
            "Argument --source: expected one argument. `gatebus ipfs ls --help` shows how it is written.",
        ),
    ],
)
def test_what_is_written_wrongly_is_answered_by_how_it_is_written(line: str, text: str) -> None:
    assert refused(*line.split()) == text


WORDS = st.sampled_from(
    [*IPFS_COMMANDS, "--source", "--offline", "--json", "--out", "-o", "--profile", "--", "-", "", "x"]
)


@given(st.lists(WORDS, max_size=7))
def test_no_line_makes_anything_but_options_or_a_fault(line: list[str]) -> None:
    with suppress(UsageError):
        options = ipfs_options(line)
        assert options.command in line
        least, most = IPFS_COMMANDS[options.command].count
        assert least <= len(options.arguments) <= most
