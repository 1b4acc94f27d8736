"""argv -> what is wanted; words: nothing is read or printed here.

In:  the arguments of `gatebus run` and `gatebus doctor`, typed by the person who owns the machine.
Out: RunOptions or DoctorOptions; UsageError with one line that says what to write instead.

Each limit of the sandbox is a flag by itself: the table in sandbox.limits makes them, with default and reason as
help. Everything behind FILE belongs to the program, options too.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn, cast

from gatebus.faults import HelpAsked, UsageError
from sandbox.errors import BadSetup
from sandbox.limits import Limits, Range, parse, parse_time, written

RUN_HELP = """Run a WebAssembly program in a sandbox. It gets stdin, stdout and stderr, its arguments, and nothing
else of this machine: no files but copies of those that you name, no network, no other process."""

RUN_NOTES = """exit codes: the program's own (255 for larger ones); 124 stopped by --suspend-after, its state is in
--state; 125 refused (also a state), or an error of ours; 126 killed (the last line says why); 127 no such file;
130 Ctrl-C, 143 terminated, 141 nobody reads its output any more.
FILE is a module (.wasm, or .wat as text), or a file that the configuration has a module for, such as .js; `-` is a
module that comes through stdin. It may be ipfs://CID or ipfs://CID/path: then it is fetched, and every byte of it
verified (`gatebus ipfs --help`).
At a terminal --wall-time is none unless it is named: whoever types decides with Ctrl-C how long it takes."""

DOCTOR_HELP = "Say whether programs can run here, which layers of protection are on, and how to get the others."

DOCTOR_NOTES = "exit codes: 0 programs run natively; 1 only the portable back-end works; 2 none does."


class Copied(NamedTuple):
    """`--dir HOST[::GUEST]`."""

    host: str
    guest: str


class RunOptions(NamedTuple):
    file: str
    arguments: tuple[str, ...]
    limits: Limits
    backend: str
    environment: tuple[str, ...]
    directories: tuple[Copied, ...]
    out: str | None
    function: str | None
    config: str | None
    usage: bool
    json: bool
    sources: tuple[str, ...] | None = None
    """For `ipfs://`. None: as the machine is configured."""
    chosen: frozenset[str] = frozenset()
    """Limits that were named: no default of ours is better."""
    suspend_after: float | None = None
    """Seconds; the program's state is written to `state` then."""
    state: str | None = None
    resume: bool = False
    """`file` is a state."""
    ignore_state: bool = False
    """An exported program is run as the module that it is."""


SHOW_HELP = """Show what a stopped program was doing: its frames with names, its memory, what takes how much room.
Of a module: whether it can be stopped, or which function is in the way and why. Of what is stopped at a host, too."""

SHOW_NOTES = """Where there is a file of that name it is the file, and no host is asked, unless --host or --key is
written: a state of `gatebus run --suspend-after TIME --state FILE`, or a module. Else a snapshot of yours at the host,
or an instance that is stored (`gatebus ps`): a name, its first digits, at least four, or a tag."""


class ShowOptions(NamedTuple):
    file: str
    json: bool


EXPORT_HELP = """Make one ordinary WebAssembly module of a stopped program: it goes on where it was stopped, in any
runtime that has what it imports (`wasmtime run OUT`)."""

EXPORT_NOTES = """In the module are its memory, variables and frames. Files, what it had not read and its clock stood
outside of it: they are in the section `gatebus.state`, which other runtimes leave alone. `gatebus run OUT` goes on by
that section, exactly as `gatebus run --resume` does, or refuses it; with --ignore-state it leaves it alone, too.
A script (.js) is a file of the program that runs it: its state needs --leave-behind always.
Of a snapshot at a host: gatebus export [--form FORM] --out FILE SNAPSHOT (whatever is no file here, or with --host,
--key or --form): form file is for any host, state for `gatebus run --resume`, wasm for any runtime; `-` is stdout."""


class ExportOptions(NamedTuple):
    file: str
    out: str
    leave_behind: bool
    plain: bool


class DoctorOptions(NamedTuple):
    json: bool


class _Parser(argparse.ArgumentParser):
    def print_help(self, file: object = None) -> NoReturn:
        """It is printed where all output is: a full disk behind `--help > FILE` is told. Raises HelpAsked."""
        raise HelpAsked(self.format_help())

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[:1].upper()}{message[1:]}. `{self.prog} --help` shows how it is written.")


def run_parser() -> argparse.ArgumentParser:
    parser = command_parser("run", RUN_HELP, RUN_NOTES)
    parser.usage = "gatebus run [OPTION ...] FILE [ARGUMENT ...]"
    add = parser.add_argument
    parser.add_argument("--env", action="append", default=[], metavar="K=V", help="set a variable; K alone: yours")
    parser.add_argument(
        "--dir", action="append", default=[], metavar="HOST[::GUEST]", help="copy a directory in; repeatable"
    )
    parser.add_argument("--out", metavar="DIR", help="copy its files here at the end; a new or empty directory")
    add("--function", metavar="NAME", help="call this exported function instead of _start")
    add("--backend", choices=("native", "portable"), default="native", help="default: native (Linux)")
    parser.add_argument("--source", action="append", metavar="URL", help="for ipfs://: ask this one; repeatable")
    add("--offline", action="store_true", help="for ipfs://: ask nobody: only what is here")
    add("--config", metavar="FILE", help="default: your ~/.config/gatebus/config.toml")
    add("--suspend-after", metavar="TIME", help="stop it then, wherever it is, and write its state to --state")
    add("--state", metavar="FILE", help="where its state is written, in place of an older one; see --resume")
    add(
        "--resume",
        metavar="FILE",
        help="go on from a state, on any machine; instead of FILE [ARGUMENT ...]; `-`: stdin",
    )
    add("--ignore-state", action="store_true", help="run an exported program (gatebus export) as any runtime does")
    add("--usage", action="store_true", help="print on stderr what the run cost")
    parser.add_argument("--json", action="store_true", help="print the result on stderr as one line of JSON")
    group = parser.add_argument_group("limits (default; reason)")
    for each in fields(Limits):
        bounds = each.metadata["range"]
        text = f"{written(cast('float | None', each.default), bounds.unit)}; {bounds.reason}".replace("%", "%%")
        group.add_argument(flag(each.name), metavar=_placeholder(bounds.unit), help=text)
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def doctor_parser() -> argparse.ArgumentParser:
    parser = command_parser("doctor", DOCTOR_HELP, DOCTOR_NOTES)
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return parser


def command_parser(command: str, text: str, notes: str) -> argparse.ArgumentParser:
    return _Parser(
        prog=f"gatebus {command}",
        description=text,
        epilog=notes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def run_options(arguments: Sequence[str]) -> RunOptions:
    """Raises UsageError; HelpAsked."""
    given = _parsed(arguments)
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    if given.offline and given.source:
        raise UsageError("--offline and --source contradict each other.")
    if given.resume is not None and command:
        raise UsageError("--resume FILE goes on with the program that is in the state; name no other.")
    if given.resume is not None and (given.env or given.dir):
        raise UsageError("--env and --dir are in the state: --resume goes on with what the program has.")
    if given.resume is not None and given.ignore_state:
        raise UsageError("--ignore-state is for an exported program, --resume for a state: write one of them.")
    if not command and given.resume is None:
        raise UsageError("No file is named. Write `gatebus run FILE [ARGUMENT ...]`.")
    if (given.suspend_after is None) is not (given.state is None):
        raise UsageError("--suspend-after TIME and --state FILE belong together.")
    return RunOptions(
        file=given.resume if given.resume is not None else command[0],
        arguments=tuple(command[1:]),
        limits=_limits(given),
        backend=given.backend,
        environment=tuple(given.env),
        directories=tuple(map(directory, given.dir)),
        out=given.out,
        function=given.function,
        config=given.config,
        usage=given.usage,
        json=given.json,
        sources=() if given.offline else tuple(given.source) if given.source else None,
        chosen=frozenset(each.name for each in fields(Limits) if getattr(given, each.name) is not None),
        suspend_after=None if given.suspend_after is None else _time("--suspend-after", given.suspend_after),
        state=given.state,
        resume=given.resume is not None,
        ignore_state=given.ignore_state,
    )


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """`-1s` behind an option looks like another option; it is told as what it is."""
    try:
        return run_parser().parse_args(arguments)
    except UsageError as fault:
        for option, value in pairwise(arguments):
            if fault.text.startswith(f"Argument {option}: expected one") and value[:1] == "-" and value[1:2].isdigit():
                raise UsageError(f"{option} {value}: it cannot be less than nothing.") from None
        raise


def _time(name: str, text: str) -> float:
    try:
        return parse_time(text)
    except BadSetup as fault:
        raise UsageError(f"{name} {text}: {fault.text}") from None


def show_options(arguments: Sequence[str]) -> ShowOptions:
    """Raises UsageError; HelpAsked."""
    parser = command_parser("show", SHOW_HELP, SHOW_NOTES)
    parser.usage = """gatebus show [--json] FILE
       gatebus show [--host HOST] [--key FILE] [--json] SNAPSHOT | INSTANCE"""
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    parser.add_argument(
        "file",
        metavar="FILE",
        help="a state of `gatebus run --suspend-after TIME --state FILE`, or a module; `-`: stdin",
    )
    given = parser.parse_args(arguments)
    return ShowOptions(file=given.file, json=given.json)


def export_options(arguments: Sequence[str]) -> ExportOptions:
    """Raises UsageError; HelpAsked."""
    parser = command_parser("export", EXPORT_HELP, EXPORT_NOTES)
    parser.usage = """gatebus export [--leave-behind] [--plain] -o OUT FILE
       gatebus export [--host HOST] [--key FILE] [--form file|state|wasm] [--json] [-o OUT] SNAPSHOT"""
    parser.add_argument("file", metavar="FILE", help="of `gatebus run --suspend-after TIME --state FILE`; `-`: stdin")
    parser.add_argument(
        "-o", "--out", required=True, metavar="OUT", help="the module; it replaces a file, but no state; `-`: stdout"
    )
    parser.add_argument(
        "--leave-behind", action="store_true", help="also with files or unread input, which only gatebus has then"
    )
    parser.add_argument("--plain", action="store_true", help="without the section gatebus.state")
    given = parser.parse_args(arguments)
    return ExportOptions(given.file, given.out, given.leave_behind, given.plain)


def doctor_options(arguments: Sequence[str]) -> DoctorOptions:
    """Raises UsageError; HelpAsked."""
    return DoctorOptions(json=doctor_parser().parse_args(arguments).json)


def with_defaults(options: RunOptions, defaults: Mapping[str, str]) -> RunOptions:
    """`defaults`: limits, as one writes them, where the command line names none. Raises UsageError."""
    values: dict[str, Any] = {}
    for name, text in defaults.items():
        if name not in {each.name for each in fields(Limits)}:
            raise UsageError(f"The configuration names the limit `{name}`; `gatebus run --help` lists them.")
        if name not in options.chosen:
            values[name] = limit(name, text)
    return options._replace(limits=replace(options.limits, **values))


def _limits(given: argparse.Namespace) -> Limits:
    set_here = {each.name: getattr(given, each.name) for each in fields(Limits)}
    values: dict[str, Any] = {}
    for name, text in set_here.items():
        if text is not None:
            values[name] = limit(name, text)
    return Limits(**values)


def limit(name: str, text: str) -> float | None:
    try:
        value = parse(Limits, name, text)
    except BadSetup as fault:
        raise UsageError(f"{flag(name)} {text}: {fault.text}") from None
    bounds = range_of(name)
    inside = value is None or bounds.minimum <= value <= bounds.maximum
    if not inside or (bounds.steps and value not in bounds.steps):
        raise UsageError(f"{flag(name)} {text}: it must be {_allowed(bounds)}.")
    return value


def _allowed(bounds: Range) -> str:
    if bounds.steps:
        return " or ".join(written(each, bounds.unit) for each in bounds.steps)
    return f"{written(bounds.minimum, bounds.unit)} to {written(bounds.maximum, bounds.unit)}"


def range_of(name: str) -> Range:
    return next(cast("Range", each.metadata["range"]) for each in fields(Limits) if each.name == name)


def directory(text: str) -> Copied:
    """HOST alone appears under the same name; an absolute one without its first slash; `.` is the root."""
    host, found, guest = text.partition("::")
    parts = [part for part in (guest if found else host).split("/") if part not in ("", ".")]
    if not host:
        raise UsageError("--dir needs a directory: --dir HOST or --dir HOST::GUEST.")
    if ".." in parts:
        raise UsageError(f"--dir {text}: a name inside cannot contain `..`. Give it one: --dir {host}::NAME.")
    return Copied(host, "/".join(parts))


def environment(settings: Sequence[str], ours: dict[str, str]) -> dict[str, str]:
    """`K=V` as it stands; `K` takes the value that it has here."""
    found = {}
    for setting in settings:
        name, given, value = setting.partition("=")
        if not given and name not in ours:
            raise UsageError(f"--env {name}: there is no such variable here. Write --env {name}=VALUE.")
        found[name] = value if given else ours[name]
    return found


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _placeholder(unit: str) -> str:
    return {"bytes": "SIZE", "seconds": "TIME", "milliseconds": "TIME"}.get(unit, "N")
