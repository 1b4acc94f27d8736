"""argv of the commands that talk to a host -> what is wanted; words.

In:  arguments, typed by a person or a script. Out: BusOptions; UsageError with one line that says what to write.

One table says of each command what it takes; what all of them take (which host, which key, --json) is added to each.
Everything behind MODULE belongs to the program, options too.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, cast

from gatebus.cli.command_words import CALL_NOTES, INSTANCE_NOTES, IO_NOTES, Command, add_tags
from gatebus.cli.ipfs_options import IpfsOptions, add_nodes, adding_options
from gatebus.cli.life_options import add_call_life, add_life, life_of_program, time_of
from gatebus.cli.live_options import LIVE_COMMANDS, NO_LIVE_OPTIONS, LiveOptions, live_options
from gatebus.cli.options import Copied, command_parser, directory, flag, limit, range_of
from gatebus.faults import UsageError
from sandbox.limits import Limits, written

BUS_NOTES = """Which host: --host NAME (of `gatebus login`), --host ADDRESS (ws://, wss://, unix:PATH, or HOST:PORT), or
GATEBUS_HOST; otherwise the default of `gatebus login`, the unix socket of this machine, or 127.0.0.1:6473.
Which key: --key; otherwise the one that `gatebus login` remembered for that host, also where it is named by its
address; otherwise none."""

_NO_WALL_TIME = "none (without a key: 300s)"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class ProgramOptions:
    """What `call` and `launch` say about the program. `limits`: only those that were asked for."""

    module: str
    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    directories: tuple[Copied, ...]
    out: str | None
    function: str | None
    config: str | None
    limits: Mapping[str, float | None]
    usage: bool = False
    life: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BusOptions:
    command: str
    host: str | None
    key: str | None
    json: bool
    arguments: tuple[str, ...] = ()
    program: ProgramOptions | None = None
    tags: tuple[str, ...] = ()
    open: bool = False
    since: int | None = None
    loose: bool = False
    ipfs: bool = False
    host_key: str | None = None
    default: bool = False
    forget: bool = False
    live: LiveOptions = NO_LIVE_OPTIONS
    timeout: float | None = None
    content: IpfsOptions | None = None
    """`push --ipfs`: what `gatebus ipfs add` does."""


def _add_open(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--open", action="store_true", help="whoever knows its id may connect to it (`io`)")


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="DIR", help="copy its files here at the end; a new or empty directory")
    parser.add_argument("--usage", action="store_true", help="print on stderr what the run cost")


def _add_since(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--since", type=int, metavar="N", help="begin with those after number N, if they are remembered"
    )


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", metavar="TIME", help="wait no longer; exit code 124 then, and the instance goes on; 0: only look"
    )


def _add_loose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--loose", action="store_true", help="do not pin it: it expires when it is not used")


def _add_login(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host-key", metavar="SHA256:...", help="the host's fingerprint (`gatebus key` there shows it)"
    )
    parser.add_argument("--default", action="store_true", help="use this host when none is named")
    parser.add_argument("--forget", action="store_true", help="forget this host (by name or address), and its key")


def _add_ipfs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ipfs", action="store_true", help="to no host: files, directories into your IPFS store and nodes; prints CIDs"
    )
    add_nodes(parser.add_argument_group("with --ipfs, as for `gatebus ipfs add`"))


_LOGIN_NOTES = """Shows the host's fingerprint and asks whether it is right; without a terminal name it: --host-key. The
name, the address and your key are written to ~/.config/gatebus/hosts.toml, the host's key to known_hosts beside it.
Your key is made if there is none; --key anonymous: without one. Without arguments: list the hosts that are remembered.
`gatebus login --forget NAME` forgets one; the address of a host that has a new key will do, too."""

_MODULE_NOTES = """MODULE is a SHA-256, or of your own modules (`gatebus modules`) its first digits, at least four, or a
tag. `pin MODULE TAG` and `pin --tag TAG MODULE` are the same."""

_SHOWN_NOTES = """What `show` says of a module is found out here, in this machine's sandbox, from the host's bytes.
MODULE is a SHA-256, or of your own modules its first digits, at least four, or a tag. Where there
is a file of that name it is the file, and no host is asked (unless --host or --key is named), as by `gatebus show`."""

COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "call": Command(
            "[OPTION ...] MODULE [ARGUMENT ...]",
            "Run a program at a host and talk to it: stdin, stdout, stderr and the exit code are the program's.",
            notes=CALL_NOTES,
            add=(_add_out, add_call_life),
            program=True,
        ),
        "launch": Command(
            "[OPTION ...] MODULE [ARGUMENT ...]",
            "Start a program at a host that goes on without you; prints its id.",
            notes=CALL_NOTES,
            add=(add_tags, _add_open, add_life),
            program=True,
        ),
        "io": Command(
            "INSTANCE",
            "Connect to a running program: stdin and stdout are a new stream to it.",
            (1, 1),
            f"{INSTANCE_NOTES}\n{IO_NOTES}",
        ),
        "ps": Command("", "List your instances."),
        "status": Command("INSTANCE ...", "Say how instances are.", (1, 100), INSTANCE_NOTES),
        "wait": Command(
            "[--timeout TIME] INSTANCE",
            "Wait for the end of an instance; the exit code is the program's.",
            (1, 1),
            INSTANCE_NOTES,
            add=(_add_timeout,),
        ),
        "kill": Command("INSTANCE ...", "Kill instances.", (1, 100), INSTANCE_NOTES),
        "rm": Command("INSTANCE ...", "Forget instances that have ended.", (1, 100), INSTANCE_NOTES),
        "push": Command(
            "FILE ... | --ipfs FILE_OR_DIRECTORY ...",
            "Upload modules and pin them; prints the SHA-256 of each.",
            (1, 100),
            add=(add_tags, _add_loose, _add_ipfs),
        ),
        "modules": Command(
            "[show MODULE | FILE]",
            "List your modules at the host; `show`: whether one can be stopped, and what is in the way.",
            (0, 2),
            _SHOWN_NOTES,
        ),
        "pin": Command(
            "MODULE [TAG ...]",
            "Keep a module that the host has, or that it fetches by its address (ipfs://CID[/path]); tags are added.",
            (1, 33),
            _MODULE_NOTES,
            add=(add_tags,),
        ),
        "unpin": Command(
            "MODULE [TAG ...]",
            "Take tags off; without TAG, or with the last one, let it expire.",
            (1, 33),
            _MODULE_NOTES,
            add=(add_tags,),
        ),
        **LIVE_COMMANDS,
        "events": Command("", "Print what happens to your instances, until Ctrl-C.", add=(_add_since,)),
        "usage": Command("", "Say what you use at the host, and what you may."),
        "features": Command("", "Say what the host is and can, and what you may do there."),
        "login": Command("[NAME ADDRESS | --forget NAME]", "Remember a host.", (0, 2), _LOGIN_NOTES, add=(_add_login,)),
    }
)


# Behind the module these would silently choose another host or another person.
_ELSEWHERE = frozenset({"--host", "--key"})


def bus_parser(name: str) -> argparse.ArgumentParser:
    command = COMMANDS[name]
    of_hosts = name != "login"  # whose arguments say it
    notes = (command.notes, BUS_NOTES if of_hosts else "")
    parser = command_parser(name, command.help, "\n".join(filter(None, notes)))
    parser.usage = f"gatebus {name} [OPTION ...] {command.takes.removeprefix('[OPTION ...] ')}".rstrip()
    if of_hosts:
        parser.add_argument("--host", metavar="HOST", help="a name or an address")
    parser.add_argument("--key", metavar="FILE", help="your key; `agent`: your ssh-agent's; `anonymous`: none")
    parser.add_argument("--json", action="store_true", help=_json_help(name))
    for add in command.add:
        add(parser)
    if command.program:
        _add_program(name, parser)
        if name != "warm":  # whose files would be the same for all calls
            _add_directories(parser)
        parser.add_argument("line", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    else:
        parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", help=argparse.SUPPRESS)
    return parser


def _json_help(name: str) -> str:
    return "print the result on stderr as one line of JSON" if name in ("call", "io", "wait") else "print JSON"


def _add_program(name: str, parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--env", action="append", default=[], metavar="K=V", help="set a variable; K alone: yours")
    add("--function", metavar="NAME", help="call this exported function instead of _start")
    add("--config", metavar="FILE", help="default: your ~/.config/gatebus/config.toml")
    group = parser.add_argument_group("limits (the ordinary defaults; a host may have others, and its own bounds)")
    for each in fields(Limits):
        bounds = each.metadata["range"]
        most = written(bounds.maximum, bounds.unit)
        default = written(cast("float | None", each.default), bounds.unit)
        default = _NO_WALL_TIME if (name, each.name) == ("launch", "wall_time") else default
        group.add_argument(
            flag(each.name), metavar="VALUE", help=f"in {bounds.unit}, default {default}, at most {most}"
        )


def _add_directories(parser: argparse.ArgumentParser) -> None:
    what = "copy a directory in; repeatable"
    parser.add_argument("--dir", action="append", default=[], metavar="HERE[::GUEST]", help=what)


def bus_options(name: str, arguments: Sequence[str]) -> BusOptions:
    """Raises UsageError; HelpAsked."""
    command = COMMANDS[name]
    parser = bus_parser(name)
    end = arguments.index("--") if "--" in arguments and not command.program else len(arguments)
    given = parser.parse_args(arguments) if command.program else parser.parse_intermixed_args(arguments[:end])
    rest: tuple[str, ...] = () if command.program else (*given.arguments, *arguments[end + 1 :])  # `--`: names follow
    least, most = command.count
    if not command.program and not least <= len(rest) <= most:
        raise UsageError(
            f"It is written `gatebus {name} {command.takes}`; see `gatebus {name} --help`.".replace(" `;", "`;")
        )
    if name == "push":
        _check_push(given)
    return BusOptions(
        name,
        getattr(given, "host", None),
        given.key,
        given.json,
        rest,
        _program(name, given) if command.program else None,
        tuple(getattr(given, "tag", ())),
        getattr(given, "open", False),
        getattr(given, "since", None),
        getattr(given, "loose", False),
        getattr(given, "ipfs", False),
        getattr(given, "host_key", None),
        getattr(given, "default", False),
        getattr(given, "forget", False),
        live_options(given),
        None if getattr(given, "timeout", None) is None else time_of("--timeout", given.timeout),
        adding_options(rest, given) if name == "push" and given.ipfs else None,
    )


def _check_push(given: argparse.Namespace) -> None:
    """What is for a host, and what is for content. Raises UsageError."""
    of_hosts, of_content = ("host", "key", "tag", "loose"), ("source", "offline", "profile")
    stray = ", ".join(f"--{each}" for each in (of_hosts if given.ipfs else of_content) if getattr(given, each))
    if stray and given.ipfs:
        raise UsageError(
            f"--ipfs is for your own store and nodes (--source node+http://HOST:PORT), not for a host, and {stray} "
            "is of hosts only. Leave out one or the other."
        )
    if stray:
        raise UsageError(f"{stray} goes with --ipfs only. Write that, too, or leave it out: a host is named by --host.")


def _program(name: str, given: argparse.Namespace) -> ProgramOptions:
    meant = given.line[:1] == ["--"]
    line = given.line[1:] if meant else given.line
    unsaid = {option for option in _ELSEWHERE if getattr(given, option.strip("-")) is None}
    unsaid |= {"--tag"} if getattr(given, "tag", None) == [] else set()
    stray = next((each for each in line[1:] if each.partition("=")[0] in unsaid), None)
    if stray is not None and not meant:
        where = "" if stray.startswith("--tag") else ", and run at another host than you mean"
        raise UsageError(
            f"{stray} stands behind the module, so the program would get it{where}. "
            f"Write it before the module; `gatebus {name} -- MODULE {stray} ...` if it is for the program."
        )
    if not line:
        raise UsageError(f"No module is named. Write `gatebus {name} MODULE [ARGUMENT ...]`.")
    asked: dict[str, Any] = {each.name: getattr(given, each.name) for each in fields(Limits)}
    return ProgramOptions(
        line[0],
        tuple(line[1:]),
        tuple(given.env),
        tuple(map(directory, getattr(given, "dir", ()))),
        getattr(given, "out", None),
        given.function,
        given.config,
        {each: limit(each, text) for each, text in asked.items() if text is not None},
        getattr(given, "usage", False),
        life_of_program(given),
    )


def digest(text: str) -> bytes | None:
    """A module by its SHA-256; None: it is none."""
    return bytes.fromhex(text) if _DIGEST.fullmatch(text.lower()) else None


def instance_id(text: str) -> bytes | None:
    """An instance by its whole id; None: perhaps the beginning of one."""
    return bytes.fromhex(text.lower().replace("-", "")) if _ID.fullmatch(text.lower()) else None


def value_text(name: str, value: float | None) -> str:
    """A limit as one writes it."""
    return written(value, range_of(name).unit)
