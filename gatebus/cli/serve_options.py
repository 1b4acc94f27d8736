"""argv of `gatebus serve` and `gatebus key` -> what is wanted; words.

In:  arguments, typed by the person who owns the machine. Out: ServeOptions, KeyOptions; UsageError with one line.

Every setting of the configuration is a flag by itself: the table in gatebus.host.hostsettings makes them.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gatebus.cli.options import command_parser
from gatebus.host.hostsettings import SETTINGS

SERVE_HELP = """Start a host: it runs programs that arrive over a websocket, each in a sandbox. Until it is stopped by
Ctrl-C or SIGTERM; then programs may go on for a moment (stop_seconds), and everything is put in order. A second signal
ends it at once."""

SERVE_NOTES = """Values come from defaults, the file, the environment (GATEBUS_LISTEN, GATEBUS_QUOTAS_HOST_MEMORY and so
on) and flags; the later one wins. --print-config shows all of them as a file, with what each means and where it came
from.
exit codes: 0 stopped; 125 it cannot start, with a line that says why."""

KEY_HELP = """Show the fingerprint of this machine's host key, and of your own, and the line that the owner of another
host needs to let you in."""

KEY_NOTES = """Your key is ~/.config/gatebus/id_ed25519, or a file that you name. It has OpenSSH's form: `ssh-keygen`
shows and makes such files, too. exit codes: 0; 125 a key cannot be read, with a line that says why."""


FSCK_HELP = """Look through everything that your host has stored: every byte of modules and snapshots, every record.
What is wrong is said by name, one line each. The host must not run meanwhile."""

FSCK_NOTES = """--repair moves files that belong to nothing to snapshots/aside, and makes new records from the files
where the records are damaged or missing: of snapshots, and of the modules that they need; it deletes
nothing, and says by name what it did. Without it nothing in the directory is changed.
exit codes: 0 nothing is wrong; 1 something is; 125 it could not be looked at, with a line that says why."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    config: str | None
    print_config: bool
    flags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class KeyOptions:
    make: bool
    file: str | None
    data: str | None
    json: bool


def serve_parser() -> argparse.ArgumentParser:
    parser = command_parser("serve", SERVE_HELP, SERVE_NOTES)
    parser.usage = "gatebus serve [OPTION ...]"
    parser.add_argument("--config", metavar="FILE", help="default: your ~/.config/gatebus/host.toml, if there is one")
    parser.add_argument("--print-config", action="store_true", help="print what would be used, and end")
    group = parser.add_argument_group("settings (in the file: the same names, with dots for the parts)")
    for setting in SETTINGS.values():
        text = setting.help.replace("%", "%%")
        group.add_argument(setting.flag, metavar=setting.path[-1].upper(), help=text, dest=setting.name)
    return parser


def serve_options(arguments: Sequence[str]) -> ServeOptions:
    """Raises UsageError; HelpAsked."""
    given = vars(serve_parser().parse_args(arguments))
    flags = {name: given[name] for name in SETTINGS if given[name] is not None}
    return ServeOptions(given["config"], given["print_config"], flags)


def key_options(arguments: Sequence[str]) -> KeyOptions:
    """Raises UsageError; HelpAsked."""
    parser = command_parser("key", KEY_HELP, KEY_NOTES)
    parser.add_argument("--make", action="store_true", help="make your own key, if there is none")
    parser.add_argument("--file", metavar="FILE", help="your key")
    parser.add_argument("--data", metavar="DIR", help="the host's data directory")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    given = parser.parse_args(arguments)
    return KeyOptions(given.make, given.file, given.data, given.json)


@dataclass(frozen=True, slots=True)
class FsckOptions:
    repair: bool
    data: str | None
    json: bool


def fsck_options(arguments: Sequence[str]) -> FsckOptions:
    """Raises UsageError; HelpAsked."""
    parser = command_parser("fsck", FSCK_HELP, FSCK_NOTES)
    parser.add_argument(
        "--repair", action="store_true", help="put aside what belongs to nothing, make lost records again"
    )
    parser.add_argument("--data", metavar="DIR", help="the host's data directory")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    given = parser.parse_args(arguments)
    return FsckOptions(given.repair, given.data, given.json)
