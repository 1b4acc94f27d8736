"""Files that have an end and bring what is in them; a wire.

In:  a path. Out: the file, or NotPlain at once: a pipe waits for somebody who writes, a device need never end, and to
open one can do something.
"""

import os
import stat
from io import BufferedReader
from pathlib import Path

# On a pipe that nobody writes to, opening would wait.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)

_SHOWN = 120


class NotPlain(Exception):  # noqa: N818 - an answer; whoever asked says it in words of theirs
    """There is something, but no file."""


def open_plain(path: Path) -> BufferedReader:
    """Raises NotPlain, OSError. Looked at before, so that no device is opened, and behind: it may have changed."""
    _check(path.stat())
    file = open(path, "rb", opener=_opened)  # noqa: SIM115 - the caller's; Path.open takes no opener
    try:
        _check(os.fstat(file.fileno()))
    except BaseException:
        file.close()
        raise
    return file


def open_member(name: str, folder: int) -> BufferedReader:
    """Of a directory that is open, and no other way there: what has become a link is not followed. Raises as above."""
    _check(os.stat(name, dir_fd=folder, follow_symlinks=False))
    file = os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | _AT_ONCE, dir_fd=folder), "rb")
    try:
        _check(os.fstat(file.fileno()))
    except BaseException:
        file.close()
        raise
    return file


def named(path: Path | str) -> str:
    """As a fault tells it: its end, and room for the reason."""
    text = str(path)
    return text if len(text) <= _SHOWN else f"...{text[-_SHOWN:]}"


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | _AT_ONCE)


def _check(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotPlain
