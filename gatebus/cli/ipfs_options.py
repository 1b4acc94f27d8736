"""argv of `gatebus ipfs` -> what is wanted; words.

In:  arguments, typed by the person who owns the machine. Out: IpfsOptions; UsageError with one line.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gatebus.cli.options import command_parser
from gatebus.faults import UsageError

IPFS_HELP = """Content by its name (CID), verified byte for byte; no daemon is needed. An ADDRESS is a CID, CID/path or
ipfs://CID/path."""

IPFS_NOTES = """commands:
  add FILE ...      import files or directories, pin them, print their CIDs; a node among the sources gets and pins them
  cat ADDRESS       write a file to stdout
  get ADDRESS       save a file or a directory here (or as --out)
  ls ADDRESS        list a directory
  pin [ADDRESS]     fetch all of it and keep it; without ADDRESS: list what is kept
  unpin ADDRESS     no longer keep it; of CID/path what the path leads to, as `pin` keeps it
  gc                remove what no pin leads to
  stat [ADDRESS]    say what it is; without ADDRESS: what the store holds

sources (--source, or GATEBUS_IPFS_SOURCES with blanks between): https://HOST a public gateway; local+http://HOST:PORT
a gateway of your own; node+http://HOST:PORT the RPC of a node (Kubo); ipfshttpclient+http://HOST:PORT the same by that
package. None is trusted."""

# command -> (least, most) arguments
_COUNTS = {
    "add": (1, 1000),
    "cat": (1, 1),
    "get": (1, 1),
    "ls": (1, 1),
    "pin": (0, 1),
    "unpin": (1, 1),
    "gc": (0, 0),
    "stat": (0, 1),
}


@dataclass(frozen=True, slots=True)
class IpfsOptions:
    command: str
    arguments: tuple[str, ...]
    sources: tuple[str, ...] | None
    """None: as the machine is configured."""
    profile: str
    out: str | None


def ipfs_options(arguments: Sequence[str]) -> IpfsOptions:
    """Raises UsageError; HelpAsked."""
    if not arguments:
        raise UsageError("No command is named. `gatebus ipfs --help` lists them.")
    parser = command_parser("ipfs", IPFS_HELP, IPFS_NOTES)
    parser.usage = "gatebus ipfs COMMAND [OPTION ...] [ARGUMENT ...]"
    parser.add_argument("command", metavar="COMMAND", choices=_COUNTS)
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT")
    parser.add_argument("--source", action="append", metavar="URL", help="ask this source, and no others; repeatable")
    parser.add_argument("--offline", action="store_true", help="ask nobody: only what is here")
    parser.add_argument(
        "--profile", default="unixfs-v1-2025", metavar="NAME", help="how `add` cuts files: it decides their CIDs"
    )
    parser.add_argument("--out", metavar="PATH", help="where `get` saves; must be new")
    given = parser.parse_intermixed_args(arguments)
    least, most = _COUNTS[given.command]
    if not least <= len(given.arguments) <= most:
        raise UsageError(f"`gatebus ipfs {given.command}` does not take {len(given.arguments)} arguments; see --help.")
    if given.offline and given.source:
        raise UsageError("--offline and --source contradict each other.")
    sources = () if given.offline else tuple(given.source) if given.source else None
    return IpfsOptions(given.command, tuple(given.arguments), sources, given.profile, given.out)
