"""Words: what a program's private file system is made of, and what it may cost.

Nodes know nothing of names or paths (memory_files.py) nor of descriptors (descriptor_table.py). `Quota` counts as
the Rust crate `gatebus-files` does: bytes of content and of link targets, holes included, once per name, because
that is what leaves for the host at the end; names; and nodes held open. A node that was unlinked but is still open
keeps its cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.portable.guest_errno import CallError, Errno

# One regular file may be as large as the whole file system; larger offsets than a signed 64-bit number do not exist
# in WASI.
MAXIMUM_OFFSET = 2**63 - 1
# 1 and 2 are `.` and `..`
FIRST_COOKIE = 3


@dataclass(slots=True)
class Times:
    """Nanoseconds since 1970."""

    accessed: int
    modified: int
    changed: int


@dataclass(slots=True, eq=False)
class RegularFile:
    number: int
    times: Times
    content: bytearray = field(default_factory=bytearray)
    links: int = 1
    opened: int = 0


@dataclass(slots=True, eq=False)
class Directory:
    number: int
    times: Times
    parent: Directory | None
    # name -> (cookie, node), in the order in which they were made: a cookie of readdir names what comes after it
    entries: dict[bytes, tuple[int, Node]] = field(default_factory=dict)
    next_cookie: int = FIRST_COOKIE
    links: int = 1
    opened: int = 0

    def find(self, name: bytes) -> Node | None:
        found = self.entries.get(name)
        return found[1] if found else None

    def enter(self, name: bytes, node: Node) -> None:
        self.entries[name] = (self.next_cookie, node)
        self.next_cookie += 1

    @property
    def removed(self) -> bool:
        """Unlinked, and only alive because a descriptor still holds it."""
        return self.links == 0


@dataclass(slots=True, eq=False)
class SymbolicLink:
    number: int
    times: Times
    target: bytes
    links: int = 1
    opened: int = 0


Node = RegularFile | Directory | SymbolicLink


@dataclass(slots=True)
class Quota:
    """Bytes, names and open nodes, against their limits."""

    byte_limit: int
    name_limit: int
    open_limit: int
    bytes_used: int = 0
    names_used: int = 0
    opened: int = 0

    def take_bytes(self, count: int) -> None:
        """May be negative: something was cut or freed."""
        if count > 0 and self.bytes_used + count > self.byte_limit:
            raise CallError(Errno.NOSPC)
        self.bytes_used += count

    def room(self, weight: int = 1) -> int:
        """Bytes that may still be added to something that is charged `weight` times."""
        return (self.byte_limit - self.bytes_used) // weight

    def check_name(self) -> None:
        if self.names_used >= self.name_limit:
            raise CallError(Errno.NOSPC)

    def check_open(self) -> None:
        if self.opened >= self.open_limit:
            raise CallError(Errno.NFILE)

    def collect(self, node: Node) -> None:
        """Take back what a node costs once neither a name nor a descriptor leads to it."""
        if node.links == 0 and node.opened == 0:
            self.bytes_used -= size_of(node)
            if isinstance(node, RegularFile):
                node.content = bytearray()


def size_of(node: Node) -> int:
    """Bytes that one name of this node is charged for, and its size in a filestat."""
    match node:
        case RegularFile():
            return len(node.content)
        case SymbolicLink():
            return len(node.target)
        case Directory():
            return 0


def weight_of(node: Node) -> int:
    """How often the size is charged: once per name, and once while it is only open."""
    return max(1, node.links)


def largest(offset: int, length: int) -> int:
    """The end of a range; FBIG beyond what an offset can be."""
    if offset + length > MAXIMUM_OFFSET:
        raise CallError(Errno.FBIG)
    return offset + length


def read_at(file: RegularFile, offset: int, length: int) -> memoryview:
    """Up to `length` bytes; nothing behind the end."""
    return memoryview(file.content)[offset : offset + length].toreadonly()


def write_at(file: RegularFile, quota: Quota, offset: int, data: bytes, now: int) -> int:
    """How many bytes were written: all, or as many as there is room for; NOSPC when that is none."""
    if not data:
        return 0
    old = len(file.content)
    end = min(largest(offset, len(data)), old + quota.room(weight_of(file)))
    data = data[: max(0, end - offset)]
    if not data:
        raise CallError(Errno.NOSPC)
    quota.take_bytes(max(0, end - old) * weight_of(file))
    if offset > old:
        file.content.extend(bytes(offset - old))
    file.content[offset:end] = data
    file.times.modified = file.times.changed = now
    return len(data)


def set_size(file: RegularFile, quota: Quota, size: int, now: int) -> None:
    """Cut off, or fill with zeros."""
    old = len(file.content)
    quota.take_bytes((largest(size, 0) - old) * weight_of(file))
    if size < old:
        del file.content[size:]
    else:
        file.content.extend(bytes(size - old))
    file.times.modified = file.times.changed = now


def allocate(file: RegularFile, quota: Quota, offset: int, length: int, now: int) -> None:
    """Make sure that the file reaches at least this far."""
    end = largest(offset, length)
    if end > len(file.content):
        set_size(file, quota, end, now)
