"""Wire: anonymous files of Linux: programs on their way to the compiler, images, guest memory.

In:  bytes, or a descriptor that a jailed worker wrote to. Out: descriptors that cannot change any more (sealed), so
that what was checked is what is mapped, whoever else holds one.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from typing import TYPE_CHECKING

from sandbox.errors import SandboxBroken
from sandbox.snapshotfile import written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sandbox.packets import Buffer

# linux/fcntl.h; the module fcntl has them only from Python 3.12 on some builds.
F_ADD_SEALS = 1033
SEAL_SEAL, SEAL_SHRINK, SEAL_GROW, SEAL_WRITE = 1, 2, 4, 8
SEAL_ALL = SEAL_SEAL | SEAL_SHRINK | SEAL_GROW | SEAL_WRITE

_FLAGS = 0x0001 | 0x0002  # MFD_CLOEXEC | MFD_ALLOW_SEALING
_READ_CHUNK = 1 << 20


class MemfdBlob:
    """Implements backend.Blob: a sealed image. The descriptor closes when nobody refers to it."""

    __slots__ = ("fd", "size")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size = os.fstat(fd).st_size

    def read(self) -> bytes:
        return read_all(self.fd, self.size)

    def pieces(self) -> Iterator[bytes]:
        yield from pieces_of_fd(self.fd, self.size)  # and so it is there until the last one

    def __del__(self) -> None:
        os.close(self.fd)


class MemfdSnapshot:
    """Implements backend.Snapshot: memory 0 of a program that is gone, the first `size` bytes of its file."""

    __slots__ = ("fd", "size")

    def __init__(self, fd: int, size: int) -> None:
        self.fd, self.size = fd, size

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self.fd, min(size, self.size - offset), offset)

    def data(self) -> Iterator[tuple[int, int]]:
        """What was ever written; the rest is zeros."""
        return written(self.fd, self.size)

    def copy_to(self, fd: int) -> None:
        for start, length in self.data():
            copy_range(self.fd, fd, start, start + length)

    def __del__(self) -> None:
        os.close(self.fd)


def copy_range(source: int, target: int, at: int, end: int) -> None:
    """In the kernel, in half the time: one copy instead of two. Where it does not, or no longer, by hand."""
    with contextlib.suppress(OSError):
        while at < end and (copied := os.copy_file_range(source, target, end - at, at, at)):
            at += copied
    while at < end:
        piece = os.pread(source, min(end - at, _READ_CHUNK), at)
        if not piece:
            return
        at += os.pwrite(target, piece, at)


def empty_memfd(name: str) -> int:
    return os.memfd_create(name, _FLAGS)


def sealed_memfd(name: str, pieces: Iterable[Buffer]) -> int:
    fd = empty_memfd(name)
    try:
        for piece in pieces:
            write_all(fd, piece)
        fcntl.fcntl(fd, F_ADD_SEALS, SEAL_ALL)
    except BaseException:
        os.close(fd)
        raise
    return fd


def memory_memfd(size: int) -> int:
    """Guest memory:

    exactly `size` bytes, which take no memory until they are touched; it may be written, its size never changes.
    """
    fd = empty_memfd("memory")
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, F_ADD_SEALS, SEAL_SHRINK | SEAL_GROW)
    except BaseException:
        os.close(fd)
        raise
    return fd


def seal(fd: int) -> None:
    """Raises SandboxBroken when somebody still has it mapped for writing."""
    try:
        fcntl.fcntl(fd, F_ADD_SEALS, SEAL_ALL)
    except OSError as error:
        raise SandboxBroken("compiler-image", "A compiled image could not be sealed; it was not used.") from error


def allocated(fd: int) -> int:
    """Bytes of a memfd that were ever touched."""
    return os.fstat(fd).st_blocks * 512


def forget_behind(fd: int, at: int) -> None:
    """What was touched from there on is zeros again, and takes no memory. `at`: of whole pages. Where that cannot be
    (a mapping needs a descriptor for a moment) it stays as it is.
    """
    with contextlib.suppress(OSError):
        os.lseek(fd, at, os.SEEK_DATA)  # or nothing was
        with mmap.mmap(fd, os.fstat(fd).st_size - at, offset=at) as seen:
            seen.madvise(mmap.MADV_REMOVE)


def write_all(fd: int, data: Buffer) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def read_all(fd: int, size: int) -> bytes:
    return b"".join(pieces_of_fd(fd, size))


def pieces_of_fd(fd: int, size: int) -> Iterator[bytes]:
    at = 0
    while at < size and (piece := os.pread(fd, min(size - at, _READ_CHUNK), at)):
        yield piece
        at += len(piece)
