"""argv of `gatebus ipfs` -> what is wanted; words.

In:  arguments, typed by the person who owns the machine. Out: IpfsOptions; UsageError with one line; HelpAsked.

One table says of each command what it takes, does and prints; its options stand before or behind it. What a command
has no use for, it refuses.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from gatebus.cli.command_words import Command
from gatebus.cli.options import command_parser
from gatebus.faults import UsageError

IPFS_HELP = """Content by its name (CID), verified byte for byte; no daemon is needed. An ADDRESS is a CID, CID/path or
ipfs://CID/path."""

_SOURCES = """sources (--source, or GATEBUS_IPFS_SOURCES with blanks between): https://HOST a public gateway;
local+http://HOST:PORT a gateway of your own; node+http://HOST:PORT the RPC of a node (Kubo);
ipfshttpclient+http://HOST:PORT the same by that package, only to read. None is trusted."""
_ADDRESS = "ADDRESS is a CID, CID/path or ipfs://CID/path (there names are percent-decoded)."
_EXITS = "exit codes: 0 done; 125 not done, stderr says why; 130 Ctrl-C, 143 terminated."
PROFILE = "unixfs-v1-2025"


def add_sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", action="append", metavar="URL", help="ask this source, and no others; repeatable")
    parser.add_argument("--offline", action="store_true", help="ask nobody: only what is here")


def add_nodes(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Where something is given away."""
    text = "give it to this node (node+http://HOST:PORT), and to no others; repeatable"
    parser.add_argument("--source", action="append", metavar="URL", help=text)
    parser.add_argument("--offline", action="store_true", help="give it to nobody: only into your store")
    text = f"how files are cut: it decides their CIDs; default {PROFILE}, also kubo-v1, unixfs-v0-2015"
    parser.add_argument("--profile", metavar="NAME", help=text)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, faults too (on stderr)")


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", "-o", metavar="PATH", help="where to; must be new. Default: the last name of ADDRESS")


IPFS_COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "add": Command(
            "FILE ...",
            """Import files, and directories with everything below them, into your store, and pin them. A node among the
sources is given all of it, and pins it, too. A symbolic link that you name is followed; one below a directory is added
as a link, never followed. `-` is what comes through stdin.""",
            (1, 1000),
            """prints: the CID; of several `CID FILE`, a line each. --json: {"file", "cid", "size"} a line each.
exit codes: 0 all were added; 125 one was not, or a node did not take it (stderr names each; the others were added);
130 Ctrl-C, 143 terminated.
example: gatebus ipfs add hello.wasm""",
            add=(add_nodes, _add_json),
        ),
        "cat": Command(
            "ADDRESS",
            "Write a file to stdout, fetched where it is not here. Every byte is verified before it is written.",
            (1, 1),
            f"prints: the file's bytes, and nothing else.\n{_EXITS}\nexample: gatebus ipfs cat ipfs://CID/readme.txt",
            add=(add_sources,),
        ),
        "get": Command(
            "ADDRESS",
            """Save a file or a directory, whole or not at all. Symbolic links are made where they stay inside of it;
others are left out and named on stderr.""",
            (1, 1),
            f"prints: nothing. Nothing that is there is replaced.\n{_EXITS}\nexample: gatebus ipfs get --out here CID",
            add=(add_sources, _add_out),
        ),
        "ls": Command(
            "ADDRESS",
            "List a directory.",
            (1, 1),
            f"""prints: `CID SIZE NAME`, a line for each name; SIZE is what its author says. --json: one list.
{_EXITS}
example: gatebus ipfs ls CID/src""",
            add=(add_sources, _add_json),
        ),
        "pin": Command(
            "[ADDRESS]",
            """Fetch all of it and keep it: `gc` leaves it. Of CID/path it is what the path leads to. Without ADDRESS:
list what is kept.""",
            (0, 1),
            f"""prints: the CID and how many blocks it has; without ADDRESS the CIDs that are kept.
{_EXITS}
example: gatebus ipfs pin ipfs://CID""",
            add=(add_sources, _add_json),
        ),
        "unpin": Command(
            "ADDRESS",
            "No longer keep it: the next `gc` takes it away. Of CID/path what the path leads to, as `pin` keeps it.",
            (1, 1),
            f"prints: nothing.\n{_EXITS}\nexample: gatebus ipfs unpin CID",
            add=(add_sources,),
        ),
        "gc": Command(
            "",
            "Remove every block that no pin leads to; nothing at all while something pinned is not whole.",
            (0, 0),
            f"prints: how many blocks and bytes were removed.\n{_EXITS}\nexample: gatebus ipfs gc",
            add=(add_sources, _add_json),
        ),
        "stat": Command(
            "[ADDRESS]",
            "Say what it is, without fetching what is below it. Without ADDRESS: what your store holds.",
            (0, 1),
            f"""prints: `CID file|directory|link, BYTES, LINKS`; without ADDRESS blocks, bytes and pins.
{_EXITS}
example: gatebus ipfs stat ipfs://CID/hello.wasm""",
            add=(add_sources, _add_json),
        ),
    }
)
_BRIEF = {
    "add": "import files or directories, pin them, print their CIDs; a node among the sources gets and pins them",
    "cat": "write a file to stdout",
    "get": "save a file or a directory here (or as --out)",
    "ls": "list a directory",
    "pin": "fetch all of it and keep it; without ADDRESS: list what is kept",
    "unpin": "no longer keep it; of CID/path what the path leads to, as `pin` keeps it",
    "gc": "remove what no pin leads to",
    "stat": "say what it is; without ADDRESS: what the store holds",
}
_WITH_VALUES = ("--source", "--profile", "--out", "-o")


@dataclass(frozen=True, slots=True)
class IpfsOptions:
    command: str
    arguments: tuple[str, ...]
    sources: tuple[str, ...] | None
    """None: as the machine is configured."""
    profile: str = PROFILE
    out: str | None = None
    json: bool = False


def ipfs_options(arguments: Sequence[str]) -> IpfsOptions:
    """Raises UsageError; HelpAsked."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    line, meant = arguments[:end], arguments[end + 1 :]  # behind `--` everything is a name
    at = _place_of_command(line)
    if at is None:
        _general_parser().parse_args([each for each in line if each in ("-h", "--help")])
        raise UsageError("No command is named. `gatebus ipfs --help` lists them.")
    name = line[at]
    if name not in IPFS_COMMANDS:
        raise UsageError(f"There is no command `{name[:40]}` of `gatebus ipfs`. `gatebus ipfs --help` lists them.")
    given = _parser(name).parse_intermixed_args([*line[:at], *line[at + 1 :]])
    named = (*given.arguments, *meant)
    least, most = IPFS_COMMANDS[name].count
    if not least <= len(named) <= most:
        written = f"gatebus ipfs {name} {IPFS_COMMANDS[name].takes}".rstrip()
        raise UsageError(f"It is written `{written}`; see `gatebus ipfs {name} --help`.")
    _check_stdin(named)
    if getattr(given, "out", None) == "":
        raise UsageError("--out: the name is empty. Name a new file or directory.")
    return IpfsOptions(
        name,
        named,
        _chosen(given),
        getattr(given, "profile", None) or PROFILE,
        getattr(given, "out", None),
        getattr(given, "json", False),
    )


def adding_options(arguments: tuple[str, ...], given: argparse.Namespace) -> IpfsOptions:
    """Of another command that does what `add` does. Raises UsageError."""
    _check_stdin(arguments)
    return IpfsOptions("add", arguments, _chosen(given), given.profile or PROFILE, json=given.json)


def _check_stdin(named: tuple[str, ...]) -> None:
    if named.count("-") > 1:
        raise UsageError("`-` is stdin, which can be read once.")


def _chosen(given: argparse.Namespace) -> tuple[str, ...] | None:
    """Raises UsageError."""
    if given.offline and given.source:
        raise UsageError("--offline and --source contradict each other.")
    return () if given.offline else tuple(given.source) if given.source else None


def _place_of_command(arguments: Sequence[str]) -> int | None:
    """The first word that is neither an option nor an option's value."""
    for at, (before, each) in enumerate(pairwise(("", *arguments))):
        if not each.startswith("-") and before not in _WITH_VALUES:
            return at
    return None


def _general_parser() -> argparse.ArgumentParser:
    lines = [f"  {f'{name} {IPFS_COMMANDS[name].takes}':<18}{brief}" for name, brief in _BRIEF.items()]
    listed = "\n".join(lines)
    notes = f"commands (`gatebus ipfs COMMAND --help` says more, with an example):\n{listed}\n\n{_SOURCES}"
    parser = command_parser("ipfs", IPFS_HELP, notes)
    parser.usage = "gatebus ipfs COMMAND [OPTION ...] [ARGUMENT ...]"
    return parser


def _parser(name: str) -> argparse.ArgumentParser:
    command = IPFS_COMMANDS[name]
    about = (_ADDRESS,) if "ADDRESS" in command.takes else ()
    parser = command_parser(f"ipfs {name}", command.help, "\n".join((*about, command.notes, "", _SOURCES)))
    parser.usage = f"gatebus ipfs {name} [OPTION ...] {command.takes}".rstrip()
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", help=argparse.SUPPRESS)
    for add in command.add:
        add(parser)
    return parser
