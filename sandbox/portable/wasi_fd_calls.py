"""Words: preview 1: reading, writing, seeking, and what else is done with an open descriptor.

All numbers and addresses come from the guest (untrusted). Order of checks: the descriptor, its rights, the guest's
memory, then the deed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from sandbox.portable.debug_log import log_packet
from sandbox.portable.descriptor_table import FdFlag, Right, Stream
from sandbox.portable.file_nodes import MAXIMUM_OFFSET, Directory, RegularFile, allocate, read_at, write_at
from sandbox.portable.guest_errno import CallError, Errno
from sandbox.portable.wasi_layout import Whence, encode_dirent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.portable.descriptor_table import Descriptor
    from sandbox.portable.file_nodes import Node
    from sandbox.portable.wasi_world import WasiWorld

ADVICE_COUNT = 6
DOT, DOT_DOT = 1, 2  # cookies of the first two entries
# As Linux: the answer must fit into 32 bits with room.
MAXIMUM_TRANSFER = 0x7FFF_F000


# -- closed, moved


def fd_close(world: WasiWorld, fd: int) -> None:
    _tell_closed(world, world.table.close(fd))


def fd_renumber(world: WasiWorld, source: int, target: int) -> None:
    closed = world.table.renumber(source, target)
    if closed is not None:
        _tell_closed(world, closed)


def _tell_closed(world: WasiWorld, closed: Descriptor) -> None:
    if closed.target is Stream.OUTPUT:
        world.origin.close_output()
    elif closed.target is Stream.INPUT:
        world.origin.close_input()


# -- bytes


def _opened(world: WasiWorld, fd: int, needed: Right) -> Descriptor:
    """A directory is told apart later: it is ISDIR whatever its rights."""
    found = world.table.get(fd)
    if not isinstance(found.target, Directory):
        found.check(needed)
    return found


def fd_read(world: WasiWorld, fd: int, vectors: int, count: int, result: int) -> None:
    found = _opened(world, fd, Right.FD_READ)
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
    found = _opened(world, fd, Right.FD_WRITE)
    pairs = world.memory.vectors(vectors, count)
    world.memory.check(result, 4)
    data = world.memory.gather(pairs, MAXIMUM_TRANSFER)
    world.memory.write_u32(result, _write(world, found, data))


def _write(world: WasiWorld, found: Descriptor, data: bytes) -> int:
    if found.target is Stream.OUTPUT:
        return world.origin.write(data, wait=not found.flags & FdFlag.NONBLOCK)
    if found.target is Stream.ERROR:
        for piece in world.log.admit(data):
            world.origin.send(log_packet(Stream.ERROR, piece))
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
    _, file = world.table.file(fd, Right.FD_READ)
    pairs = world.memory.vectors(vectors, count)
    _check_offset(offset)
    world.memory.check(result, 4)
    limit = min(sum(length for _, length in pairs), MAXIMUM_TRANSFER)
    world.memory.write_u32(result, world.memory.scatter(pairs, read_at(file, offset, limit)))


def fd_pwrite(world: WasiWorld, fd: int, vectors: int, count: int, offset: int, result: int) -> None:
    _, file = world.table.file(fd, Right.FD_WRITE)
    pairs = world.memory.vectors(vectors, count)
    _check_offset(offset)
    world.memory.check(result, 4)
    data = world.memory.gather(pairs, MAXIMUM_TRANSFER)
    world.memory.write_u32(result, write_at(file, world.files.quota, offset, data, world.now()))


# -- position and size


def fd_seek(world: WasiWorld, fd: int, offset: int, whence: int, result: int) -> None:
    found, file = world.table.file(fd, Right.FD_SEEK)
    if whence >= len(world.layout.whence):
        raise CallError(Errno.INVAL)
    base = {Whence.SET: 0, Whence.CURRENT: found.offset, Whence.END: len(file.content)}[world.layout.whence[whence]]
    new = base + (offset - (1 << 64) if offset > MAXIMUM_OFFSET else offset)
    if new < 0:
        raise CallError(Errno.INVAL)
    if new > MAXIMUM_OFFSET:
        raise CallError(Errno.OVERFLOW)
    world.memory.write_u64(result, new)
    found.offset = new


def fd_tell(world: WasiWorld, fd: int, result: int) -> None:
    found, _ = world.table.file(fd, Right.FD_TELL)
    world.memory.write_u64(result, found.offset)


def fd_advise(world: WasiWorld, fd: int, offset: int, length: int, advice: int) -> None:
    """Checked, and then of no use: everything is in memory."""
    world.table.file(fd, Right.FD_ADVISE)
    if advice >= ADVICE_COUNT or offset + length > MAXIMUM_OFFSET:
        raise CallError(Errno.INVAL)


def fd_allocate(world: WasiWorld, fd: int, offset: int, length: int) -> None:
    _, file = world.table.file(fd, Right.FD_ALLOCATE)
    if length == 0:
        raise CallError(Errno.INVAL)
    allocate(file, world.files.quota, offset, length, world.now())


def fd_sync(world: WasiWorld, fd: int) -> None:
    """Nothing is ever written later."""
    world.table.get(fd, Right.FD_SYNC)


def fd_datasync(world: WasiWorld, fd: int) -> None:
    if not world.table.get(fd).rights & (Right.FD_DATASYNC | Right.FD_SYNC):
        raise CallError(Errno.NOTCAPABLE)


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


def sock_accept(world: WasiWorld, fd: int, _flags: int, _result: int) -> NoReturn:
    world.table.get(fd)
    raise CallError(Errno.NOTSUP)
