"""Blocks on disk; a wire.

In:  verified or unverified blocks to keep; files of an earlier process (untrusted: hashed at every read). Out: blocks.

    blocks/LAST-BYTE/MULTIHASH    the bytes of one block, named by what they are, whatever codec names them
    pins/CID                      empty files: what garbage collection keeps (pins.py)
    lock                          shared by whoever adds, alone for garbage collection

A block appears whole or not at all: temporary file, rename. What is kept so may be cut when the power goes, and is then
fetched again, since every block is hashed when it is read. What is promised to stay (pins, `put`) is settled once
for all of it: a commit for each of a thousand small files takes a hundred times as long. What is damaged is refused and
reported and stays where it is: somebody may want to look at it. A block that was fetched again and is right takes its
place.
"""

import ctypes
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import time
from typing import Self

from ipfs.caps import BLOCK_MAX, KIB
from ipfs.cid import Cid, verify_untrusted
from ipfs.plainfile import NotPlain, open_plain
from ipfs.secondhand import SecondHand
from ipfs.troubles import Damaged, IpfsError, StoreFailed, TooLarge, Unverified

UNFINISHED = ".unfinished"
# Smaller ones are better written together.
_LARGE = 64 * KIB
_BEGIN_WRITING = 2  # SYNC_FILE_RANGE_WRITE: nobody waits for it, and it promises nothing
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
            self._check()

    @classmethod
    def as_it_is(cls, folder: Path) -> Self:
        """For questions: nothing is made, and where nothing is, it is empty."""
        store = cls.__new__(cls)
        store.folder = folder
        with told(), suppress(FileNotFoundError):
            store._check()
        return store

    def exists(self) -> bool:
        """Whether anybody has made it."""
        return (self.folder / "blocks").is_dir()

    def _check(self) -> None:
        if os.name == "posix" and self.folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise StoreFailed("The block store's folder may be written by others. Take that right away from them.")

    def get(self, cid: Cid) -> bytes | None:
        """Nothing if it is not there. Raises Damaged if what is there is not it."""
        if cid.inline is not None:
            return cid.inline
        with told():
            try:
                with open_plain(self._path(cid.key)) as file:
                    block = file.read(BLOCK_MAX + 1)
            except FileNotFoundError:
                return None
            except NotPlain:
                raise Damaged(f"In the place of the stored block {cid} is no file. It was left as it is.") from None
        try:
            verify_untrusted(cid, block)
        except Unverified:
            raise Damaged(f"The stored block {cid} is damaged. It was left as it is.") from None
        return block

    def has(self, cid: Cid) -> bool:
        """Whether there is an entry. Only `get` says whether it is whole."""
        return cid.inline is not None or self._path(cid.key).is_file()

    def put(self, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        """Afterwards they are on the disk. Raises Unverified, TooLarge; blocks before the wrong one may be kept."""
        self.keep(blocks)
        self.settle()

    def keep(self, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        """Afterwards they are there, but perhaps not if the power goes. Raises as `put` does."""
        with told(), SecondHand() as hand:
            for cid, block in blocks:
                if cid.inline is not None:
                    continue
                path = self._path(cid.key)
                if not self._verified(path, cid, block):
                    hand.do(partial(_write, path, block), len(block))

    def settle(self) -> None:
        """Afterwards everything that was kept is on the disk, its name too."""
        with told():
            _sync_file_system(self.folder)

    def _verified(self, path: Path, cid: Cid, block: bytes) -> bool:
        """Whether it is there already. Raises Unverified, TooLarge."""
        if len(block) > BLOCK_MAX:
            raise TooLarge("A block is larger than blocks may be.")
        verify_untrusted(cid, block)
        return self._holds(path, cid)

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
        for path, key in self._paths():
            with told(), suppress(FileNotFoundError):
                if key and stat.S_ISREG((about := path.lstat()).st_mode):
                    yield key, about.st_size

    def strangers(self) -> Iterator[str]:
        """What is no block and lies where blocks lie, by its name in the store: nobody reads or removes it."""
        for path, key in self._paths():
            if not path.name.endswith(UNFINISHED) and not (key and path.is_file() and not path.is_symlink()):
                yield str(path.relative_to(self.folder))

    def _paths(self) -> Iterator[tuple[Path, bytes]]:
        """Everything where blocks lie, with the key of the block whose place it is, or nothing."""
        with told(), suppress(FileNotFoundError):
            for folder in sorted((self.folder / "blocks").iterdir()):
                if not folder.is_dir():
                    yield folder, b""
                    continue
                for path in sorted(folder.iterdir()):
                    yield path, _key(path)

    def contents(self) -> Contents:
        sizes = [size for _, size in self.entries()]
        return Contents(len(sizes), sum(sizes))

    def remove(self, keys: Iterable[bytes]) -> None:
        with told():
            for key in keys:
                self._path(key).unlink(missing_ok=True)

    def remove_unfinished(self) -> None:
        remove_stale((self.folder / "blocks").glob(f"*/*{UNFINISHED}"))

    @contextmanager
    def shared(self) -> Iterator[None]:
        """While something is added, and until it is pinned: no garbage collection begins. Who may only read (a medium
        that nobody writes, somebody else's store) adds nothing and holds no lock: a block that goes is not here.
        """
        if not os.access(self.folder / "blocks", os.W_OK):
            yield
            return
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
        """Its folder is named by the last byte: the first ones are those of the kind of hash."""
        return self.folder / "blocks" / f"{key[-1]:02x}" / key.hex()


def _key(path: Path) -> bytes:
    """Of the block whose place it is, or nothing."""
    try:
        key = bytes.fromhex(path.name)
    except ValueError:
        return b""
    return key if key.hex() == path.name and f"{key[-1]:02x}" == path.parent.name else b""


def _write(path: Path, block: bytes) -> None:
    """Most folders are there: asking first would cost as much as the file."""
    try:
        _write_into(path, block)
    except FileNotFoundError:
        path.parent.mkdir(exist_ok=True, mode=0o700)
        _write_into(path, block)


def _write_into(path: Path, block: bytes) -> None:
    with Unfinished(path, block) as file:
        file.begin()
        file.show()


def remove_stale(paths: Iterable[Path]) -> None:
    """Of these the unfinished files that nobody writes any more."""
    with told():
        for path in paths:
            with suppress(FileNotFoundError):
                about = path.lstat()
                ours = path.name.endswith(UNFINISHED) and stat.S_ISREG(about.st_mode)
                if ours and time() - about.st_mtime > _STALE_SECONDS:
                    path.unlink()


@contextmanager
def told() -> Iterator[None]:
    """What the disk refuses, as our own error: without the path."""
    try:
        yield
    except OSError as problem:
        reason = (problem.strerror or type(problem).__name__).lower()
        raise StoreFailed(f"The block store cannot be used: {reason}.") from problem


class Unfinished:
    """A file that is all there under its name or not at all; after `finish` also when the power goes. The folder is
    synced by the caller.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        self._path = path
        self._name = path.with_name(f"{path.name[-40:]}.{os.getpid()}.{os.urandom(4).hex()}{UNFINISHED}")
        self._data = data
        self._shown = False

    def __enter__(self) -> Self:
        try:
            self._file = self._name.open("xb")
            self._file.write(self._data)
            self._file.flush()
        except BaseException:
            self.__exit__()
            raise
        return self

    def begin(self) -> None:
        """The disk may begin with it: whoever settles soon waits for less. A third faster for 60 MiB."""
        begin = getattr(ctypes.CDLL(None), "sync_file_range", None)
        if begin is not None and len(self._data) >= _LARGE:
            begin(self._file.fileno(), ctypes.c_int64(0), ctypes.c_int64(0), _BEGIN_WRITING)

    def show(self) -> None:
        """Under its name, for every reader; what a loss of power leaves of it is not certain."""
        try:
            self._name.replace(self._path)
        except IsADirectoryError:
            place = "/".join(self._path.parts[-3:])
            raise StoreFailed(f"A directory is where a file of the block store belongs: {place}. Move it.") from None
        self._shown = True

    def finish(self) -> None:
        os.fsync(self._file.fileno())
        self.show()

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_file"):
            self._file.close()
        if not self._shown:
            self._name.unlink(missing_ok=True)


def _sync_file_system(folder: Path) -> None:
    """One commit for everything that waits. Linux has a call for one file system; elsewhere it is all of them."""
    sync = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if sync is None:
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if sync(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
