"""Blocks on disk; a wire.

In:  verified or unverified blocks to keep; files of an earlier process (untrusted: hashed at every read). Out: blocks.

    blocks/LAST-BYTE/MULTIHASH    the bytes of one block, named by what they are, whatever codec names them
    pins/CID                      empty files: what garbage collection keeps (pins.py)
    lock                          shared by whoever adds, alone for garbage collection

A block appears whole or not at all: temporary file, fsync, rename, and at the end fsync of the folders. What is damaged
is refused and reported and stays where it is: somebody may want to look at it. A block that was fetched again and is
right takes its place.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import time

from ipfs.caps import BLOCK_MAX
from ipfs.cid import Cid, verify_untrusted
from ipfs.troubles import Damaged, IpfsError, StoreFailed, TooLarge, Unverified

_UNFINISHED = ".unfinished"
# An unfinished file this old belongs to a process that ended while it wrote.
_STALE_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class Contents:
    blocks: int
    bytes: int


class BlockStore:
    """Blocks; every call blocks the thread for the disk. Raises StoreFailed for what the disk refuses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with told():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / "blocks").mkdir(exist_ok=True, mode=0o700)
            if os.name == "posix" and folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise StoreFailed("The block store's folder may be written by others. Take that right away from them.")

    def get(self, cid: Cid) -> bytes | None:
        """Nothing if it is not there. Raises Damaged if what is there is not it."""
        if cid.inline is not None:
            return cid.inline
        with told():
            try:
                with self._path(cid.key).open("rb") as file:
                    block = file.read(BLOCK_MAX + 1)
            except FileNotFoundError:
                return None
        try:
            verify_untrusted(cid, block)
        except Unverified:
            raise Damaged(f"The stored block {cid} is damaged. It was left as it is.") from None
        return block

    def has(self, cid: Cid) -> bool:
        """Whether there is an entry. Only `get` says whether it is whole."""
        return cid.inline is not None or self._path(cid.key).is_file()

    def put(self, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        """Afterwards they are on the disk. Raises Unverified, TooLarge; blocks before the wrong one are kept."""
        folders: set[Path] = set()
        with told():
            try:
                for cid, block in blocks:
                    if cid.inline is None:
                        folders.add(self._put(cid, block))
            finally:
                for folder in folders:
                    sync_folder(folder)

    def _put(self, cid: Cid, block: bytes) -> Path:
        if len(block) > BLOCK_MAX:
            raise TooLarge("A block is larger than blocks may be.")
        verify_untrusted(cid, block)
        path = self._path(cid.key)
        if self._holds(path, cid):
            return path.parent
        if not path.parent.is_dir():
            path.parent.mkdir(exist_ok=True, mode=0o700)
            sync_folder(path.parent.parent)
        write_whole(path, block)
        return path.parent

    def _holds(self, path: Path, cid: Cid) -> bool:
        """A block that is there and right is not written again."""
        if not path.is_file():
            return False
        try:
            return self.get(cid) is not None
        except IpfsError:
            return False

    def entries(self) -> Iterator[tuple[bytes, int]]:
        """(multihash, size) of every entry; what else lies in the folder is passed over."""
        with told():
            for folder in sorted((self.folder / "blocks").iterdir()):
                for path in folder.iterdir() if folder.is_dir() else ():
                    with suppress(ValueError, FileNotFoundError):
                        yield bytes.fromhex(path.name), path.stat().st_size

    def contents(self) -> Contents:
        sizes = [size for _, size in self.entries()]
        return Contents(len(sizes), sum(sizes))

    def remove(self, keys: Iterable[bytes]) -> None:
        with told():
            for key in keys:
                self._path(key).unlink(missing_ok=True)

    def remove_unfinished(self) -> None:
        with told():
            for path in (self.folder / "blocks").glob(f"*/*{_UNFINISHED}"):
                with suppress(FileNotFoundError):
                    if time() - path.stat().st_mtime > _STALE_SECONDS:
                        path.unlink()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """While something is added, and until it is pinned: no garbage collection begins."""
        with self._locked("LOCK_SH", "The block store is being cleaned by another command. Try again in a moment."):
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._locked("LOCK_EX", "Another command uses the block store. Try again when it has ended."):
            yield

    @contextmanager
    def _locked(self, kind: str, refusal: str) -> Iterator[None]:
        try:
            import fcntl
        except ImportError:
            raise StoreFailed("The block store needs a POSIX system.") from None
        with told():
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, getattr(fcntl, kind) | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise StoreFailed(refusal) from None
        try:
            yield
        finally:
            os.close(descriptor)

    def _path(self, key: bytes) -> Path:
        return self.folder / "blocks" / f"{key[-1]:02x}" / key.hex()


@contextmanager
def told() -> Iterator[None]:
    """What the disk refuses, as our own error: without the path."""
    try:
        yield
    except OSError as problem:
        reason = (problem.strerror or type(problem).__name__).lower()
        raise StoreFailed(f"The block store cannot be used: {reason}.") from problem


def write_whole(path: Path, data: bytes) -> None:
    """All of it or nothing, also when the power goes. The folder is synced by the caller."""
    unfinished = path.with_name(f"{path.name[-40:]}.{os.getpid()}.{os.urandom(4).hex()}{_UNFINISHED}")
    try:
        with unfinished.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
