"""Words: preview 1: what is known about a descriptor and the node behind it, and changing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.portable.descriptor_table import FdFlag, Right, Stream
from sandbox.portable.file_nodes import set_size
from sandbox.portable.guest_errno import CallError, Errno
from sandbox.portable.wasi_layout import FDSTAT, PRESTAT, encode_filestat, filetype_of_descriptor

if TYPE_CHECKING:
    from sandbox.portable.file_nodes import Times
    from sandbox.portable.wasi_world import WasiWorld

KNOWN_FLAGS = 31
SET_ACCESSED, SET_ACCESSED_NOW, SET_MODIFIED, SET_MODIFIED_NOW = 1, 2, 4, 8


def check_flags(flags: int) -> FdFlag:
    if flags > KNOWN_FLAGS:
        raise CallError(Errno.INVAL)
    return FdFlag(flags)


def fd_fdstat_get(world: WasiWorld, fd: int, result: int) -> None:
    found = world.table.get(fd)
    kind = filetype_of_descriptor(found)
    world.memory.write(result, FDSTAT.pack(kind, found.flags, found.rights, found.inheriting))


def fd_fdstat_set_flags(world: WasiWorld, fd: int, flags: int) -> None:
    found = world.table.get(fd, Right.FD_FDSTAT_SET_FLAGS)
    found.flags = check_flags(flags)


def fd_fdstat_set_rights(world: WasiWorld, fd: int, rights: int, inheriting: int) -> None:
    found = world.table.get(fd)
    # plain numbers: the complement of a flag knows only the bits that have names
    if rights & ~int(found.rights) or inheriting & ~int(found.inheriting):
        raise CallError(Errno.NOTCAPABLE)
    found.rights, found.inheriting = Right(rights), Right(inheriting)


def fd_filestat_get(world: WasiWorld, fd: int, result: int) -> None:
    found = world.table.get(fd, Right.FD_FILESTAT_GET)
    world.memory.write(result, encode_filestat(world.layout, found.target, filetype_of_descriptor(found)))


def fd_filestat_set_size(world: WasiWorld, fd: int, size: int) -> None:
    _, file = world.table.file(fd, Right.FD_FILESTAT_SET_SIZE)
    set_size(file, world.files.quota, size, world.now())


def check_times(given: tuple[int, int, int], now: int) -> tuple[int | None, int | None]:
    """(accessed, modified); None leaves one as it is. `given`: accessed, modified, which."""
    accessed, modified, which = given
    both_accessed, both_modified = SET_ACCESSED | SET_ACCESSED_NOW, SET_MODIFIED | SET_MODIFIED_NOW
    if which > both_accessed | both_modified or which & both_accessed == both_accessed:
        raise CallError(Errno.INVAL)
    if which & both_modified == both_modified:
        raise CallError(Errno.INVAL)
    new_accessed = accessed if which & SET_ACCESSED else now if which & SET_ACCESSED_NOW else None
    new_modified = modified if which & SET_MODIFIED else now if which & SET_MODIFIED_NOW else None
    return new_accessed, new_modified


def put_times(times: Times, new: tuple[int | None, int | None], now: int) -> None:
    accessed, modified = new
    times.accessed = times.accessed if accessed is None else accessed
    times.modified = times.modified if modified is None else modified
    times.changed = now


def fd_filestat_set_times(world: WasiWorld, fd: int, accessed: int, modified: int, which: int) -> None:
    found = world.table.get(fd)
    if isinstance(found.target, Stream):
        raise CallError(Errno.NOTSUP)
    found.check(Right.FD_FILESTAT_SET_TIMES)
    now = world.now()
    put_times(found.target.times, check_times((accessed, modified, which), now), now)


def fd_prestat_get(world: WasiWorld, fd: int, result: int) -> None:
    name = world.table.get(fd).preopen
    if name is None:
        raise CallError(Errno.BADF)
    world.memory.write(result, PRESTAT.pack(0, len(name)))


def fd_prestat_dir_name(world: WasiWorld, fd: int, buffer: int, length: int) -> None:
    name = world.table.get(fd).preopen
    if name is None:
        raise CallError(Errno.BADF)
    if length < len(name):
        raise CallError(Errno.NAMETOOLONG)
    world.memory.write(buffer, name)
