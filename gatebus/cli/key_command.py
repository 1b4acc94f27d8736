"""`gatebus key`: who this host is, and who you are; assembly.

In:  options, two files. Out: fingerprints and public lines on stdout; the exit code. A secret is never printed.
"""

import getpass
import json
import socket
from pathlib import Path

from gatebus.cli.hostfile import IDENTITY
from gatebus.cli.saying import put, tell
from gatebus.cli.serve_options import KeyOptions
from gatebus.faults import UsageError
from gatebus.host.identityfile import own_private_key, read_private_key
from gatebus.sshkeys import PrivateKey, fingerprint, public_line
from gatebus.xdg import state_directory, user_key_path

_OURS = 125


def key(options: KeyOptions) -> int:
    """The whole command. The exit code."""
    data = Path(options.data) if options.data else state_directory()
    path = Path(options.file) if options.file else user_key_path()
    try:
        host = read_private_key(data / IDENTITY)
        own = own_private_key(path, default_comment()) if options.make else read_private_key(path)
    except UsageError as fault:
        tell(f"gatebus: {fault.text}\n")
        return _OURS
    put(_json(host, own) if options.json else _lines(host, own))
    return 0


def default_comment() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # a user without a name, as in containers
        return socket.gethostname()


def _lines(host: PrivateKey | None, own: PrivateKey | None) -> str:
    lines = [f"host      {fingerprint(host.public)}" if host else "host      no key yet: `gatebus serve` makes it"]
    if own is None:
        lines.append("you       no key yet: `gatebus key --make` makes it")
    else:
        lines += [f"you       {fingerprint(own.public)}", f"your line {public_line(own.public, own.comment)}"]
    return "\n".join(lines) + "\n"


def _json(host: PrivateKey | None, own: PrivateKey | None) -> str:
    def about(found: PrivateKey | None) -> dict[str, str] | None:
        if found is None:
            return None
        return {"fingerprint": fingerprint(found.public), "line": public_line(found.public, found.comment)}

    return json.dumps({"host": about(host), "you": about(own)}) + "\n"
