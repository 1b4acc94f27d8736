"""What is put right before anything else of a command, and what takes time and can begin before the rest; assembly.

In:  how this process was started. Out: descriptors and signals as every other module expects them; a keeper that gets
     ready while the command still imports what it needs (a fifth of a second, and the keeper needs a tenth of that).
"""

import os
import signal
from contextlib import suppress

from sandbox.errors import SandboxError
from sandbox.keeperprocess import KeeperProcess, launch_ahead
from sandbox.settings import Settings

# A person starts one program at a time: no prepared processes beside its own.
SETTINGS = Settings(pool=1)


def keeper_ahead(backend: str) -> KeeperProcess | None:
    """None also where there can be no keeper: `open_sandbox` says why, after what the person can put right."""
    if backend == "native":
        with suppress(SandboxError):
            return launch_ahead(SETTINGS)
    return None


def open_missing_descriptors() -> None:
    """Of a caller who closed some of 0, 1 and 2: else the next file that is opened would take their place."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def see_children_end() -> None:
    """Whoever started this command may ignore SIGCHLD; that is inherited, and nobody learns then how a child ended."""
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
