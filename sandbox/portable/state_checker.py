"""Wire: the check of a state, by the executable that is the same code as the native runtime's (native/module, jobs.rs).

Started before the process may start no other one, and so before anything of a stranger's is read; it has the limits of
this process, and ends when its input does. In: guide and state (untrusted). Out: what goes on, or BadWorld.
"""

from __future__ import annotations

import json
import struct
import subprocess
from typing import NamedTuple

from sandbox.portable.guest_errno import GuestEnd
from sandbox.portable.saved_world import BadWorld

STATUS_NO_MEMORY = 62
_LENGTH = struct.Struct("<I")


class Going(NamedTuple):
    """What goes on: an export of the continuation, and the frames as it reads them."""

    export: str
    frames: bytes


class StateChecker:
    """Used once."""

    def __init__(self, executable: str) -> None:
        """Raises OSError."""
        self._process = subprocess.Popen(  # noqa: S603 - our own executable; nothing of a program's is in the arguments
            [executable, "check"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}
        )

    def check_untrusted(self, restore: bytes) -> Going:
        """What RESTORE packets brought: u32 length of the guide, guide, state. Raises BadWorld, GuestEnd."""
        said, _ = self._process.communicate(restore)
        if self._process.returncode or len(said) < _LENGTH.size:
            raise GuestEnd(STATUS_NO_MEMORY, text="the state needs more memory than there is for it")
        end = _LENGTH.size + _LENGTH.unpack_from(said)[0]
        facts = json.loads(said[_LENGTH.size : end])
        if "export" not in facts:
            raise BadWorld(str(facts["text"]))
        return Going(str(facts["export"]), said[end:])
