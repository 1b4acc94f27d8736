"""Calls on files as a C library makes them."""

from __future__ import annotations

import struct

from portablefakes import PAGE, Caller

from sandbox.portable.descriptor_table import Right

CREATE, DIRECTORY, EXCLUSIVE, TRUNCATE = 1, 2, 4, 8
READ, WRITE = Right.FD_READ, Right.FD_WRITE
ALL = (1 << 30) - 1
APPEND = 1
FAR = 4 * PAGE


def path(caller: Caller, text: bytes) -> tuple[int, int]:
    return caller.put(text), len(text)


def opened(
    caller: Caller, name: bytes, oflags: int = 0, rights: int = ALL, fdflags: int = 0, base: int = 3, follow: int = 1
) -> int:
    """The descriptor; negative: the errno."""
    result = caller.room(4)
    errno = caller("path_open", base, follow, *path(caller, name), oflags, rights, ALL, fdflags, result)
    return caller.u32(result) if errno == 0 else -errno


def wrote(caller: Caller, fd: int, *parts: bytes) -> tuple[int, int]:
    result = caller.room(4)
    return caller("fd_write", fd, *caller.vectors(*parts), result), caller.u32(result)


def read(caller: Caller, fd: int, size: int, offset: int | None = None) -> bytes:
    buffer, result = caller.room(size), caller.room(4)
    vector = caller.put(struct.pack("<II", buffer, size))
    if offset is None:
        assert caller("fd_read", fd, vector, 1, result) == 0
    else:
        assert caller("fd_pread", fd, vector, 1, offset, result) == 0
    return bytes(caller.bytes[buffer : buffer + caller.u32(result)])


def stat(caller: Caller, name: bytes, follow: int = 0) -> tuple[int, ...]:
    result = caller.room(64)
    assert caller("path_filestat_get", 3, follow, *path(caller, name), result) == 0
    return struct.unpack_from("<QQB7xQQQQQ", caller.bytes, result)
