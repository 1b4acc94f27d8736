"""Words: the functions of preview 1 on open descriptors. All numbers and addresses come from the guest (untrusted)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from sandbox.portable.descriptor_table import FdFlag, Right, Stream
from sandbox.portable.file_nodes import MAXIMUM_OFFSET, RegularFile, allocate, read_at, set_size, write_at
from sandbox.portable.guest_errno import CallError, Errno
from sandbox.portable.wasi_layout import FDSTAT, PRESTAT, Whence, encode_dirent, encode_filestat, filetype_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.portable.descriptor_table import Descriptor
    from sandbox.portable.file_nodes import Directory, Node, Times
    from sandbox.portable.wasi_world import WasiWorld

ADVICE_COUNT = 6
DOT, DOT_DOT = 1, 2  # cookies of the first two entries
KNOWN_FLAGS = FdFlag(31)
# One call moves at most this much; more only makes a copy that a slow reader then waits for. Programs handle short
# counts.
MAXIMUM_TRANSFER = 1 << 20
SET_ACCESSED, SET_ACCESSED_NOW, SET_MODIFIED, SET_MODIFIED_NOW = 1, 2, 4, 8


# -- what a descriptor is


def fd_fdstat_get(world: WasiWorld, fd: int, result: int) -> None:
    found = world.table.get(fd)
    kind = filetype_of(found.target)
    world.memory.write(result, FDSTAT.pack(kind, found.flags, found.rights, found.inheriting))


def fd_fdstat_set_flags(world: WasiWorld, fd: int, flags: int) -> None:
    found = world.table.get(fd, Right.FD_FDSTAT_SET_FLAGS)
    if flags & ~KNOWN_FLAGS:
        raise CallError(Errno.INVAL)
    found.flags = FdFlag(flags)


def fd_fdstat_set_rights(world: WasiWorld, fd: int, rights: int, inheriting: int) -> None:
    found = world.table.get(fd)
    if rights & ~found.rights or inheriting & ~found.inheriting:
        raise CallError(Errno.NOTCAPABLE)
    found.rights, found.inheriting = Right(rights), Right(inheriting)


def fd_filestat_get(world: WasiWorld, fd: int, result: int) -> None:
    found = world.table.get(fd, Right.FD_FILESTAT_GET)
    world.memory.write(result, encode_filestat(world.layout, found.target))


def fd_filestat_set_size(world: WasiWorld, fd: int, size: int) -> None:
    _, file = world.table.file(fd, Right.FD_FILESTAT_SET_SIZE)
    set_size(file, world.files.quota, size, world.now())


def set_times(times: Times, given: tuple[int, int, int], now: int) -> None:
    accessed, modified, which = given
    both = SET_ACCESSED | SET_ACCESSED_NOW
    if which & ~15 or which & both == both or (which >> 2) & both == both:
        raise CallError(Errno.INVAL)
    if which & both:
        times.accessed = accessed if which & SET_ACCESSED else now
    if (which >> 2) & both:
        times.modified = modified if which & SET_MODIFIED else now
    times.changed = now


def fd_filestat_set_times(world: WasiWorld, fd: int, accessed: int, modified: int, which: int) -> None:
    found = world.table.get(fd, Right.FD_FILESTAT_SET_TIMES)
    if isinstance(found.target, Stream):
        raise CallError(Errno.NOTSUP)
    set_times(found.target.times, (accessed, modified, which), world.now())


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


# -- open, closed, moved


def fd_close(world: WasiWorld, fd: int) -> None:
    closed = world.table.close(fd)
    if closed.target is Stream.OUTPUT:
        world.origin.close_output()
    elif closed.target is Stream.INPUT:
        world.origin.close_input()


def fd_renumber(world: WasiWorld, source: int, target: int) -> None:
    world.table.renumber(source, target)


# -- bytes


def fd_read(world: WasiWorld, fd: int, vectors: int, count: int, result: int) -> None:
    found = world.table.get(fd, Right.FD_READ)
    pairs = world.memory.vectors(vectors, count)
    world.memory.check(result, 4)
    limit = min(sum(length for _, length in pairs), MAXIMUM_TRANSFER)
    if isinstance(found.target, RegularFile):
        data: bytes | memoryview = read_at(found.target, found.offset, limit)
        found.offset += len(data)
    else:
        data = _read_stream(world, found, limit)
    world.memory.write_u32(result, world.memory.scatter(pairs, data))


def _read_stream(world: WasiWorld, found: Descriptor, limit: int) -> bytes:
    if found.target is Stream.INPUT:
        return world.origin.read(limit, wait=not found.flags & FdFlag.NONBLOCK) if limit else b""
    raise CallError(Errno.BADF if isinstance(found.target, Stream) else Errno.ISDIR)


def fd_write(world: WasiWorld, fd: int, vectors: int, count: int, result: int) -> None:
    found = world.table.get(fd, Right.FD_WRITE)
    pairs = world.memory.vectors(vectors, count)
    world.memory.check(result, 4)
    data = world.memory.gather(pairs, MAXIMUM_TRANSFER)
    world.memory.write_u32(result, _write(world, found, data))


def _write(world: WasiWorld, found: Descriptor, data: bytes) -> int:
    if found.target is Stream.OUTPUT:
        return world.origin.write(data, wait=not found.flags & FdFlag.NONBLOCK)
    if found.target is Stream.ERROR:
        world.log.write(2, data)
        return len(data)
    if not isinstance(found.target, RegularFile):
        raise CallError(Errno.BADF if isinstance(found.target, Stream) else Errno.ISDIR)
    if found.flags & FdFlag.APPEND:
        found.offset = len(found.target.content)
    done = write_at(found.target, world.files.quota, found.offset, data, world.now())
    found.offset += done
    return done


def _check_offset(offset: int) -> None:
    if offset > MAXIMUM_OFFSET:
        raise CallError(Errno.INVAL)


def fd_pread(world: WasiWorld, fd: int, vectors: int, count: int, offset: int, result: int) -> None:
    _, file = world.table.file(fd, Right.FD_READ | Right.FD_SEEK)
    _check_offset(offset)
    pairs = world.memory.vectors(vectors, count)
    world.memory.check(result, 4)
    limit = min(sum(length for _, length in pairs), MAXIMUM_TRANSFER)
    world.memory.write_u32(result, world.memory.scatter(pairs, read_at(file, offset, limit)))


def fd_pwrite(world: WasiWorld, fd: int, vectors: int, count: int, offset: int, result: int) -> None:
    _, file = world.table.file(fd, Right.FD_WRITE | Right.FD_SEEK)
    _check_offset(offset)
    pairs = world.memory.vectors(vectors, count)
    world.memory.check(result, 4)
    data = world.memory.gather(pairs, MAXIMUM_TRANSFER)
    world.memory.write_u32(result, write_at(file, world.files.quota, offset, data, world.now()))


# -- position and size


def fd_seek(world: WasiWorld, fd: int, offset: int, whence: int, result: int) -> None:
    needed = Right.FD_TELL if offset == 0 and _whence(world, whence) is Whence.CURRENT else Right.FD_SEEK
    found, file = world.table.file(fd, needed)
    base = {Whence.SET: 0, Whence.CURRENT: found.offset, Whence.END: len(file.content)}[_whence(world, whence)]
    signed = offset - (1 << 64) if offset > MAXIMUM_OFFSET else offset
    if not 0 <= base + signed <= MAXIMUM_OFFSET:
        raise CallError(Errno.INVAL)
    world.memory.write_u64(result, base + signed)
    found.offset = base + signed


def _whence(world: WasiWorld, number: int) -> Whence:
    if number >= len(world.layout.whence):
        raise CallError(Errno.INVAL)
    return world.layout.whence[number]


def fd_tell(world: WasiWorld, fd: int, result: int) -> None:
    found, _ = world.table.file(fd, Right.FD_TELL)
    world.memory.write_u64(result, found.offset)


def fd_advise(world: WasiWorld, fd: int, _offset: int, _length: int, advice: int) -> None:
    found = world.table.get(fd)
    if isinstance(found.target, Stream):
        raise CallError(Errno.SPIPE)
    if advice >= ADVICE_COUNT:
        raise CallError(Errno.INVAL)


def fd_allocate(world: WasiWorld, fd: int, offset: int, length: int) -> None:
    _, file = world.table.file(fd, Right.FD_ALLOCATE)
    if length == 0:
        raise CallError(Errno.INVAL)
    allocate(file, world.files.quota, offset, length, world.now())


def fd_sync(world: WasiWorld, fd: int) -> None:
    """Nothing to do: the file system is memory."""
    world.table.get(fd)


# -- directories


def fd_readdir(world: WasiWorld, fd: int, buffer: int, length: int, cookie: int, result: int) -> None:
    _, directory = world.table.directory(fd, Right.FD_READDIR)
    world.memory.check(buffer, length)
    world.memory.check(result, 4)
    used = 0
    for after, name, node in _entries(directory, cookie):
        entry = encode_dirent(after, name, node)[: length - used]
        world.memory.write(buffer + used, entry)
        used += len(entry)
        if used == length:
            break
    world.memory.write_u32(result, used)


def _entries(directory: Directory, cookie: int) -> Iterator[tuple[int, bytes, Node]]:
    """What comes after a cookie, with the cookie of each: stable whatever is added or removed meanwhile."""
    if cookie < DOT:
        yield DOT, b".", directory
    if cookie < DOT_DOT:
        yield DOT_DOT, b"..", directory.parent or directory
    for name, (number, node) in directory.entries.items():
        if number > cookie:
            yield number, name, node


# -- sockets: a WASI program has none


def no_socket(world: WasiWorld, fd: int, *_rest: int) -> NoReturn:
    world.table.get(fd)
    raise CallError(Errno.NOTSOCK)


def no_accept(_world: WasiWorld, _fd: int, _flags: int, _result: int) -> NoReturn:
    raise CallError(Errno.NOTSUP)


