"""Bytes of modules on disk; a wire. Every call blocks.

In:  bytes of a client (untrusted until their hash is right); files of an earlier run (untrusted: hashed at every read).
Out: bytes that are what their name says, or nothing.

    modules/ab/SHA256            a whole module
    modules/partial/SHA256-WHO   the first bytes of one; WHO keeps one person's garbage out of another's upload

A module appears whole or not at all: the partial file is synced, then renamed, then the folder is synced. What is
damaged is said not to be there and stays where it is, until the right bytes come and take its place.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from gatebus.durable import sync_folder

_READ = 1 << 20
_NAME = re.compile("[0-9a-f]{64}")


class ModuleFiles:
    """Raises OSError from every method."""

    def __init__(self, folder: Path, *, make: bool = True) -> None:
        """`make`: the folder; whoever only reads leaves everything as it is."""
        self._folder = folder
        self._partial = folder / "partial"
        for each in (folder, self._partial) if make else ():
            each.mkdir(parents=True, exist_ok=True, mode=0o700)

    def names(self) -> Iterator[bytes]:
        """Of whole modules, unread."""
        for each in self._folder.glob("??/*"):
            if _NAME.fullmatch(each.name):
                yield bytes.fromhex(each.name)

    def read(self, sha256: bytes) -> bytes | None:
        """None: not there, or not what it should be."""
        try:
            data = self._path(sha256).read_bytes()
        except FileNotFoundError:
            return None
        return data if hashlib.sha256(data).digest() == sha256 else None

    def open_whole(self, sha256: bytes) -> BinaryIO | None:
        """To be read in pieces, from its beginning. None: not there, or not what it should be."""
        try:
            file = self._path(sha256).open("rb")
        except FileNotFoundError:
            return None
        try:
            if _hash_of(file) == sha256:
                file.seek(0)
                return file
        except BaseException:
            file.close()
            raise
        file.close()
        return None

    def is_whole(self, sha256: bytes) -> bool:
        file = self.open_whole(sha256)
        if file is None:
            return False
        file.close()
        return True

    def size(self, sha256: bytes) -> int:
        """Of one that is there."""
        return self._path(sha256).stat().st_size

    def remove(self, sha256: bytes) -> None:
        self._path(sha256).unlink(missing_ok=True)

    def begin(self, sha256: bytes, who: str) -> "PartialFile":
        """Goes on where an earlier one of the same name stopped."""
        return PartialFile(self._partial / f"{sha256.hex()}-{who}", self._path(sha256))

    def partial_size(self, sha256: bytes, who: str) -> int:
        with suppress(FileNotFoundError):
            return (self._partial / f"{sha256.hex()}-{who}").stat().st_size
        return 0

    def remove_partial(self, sha256: bytes, who: str) -> None:
        (self._partial / f"{sha256.hex()}-{who}").unlink(missing_ok=True)

    def remove_stale(self, before: float) -> None:
        """Partial files of nobody, such as of strangers whose host was killed."""
        for path in self._stale(before):
            path.unlink(missing_ok=True)

    def _stale(self, before: float) -> Iterator[Path]:
        for path in self._partial.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    yield path

    def _path(self, sha256: bytes) -> Path:
        name = sha256.hex()
        return self._folder / name[:2] / name


def _hash_of(file: BinaryIO) -> bytes:
    found = hashlib.sha256()
    while data := file.read(_READ):
        found.update(data)
    return found.digest()


class PartialFile:
    """One upload's bytes. `taken`: how many are here; they are trusted only when the hash over all of them is right.
    There is a file as soon as there is a byte.
    """

    def __init__(self, path: Path, target: Path) -> None:
        self._path = path
        self._target = target
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None
        self.taken = 0
        with suppress(FileNotFoundError):
            self._file = _opened(path, os.O_RDWR)
        while self._file is not None and (data := self._file.read(_READ)):
            self._hash.update(data)
            self.taken += len(data)

    def append(self, data: bytes) -> None:
        if self._file is None:
            self._file = _opened(self._path, os.O_RDWR | os.O_CREAT)
        self._file.write(data)
        self._hash.update(data)
        self.taken += len(data)

    def finish(self, sha256: bytes) -> bool:
        """Whether it was right; then it is on the disk under its name. Otherwise it is gone."""
        if self._file is None or self._hash.digest() != sha256:
            self.discard()
            return False
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        new = not self._target.parent.exists()
        self._target.parent.mkdir(exist_ok=True, mode=0o700)
        self._path.replace(self._target)
        sync_folder(self._target.parent)
        if new:
            sync_folder(self._target.parent.parent)
        return True

    def close(self) -> None:
        """What is here stays for the next attempt."""
        with suppress(OSError):  # a full disk: fewer bytes stay, and their number is counted again
            if self._file is not None:
                self._file.close()

    def discard(self) -> None:
        """As if nobody had begun. What comes now is the first byte."""
        self.close()
        self._path.unlink(missing_ok=True)
        self._file, self._hash, self.taken = None, hashlib.sha256(), 0


def _opened(path: Path, flags: int) -> BinaryIO:
    return os.fdopen(os.open(path, flags | os.O_CLOEXEC, 0o600), "r+b")
