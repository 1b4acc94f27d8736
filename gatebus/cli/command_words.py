"""How a command that talks to a host is written down; words. bus_options and live_options have the tables."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

CALL_NOTES = """Options stand before MODULE; everything after it is the program's.
MODULE is a file, as for `gatebus run`; a module that the host has: its SHA-256, or of your own ones
(`gatebus modules`) the first digits of it, or a tag; or an address such as ipfs://CID that the host fetches. Where
there is a file of that name, it is the file. A file is uploaded once; the host knows it then.
exit codes: as `gatebus run`; 125 also when the host refuses or cannot be reached; 130 Ctrl-C, which ends the program
of `call`."""

INSTANCE_NOTES = """INSTANCE is an id as `gatebus launch` printed it, its first digits, at least four, or a tag
that only one of your instances has (`gatebus ps`)."""

IO_NOTES = """The end of stdin (Ctrl-D at a terminal) is the end of the program's input. Ctrl-C leaves: the program goes
on, what it writes waits (at most a window), and another `gatebus io` connects again. exit codes: the program's, when it
ends meanwhile; 0 when only the connection does; 130 Ctrl-C."""


Add = Callable[[argparse.ArgumentParser], None]


@dataclass(frozen=True, slots=True)
class Command:
    """`takes`: how the arguments are written; `count`: least and most of them."""

    takes: str
    help: str
    count: tuple[int, int] = (0, 0)
    notes: str = ""
    add: tuple[Add, ...] = ()
    program: bool = False


def add_tags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="repeatable")
