"""Words: the file descriptors of a WASI program and their rights.

0, 1, 2 are the streams, 3 and 4 the root directory under the names `/` and `.`; further ones are the lowest free
number. Rights are what preview 1 says they are: every function names those it needs, a descriptor can only lose
some.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.portable.file_nodes import Directory, RegularFile
from sandbox.portable.guest_errno import CallError, Errno

if TYPE_CHECKING:
    from sandbox.portable.memory_files import MemoryFiles

# As many as a Linux process may have open by default; each costs the child some hundred bytes.
MAXIMUM_DESCRIPTORS = 1024


class Right(enum.IntFlag):
    FD_DATASYNC = 1 << 0
    FD_READ = 1 << 1
    FD_SEEK = 1 << 2
    FD_FDSTAT_SET_FLAGS = 1 << 3
    FD_SYNC = 1 << 4
    FD_TELL = 1 << 5
    FD_WRITE = 1 << 6
    FD_ADVISE = 1 << 7
    FD_ALLOCATE = 1 << 8
    PATH_CREATE_DIRECTORY = 1 << 9
    PATH_CREATE_FILE = 1 << 10
    PATH_LINK_SOURCE = 1 << 11
    PATH_LINK_TARGET = 1 << 12
    PATH_OPEN = 1 << 13
    FD_READDIR = 1 << 14
    PATH_READLINK = 1 << 15
    PATH_RENAME_SOURCE = 1 << 16
    PATH_RENAME_TARGET = 1 << 17
    PATH_FILESTAT_GET = 1 << 18
    PATH_FILESTAT_SET_SIZE = 1 << 19
    PATH_FILESTAT_SET_TIMES = 1 << 20
    FD_FILESTAT_GET = 1 << 21
    FD_FILESTAT_SET_SIZE = 1 << 22
    FD_FILESTAT_SET_TIMES = 1 << 23
    PATH_SYMLINK = 1 << 24
    PATH_REMOVE_DIRECTORY = 1 << 25
    PATH_UNLINK_FILE = 1 << 26
    POLL_FD_READWRITE = 1 << 27
    SOCK_SHUTDOWN = 1 << 28
    SOCK_ACCEPT = 1 << 29


NO_RIGHTS = Right(0)
# What can be changed through an open file.
WRITING = Right.FD_WRITE | Right.FD_DATASYNC | Right.FD_ALLOCATE | Right.FD_FILESTAT_SET_SIZE
FILE_RIGHTS = (
    WRITING | Right.FD_READ | Right.FD_SEEK | Right.FD_FDSTAT_SET_FLAGS | Right.FD_SYNC | Right.FD_TELL
    | Right.FD_ADVISE | Right.FD_FILESTAT_GET | Right.FD_FILESTAT_SET_TIMES | Right.POLL_FD_READWRITE
)  # fmt: skip
DIRECTORY_RIGHTS = (
    Right.FD_FDSTAT_SET_FLAGS | Right.FD_SYNC | Right.PATH_CREATE_DIRECTORY | Right.PATH_CREATE_FILE
    | Right.PATH_LINK_SOURCE | Right.PATH_LINK_TARGET | Right.PATH_OPEN | Right.FD_READDIR | Right.PATH_READLINK
    | Right.PATH_RENAME_SOURCE | Right.PATH_RENAME_TARGET | Right.PATH_FILESTAT_GET | Right.PATH_FILESTAT_SET_SIZE
    | Right.PATH_FILESTAT_SET_TIMES | Right.FD_FILESTAT_GET | Right.FD_FILESTAT_SET_TIMES | Right.PATH_SYMLINK
    | Right.PATH_REMOVE_DIRECTORY | Right.PATH_UNLINK_FILE | Right.POLL_FD_READWRITE
)  # fmt: skip
INPUT_RIGHTS = Right.FD_READ | Right.FD_FDSTAT_SET_FLAGS | Right.FD_FILESTAT_GET | Right.POLL_FD_READWRITE
OUTPUT_RIGHTS = (
    Right.FD_WRITE | Right.FD_DATASYNC | Right.FD_SYNC | Right.FD_FDSTAT_SET_FLAGS | Right.FD_FILESTAT_GET
    | Right.POLL_FD_READWRITE
)  # fmt: skip


class FdFlag(enum.IntFlag):
    APPEND = 1
    DSYNC = 2
    NONBLOCK = 4
    RSYNC = 8
    SYNC = 16


class Stream(enum.IntEnum):
    """Which of the three; the value is the descriptor it starts as."""

    INPUT = 0
    OUTPUT = 1
    ERROR = 2


@dataclass(slots=True, eq=False)
class Descriptor:
    """One open stream, file or directory."""

    target: Stream | RegularFile | Directory
    rights: Right
    inheriting: Right = NO_RIGHTS
    flags: FdFlag = FdFlag(0)  # noqa: RUF009 - an immutable number
    offset: int = 0
    preopen: bytes | None = None
    plain: bool = False
    """It does not look like a terminal."""

    def check(self, needed: Right) -> None:
        """A missing right to read or write is BADF, as in POSIX."""
        missing = needed & ~self.rights
        if missing & (Right.FD_READ | WRITING):
            raise CallError(Errno.BADF)
        if missing:
            raise CallError(Errno.NOTCAPABLE)


class DescriptorTable:
    """Descriptor numbers of the guest (untrusted) to what is behind them."""

    def __init__(self, files: MemoryFiles, *, plain_output: bool = False) -> None:
        self._files = files
        self._open: dict[int, Descriptor] = {
            0: Descriptor(Stream.INPUT, INPUT_RIGHTS),
            1: Descriptor(Stream.OUTPUT, OUTPUT_RIGHTS, plain=plain_output),
            2: Descriptor(Stream.ERROR, OUTPUT_RIGHTS),
        }
        for number, name in ((3, b"/"), (4, b".")):
            files.hold(files.root)
            self._open[number] = Descriptor(files.root, DIRECTORY_RIGHTS, DIRECTORY_RIGHTS | FILE_RIGHTS, preopen=name)

    @classmethod
    def restored(cls, files: MemoryFiles, opened: dict[int, Descriptor]) -> DescriptorTable:
        """With these descriptors, whose nodes are held already."""
        table = cls.__new__(cls)
        table._files, table._open = files, opened
        return table

    def slots(self) -> list[Descriptor | None]:
        """All numbers up to the last one in use."""
        return [self._open.get(number) for number in range(max(self._open, default=-1) + 1)]

    def get(self, number: int, needed: Right = NO_RIGHTS) -> Descriptor:
        descriptor = self._open.get(number)
        if descriptor is None:
            raise CallError(Errno.BADF)
        descriptor.check(needed)
        return descriptor

    def file(self, number: int, needed: Right) -> tuple[Descriptor, RegularFile]:
        descriptor = self.get(number)
        if isinstance(descriptor.target, Directory):
            raise CallError(Errno.ISDIR)
        if isinstance(descriptor.target, Stream):
            raise CallError(Errno.SPIPE)
        descriptor.check(needed)
        return descriptor, descriptor.target

    def directory(self, number: int, needed: Right) -> tuple[Descriptor, Directory]:
        descriptor = self.get(number)
        if not isinstance(descriptor.target, Directory):
            raise CallError(Errno.NOTDIR)
        if needed & ~descriptor.rights:
            raise CallError(Errno.NOTCAPABLE)
        return descriptor, descriptor.target

    def check_room(self) -> None:
        """Before something is made that would then find no descriptor."""
        if len(self._open) >= MAXIMUM_DESCRIPTORS:
            raise CallError(Errno.MFILE)

    def add(self, descriptor: Descriptor) -> int:
        self.check_room()
        number = 0
        while number in self._open:
            number += 1
        self._open[number] = descriptor
        if not isinstance(descriptor.target, Stream):
            self._files.hold(descriptor.target)
        return number

    def close(self, number: int) -> Descriptor:
        descriptor = self.get(number)
        del self._open[number]
        if not isinstance(descriptor.target, Stream):
            self._files.let_go(descriptor.target)
        return descriptor

    def renumber(self, source: int, target: int) -> Descriptor | None:
        """dup2 and close in one; both must be open. What was closed by it, if anything."""
        moved = self.get(source)
        self.get(target)
        if source == target:
            return None
        del self._open[source]
        closed = self.close(target)
        self._open[target] = moved
        return closed
