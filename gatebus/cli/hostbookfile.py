"""A person's list of hosts and own key, on disk; a wire.

In:  ~/.config/gatebus/hosts.toml, variables, the unix socket of this machine, key files. Out: the Target of a command,
a key; UsageError with one line.
"""

import os
import stat
from pathlib import Path

from gatebus.bounds import CONFIG_BYTES
from gatebus.cli.bus_options import BusOptions
from gatebus.cli.hostbook import ANONYMOUS, HostBook, Target, book_text, choose, parse_book
from gatebus.durable import write_durably
from gatebus.faults import UsageError
from gatebus.host.identityfile import read_private_key
from gatebus.sshkeys import PrivateKey
from gatebus.xdg import hosts_path, socket_path


def read_book() -> HostBook:
    try:
        with hosts_path().open(encoding="utf-8") as file:
            return parse_book(file.read(CONFIG_BYTES + 1))
    except UnicodeDecodeError:
        raise UsageError("hosts.toml cannot be read. It must be a text file.") from None
    except (FileNotFoundError, NotADirectoryError):
        return HostBook()
    except OSError as problem:
        raise UsageError(f"hosts.toml cannot be read: {_reason(problem)}.") from None


def write_book(book: HostBook) -> None:
    path = hosts_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_durably(path, book_text(book).encode())
    except OSError as problem:
        raise UsageError(f"{path} cannot be written: {_reason(problem)}.") from None


def target(options: BusOptions) -> Target:
    """Raises UsageError."""
    return choose(options.host or os.environ.get("GATEBUS_HOST"), read_book(), _socket())


def _socket() -> str | None:
    """Whether a host of this user listens is found out by connecting; here only whether there is a place for it."""
    path = socket_path()
    try:
        return str(path) if stat.S_ISSOCK(path.stat().st_mode) else None
    except OSError:
        return None


def own_key(options: BusOptions, chosen: Target) -> PrivateKey | None:
    """The key of the command line, or the one that belongs to the host. None: without. Raises UsageError."""
    named = options.key or chosen.key
    if named is None or named == ANONYMOUS:
        return None
    path = Path(named).expanduser()
    key = read_private_key(path)
    if key is None:
        raise UsageError(f"There is no key {path}. `gatebus key --make` makes yours.")
    return key


def _reason(problem: OSError) -> str:
    return (problem.strerror or type(problem).__name__).lower()
