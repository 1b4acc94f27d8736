"""Small files that are there whole or not at all, also when the power goes; a wire.

Where it stands: below everything that a host or a person's command keeps on disk. In: a path that the owner of the
machine chose, bytes of ours. Out: a file whose content and name are on the disk when the call returns.

Order: temporary file in the same folder, fsync, rename (or a link, which refuses to replace), fsync of the folder.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PRIVATE = 0o600


def sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes) -> None:
    """Private to its owner. Replaces what was there."""
    with _written(path, data) as temporary:
        temporary.replace(path)
    sync_folder(path.parent)


def create_durably(path: Path, data: bytes) -> None:
    """Private to its owner. Raises FileExistsError; of several who try at once, one makes it."""
    with _written(path, data) as temporary:
        os.link(temporary, path)
    sync_folder(path.parent)


@contextmanager
def _written(path: Path, data: bytes) -> Iterator[Path]:
    """A temporary file that is on the disk; gone afterwards, whatever happened."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
