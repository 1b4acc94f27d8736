"""The keys that a host knows, as their file says at the moment; a wire.

In:  the path of an `authorized_keys` file; its bytes (untrusted, see authorizedkeys). Out: the comment of a key that
may come in, or nothing; the log says which lines were not taken.

Asked once per connection, so the file is looked at once per connection: a line that was taken out counts at once. A
file that is gone or cannot be read lets nobody in. One that others may write is not believed.
"""

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from gatebus.bounds import AUTHORIZED_KEYS_BYTES
from gatebus.host.authorizedkeys import AuthorizedKeys, parse_authorized_keys_untrusted
from gatebus.host.log import Log

_ABSENT = "there is no file of that name (authorized_keys): until there is one, no key is known"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Keyring:
    """`path` None: no key is known."""

    def __init__(self, path: Path | None, log: Log, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._log = log
        self._clock = clock
        self._seen: tuple[object, ...] | None = None
        self._keys = AuthorizedKeys()

    def __call__(self, key: bytes) -> str | None:
        self.look()
        found = self._keys.find(key, self._clock())
        return None if found is None else found.comment

    def look(self) -> None:
        """Read it again if it has changed."""
        if self._path is None:
            return
        try:
            status = self._path.stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode)
            if seen != self._seen:
                self._read(self._path, status)
            self._seen = seen
        except FileNotFoundError:
            if self._seen != ():
                self._keys, self._seen = AuthorizedKeys(), ()
                self._log.event("keys-read", keys=0)
        except OSError as problem:
            self._refuse_all(f"the file cannot be read: {(problem.strerror or 'error').lower()}")

    def expect(self) -> None:
        """After the first look: the owner has named this file, so that one that is not there is a slip of the pen."""
        if self._seen == ():
            self._log.event("key-not-taken", line=0, reason=_ABSENT)

    def _read(self, path: Path, status: os.stat_result) -> None:
        if reason := why_unbelievable(status):
            self._refuse_all(reason)
            return
        with path.open("rb") as file:
            data = file.read(AUTHORIZED_KEYS_BYTES + 1)
        if len(data) > AUTHORIZED_KEYS_BYTES:
            self._refuse_all(f"the file has more than {AUTHORIZED_KEYS_BYTES} bytes")
            return
        self._keys = parse_authorized_keys_untrusted(data)
        for problem in self._keys.problems:
            self._log.event("key-not-taken", line=problem.line, reason=problem.reason)
        self._log.event("keys-read", keys=len(self._keys.keys))

    def _refuse_all(self, reason: str) -> None:
        if self._keys.keys or self._seen != (reason,):
            self._log.event("key-not-taken", line=0, reason=reason)
        self._keys, self._seen = AuthorizedKeys(), (reason,)


def why_unbelievable(status: os.stat_result) -> str:
    """Why whoever may be behind the file is not the owner of the host; and what would keep everybody waiting."""
    if not stat.S_ISREG(status.st_mode):
        return "it is no plain file (a folder, a pipe or a device is not read)"
    if os.name != "posix":
        return ""
    if status.st_mode & _OTHERS_WRITE:
        return "others may write the file: take that right away from them"
    return "" if status.st_uid in (os.geteuid(), 0) else "the file belongs to another user"
