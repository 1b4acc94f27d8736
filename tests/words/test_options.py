"""gatebus.cli.options: what a command line means, and the one line that says what is wrong with it."""

from dataclasses import fields

import pytest

from gatebus.cli.options import (
    Copied,
    directory,
    doctor_options,
    environment,
    run_options,
    run_parser,
    with_defaults,
)
from gatebus.faults import UsageError
from sandbox.limits import Limits, written


def refused(*arguments: str) -> str:
    with pytest.raises(UsageError) as caught:
        run_options(arguments)
    return caught.value.text


def test_a_file_alone_has_all_defaults() -> None:
    options = run_options(["hello.wasm"])
    assert (options.file, options.arguments, options.limits) == ("hello.wasm", (), Limits())
    assert (options.backend, options.out, options.function, options.usage, options.json) == (
        "native",
        None,
        None,
        False,
        False,
    )


def test_everything_behind_the_file_is_the_programs() -> None:
    options = run_options(["--usage", "qjs.wasm", "--usage", "-e", "--", "--memory", "x"])
    assert options.usage
    assert options.arguments == ("--usage", "-e", "--", "--memory", "x")


def test_two_dashes_before_a_file_are_not_the_file() -> None:
    assert run_options(["--json", "--", "-odd.wasm", "a"]).file == "-odd.wasm"


def test_options_are_taken_as_written() -> None:
    options = run_options(
        [
            "--env",
            "A=1",
            "--env",
            "B",
            "--dir",
            "in::data",
            "--dir",
            ".",
            "--out",
            "o",
            "--function",
            "f",
            "--json",
            "--backend",
            "portable",
            "--config",
            "c.toml",
            "x.wat",
        ]
    )
    assert options.environment == ("A=1", "B")
    assert options.directories == (Copied("in", "data"), Copied(".", ""))
    assert (options.out, options.function, options.backend, options.config) == ("o", "f", "portable", "c.toml")
    assert options.json


def test_limits_are_written_as_a_person_writes_them() -> None:
    limits = run_options(
        ["--wall-time", "1s", "--cpu-time", "500ms", "--memory", "1MiB", "--stack", "8MiB", "x"]
    ).limits
    assert (limits.wall_time, limits.cpu_time, limits.memory, limits.stack) == (1.0, 0.5, 1 << 20, 8 << 20)
    assert run_options(["--wall-time", "none", "x"]).limits.wall_time is None


@pytest.mark.parametrize("name", [each.name for each in fields(Limits)])
def test_every_limit_has_its_flag_and_its_help_says_default_and_reason(name: str) -> None:
    text = " ".join(run_parser().format_help().split())
    bounds = next(each for each in fields(Limits) if each.name == name)
    assert f"--{name.replace('_', '-')} " in text
    default = bounds.default
    assert isinstance(default, int | float)
    reason = " ".join(bounds.metadata["range"].reason.split())
    assert f"{written(default, bounds.metadata['range'].unit)}; {reason}" in text


def test_the_help_names_every_exit_code() -> None:
    text = run_parser().format_help()
    assert all(code in text for code in ("125", "126", "127", "130", "141", "143"))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "No file is named. Write `gatebus run FILE [ARGUMENT ...]`."),
        (("--",), "No file is named. Write `gatebus run FILE [ARGUMENT ...]`."),
        (("--memroy", "1", "x"), "Unrecognized arguments: --memroy. `gatebus run --help` shows how it is written."),
        (("--memory", "much", "x"), "--memory much: A size is written like 64MiB, 512KiB or 4096."),
        (("--wall-time", "soon", "x"), "--wall-time soon: A time is written like 500ms, 1s, 2m or 1h."),
        (("--dir", "::x", "x"), "--dir needs a directory: --dir HOST or --dir HOST::GUEST."),
        (("--dir", "../x", "x"), "--dir ../x: a name inside cannot contain `..`. Give it one: --dir ../x::NAME."),
        (
            ("--dir", "a::b/../c", "x"),
            "--dir a::b/../c: a name inside cannot contain `..`. Give it one: --dir a::NAME.",
        ),
    ],
)
def test_a_wrong_command_line_is_answered_in_one_line(arguments: tuple[str, ...], text: str) -> None:
    assert refused(*arguments) == text


def test_a_limit_out_of_range_is_named_with_its_range() -> None:
    assert refused("--stack", "1MiB", "x") == "--stack 1MiB: it must be 256KiB or 8MiB."


def test_an_unknown_backend_is_answered_with_those_that_exist() -> None:
    text = refused("--backend", "other", "x")
    assert "native" in text
    assert "portable" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("text", "host", "guest"),
    [
        (".", ".", ""),
        ("data", "data", "data"),
        ("./data/", "./data/", "data"),
        ("/srv/data", "/srv/data", "srv/data"),
        ("../up::in", "../up", "in"),
        ("data::/", "data", ""),
        ("data::.", "data", ""),
        ("data::/a//b", "data", "a/b"),
    ],
)
def test_a_directory_has_a_name_inside(text: str, host: str, guest: str) -> None:
    assert directory(text) == Copied(host, guest)


def test_a_variable_is_set_passed_on_or_missing() -> None:
    assert environment(("A=1", "B=", "C=x=y", "HOME"), {"HOME": "/h", "X": "1"}) == {
        "A": "1",
        "B": "",
        "C": "x=y",
        "HOME": "/h",
    }
    with pytest.raises(UsageError) as caught:
        environment(("NOPE",), {})
    assert caught.value.text == "--env NOPE: there is no such variable here. Write --env NOPE=VALUE."


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (64 << 20, "bytes", "64MiB"),
        (1000, "bytes", "1000"),
        (1 << 30, "bytes", "1GiB"),
        (0, "bytes", "0"),
        (30.0, "seconds", "30s"),
        (0.5, "seconds", "0.5s"),
        (None, "seconds", "none"),
        (65536, "elements", "65536"),
    ],
)
def test_a_limit_is_shown_as_one_writes_it(value: float | None, unit: str, text: str) -> None:
    assert written(value, unit) == text


def test_doctor_has_one_option() -> None:
    assert doctor_options(["--json"]).json
    assert not doctor_options([]).json
    with pytest.raises(UsageError):
        doctor_options(["--nope"])


@pytest.mark.parametrize(
    ("flag", "value", "allowed"),
    [
        ("--memory", "64", "64KiB to 4GiB"),
        ("--wall-time", "0", "0.001s to 4000000s"),
        ("--table", "100000000", "0 to 10000000"),
        ("--clock-resolution", "1h", "1ms to 1000ms"),
        ("--stack", "1MiB", "256KiB or 8MiB"),
    ],
)
def test_a_limit_out_of_range_is_told_as_it_is_typed(flag: str, value: str, allowed: str) -> None:
    assert refused(flag, value, "x") == f"{flag} {value}: it must be {allowed}."


def test_resolutions_are_times_and_counts_are_numbers() -> None:
    assert run_options(["--clock-resolution", "20ms", "x"]).limits.clock_resolution == 20
    assert run_options(["--clock-resolution", "20", "x"]).limits.clock_resolution == 20
    assert run_options(["--table", "1k", "--nodes", "7", "x"]).limits == Limits(table=1024, nodes=7)
    assert refused("--nodes", "1.5", "x") == "--nodes 1.5: A number is written like 4096 or 64K."
    assert refused("--clock-resolution", "2 days", "x").endswith("A time is written like 500ms, 1s, 2m or 1h.")


def test_a_default_gives_way_to_what_was_named() -> None:
    options = run_options(["--stack", "256KiB", "--memory", "1MiB", "x.js"])
    better = with_defaults(options, {"stack": "8MiB", "wall_time": "none"}).limits
    assert (better.stack, better.memory, better.wall_time) == (256 << 10, 1 << 20, None)


@pytest.mark.parametrize(
    ("defaults", "problem"),
    [
        ({"steck": "1"}, "The configuration names the limit `steck`; `gatebus run --help` lists them."),
        ({"memory": "much"}, "--memory much: A size is written like 64MiB, 512KiB or 4096."),
    ],
)
def test_a_default_that_is_no_limit_is_told(defaults: dict[str, str], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_defaults(run_options(["x"]), defaults)
    assert caught.value.text == problem


def test_who_is_asked_for_content_is_nobody_those_that_are_named_or_as_configured() -> None:
    assert run_options(["ipfs://x"]).sources is None
    assert run_options(["--offline", "ipfs://x"]).sources == ()
    assert run_options(["--source", "https://a", "--source", "https://b", "ipfs://x"]).sources == (
        "https://a",
        "https://b",
    )
    with pytest.raises(UsageError) as refused:
        run_options(["--offline", "--source", "https://a", "ipfs://x"])
    assert refused.value.text == "--offline and --source contradict each other."
