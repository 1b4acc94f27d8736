"""Wire: the folders of hosts that were killed, with the images in them.

In:  the system's folder for temporary files. Out: nothing; folders that nobody holds are gone. A host holds its folder
by a lock, which the kernel opens however the host ends; a process id would mean another process in another container.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "gatebus-portable-"
# A folder is made before it can be held: one that is younger may belong to a host that is starting.
YOUNG_SECONDS = 60.0


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Others see that somebody lives in it. Raises OSError when somebody else does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def remove_leftovers() -> None:
    """What cannot be removed stays: it is somebody else's, or in use."""
    for folder in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        with suppress(OSError):
            _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    found = folder.lstat()
    if found.st_uid != os.geteuid() or found.st_mtime > time.time() - YOUNG_SECONDS:
        return
    with held(folder):
        shutil.rmtree(folder)
