"""Words: the structures of WASI preview 1 in guest memory, and their older layouts of `wasi_unstable`.

Offsets are those of the witx documents of the two snapshots; `old` is the snapshot before preview 1.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.portable.descriptor_table import Stream
from sandbox.portable.file_nodes import Directory, RegularFile, SymbolicLink, size_of

if TYPE_CHECKING:
    from sandbox.portable.descriptor_table import Descriptor
    from sandbox.portable.file_nodes import Node


class Filetype(enum.IntEnum):
    UNKNOWN = 0
    CHARACTER_DEVICE = 2
    DIRECTORY = 3
    REGULAR_FILE = 4
    SYMBOLIC_LINK = 7


class Whence(enum.Enum):
    SET = "set"
    CURRENT = "current"
    END = "end"


@dataclass(frozen=True, slots=True)
class Layout:
    """What differs between the two snapshots."""

    filestat: struct.Struct
    subscription_size: int
    clock_fields: struct.Struct  # clock id, timeout, precision, flags
    clock_at: int
    whence: tuple[Whence, Whence, Whence]


# filestat: device u64, inode u64, type u8 (7 unused), links u64 (old: type u8, 3 unused, links u32), size, 3 times
# subscription: userdata u64, tag u8 (7 unused), then at 16: fd u32, or the clock's fields (old: behind a u64
# identifier)
PREVIEW1 = Layout(
    filestat=struct.Struct("<QQB7xQQQQQ"),
    subscription_size=48,
    clock_fields=struct.Struct("<I4xQQH"),
    clock_at=16,
    whence=(Whence.SET, Whence.CURRENT, Whence.END),
)
UNSTABLE = Layout(
    filestat=struct.Struct("<QQB3xIQQQQ"),
    subscription_size=56,
    clock_fields=struct.Struct("<I4xQQH"),
    clock_at=24,
    whence=(Whence.CURRENT, Whence.END, Whence.SET),
)

FDSTAT = struct.Struct("<BxHxxxxQQ")  # filetype, flags, rights, inheriting
PRESTAT = struct.Struct("<B3xI")  # tag 0 (directory), length of the name
DIRENT = struct.Struct("<QQIB3x")  # next cookie, inode, length of the name, filetype
EVENT = struct.Struct("<QHBxxxxxQHxxxxxx")  # userdata, errno, type, bytes, flags
SUBSCRIPTION_HEAD = struct.Struct("<QB")  # userdata, tag
SUBSCRIPTION_FD_AT = 16
DEVICE, STREAM_DEVICE = 1, 2  # one file system; the streams are somewhere else


def filetype_of(target: Stream | Node) -> Filetype:
    match target:
        case RegularFile():
            return Filetype.REGULAR_FILE
        case Directory():
            return Filetype.DIRECTORY
        case SymbolicLink():
            return Filetype.SYMBOLIC_LINK
        case Stream.INPUT:
            return Filetype.UNKNOWN
        case _:
            return Filetype.CHARACTER_DEVICE


def filetype_of_descriptor(descriptor: Descriptor) -> Filetype:
    """C libraries take a character device for a terminal, and write to it line by line."""
    return Filetype.UNKNOWN if descriptor.plain else filetype_of(descriptor.target)


def encode_filestat(layout: Layout, target: Stream | Node, kind: Filetype) -> bytes:
    if isinstance(target, Stream):
        return layout.filestat.pack(STREAM_DEVICE, target + 1, kind, 1, 0, 0, 0, 0)
    times = target.times
    links, size = target.links, size_of(target)
    return layout.filestat.pack(DEVICE, target.number, kind, links, size, times.accessed, times.modified, times.changed)


def encode_dirent(cookie: int, name: bytes, node: Node) -> bytes:
    return DIRENT.pack(cookie, node.number, len(name), filetype_of(node)) + name
