"""Words: the file system of a stopped program as bytes and back (STATE.md; Rust: gatebus-files, state.rs).

Nodes come in the order of their numbers and are named by their place in it, so the same tree is always the same bytes.
What follows from something else is not in them (names that a node has, parents, what is charged): it is counted anew,
against the limits of whoever goes on.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from sandbox.portable.file_nodes import (
    FIRST_COOKIE,
    MAXIMUM_OFFSET,
    Directory,
    Quota,
    RegularFile,
    SymbolicLink,
    Times,
    size_of,
    weight_of,
)
from sandbox.portable.guest_errno import CallError
from sandbox.portable.memory_files import MAXIMUM_NAMES_OF_ONE, MemoryFiles
from sandbox.portable.path_walk import MAXIMUM_NAME, check_text
from sandbox.portable.saved_world import U32, BadWorld

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sandbox.portable.file_nodes import Node
    from sandbox.portable.saved_world import FieldReader

# u64 next serial, u32 number of nodes
TREE_LAYOUT = Struct("<QI")
# u64 serial, u8 type, u8[3] 0, u32 count, u64 accessed, u64 modified, u64 changed
NODE_LAYOUT = Struct("<QB3sIQQQ")
# u64 cookie, u32 node, u8 length of the name
ENTRY_LAYOUT = Struct("<QIB")
# u64 number, u32 length
PIECE_LAYOUT = Struct("<QI")
U64 = Struct("<Q")
DIRECTORY, FILE, LINK = 3, 4, 7
PIECE = 65_536
LAST_COOKIE = (1 << 64) - 2
TOO_MANY = "more files and directories than the limit"
TOO_LARGE = "more bytes in files than the limit"


def nodes_in_order(files: MemoryFiles, held: Iterable[Node]) -> list[Node]:
    """All nodes there are: those that a name leads to, and those that are only open."""
    found: dict[int, Node] = {}
    ahead: list[Node] = [files.root, *held]
    while ahead:
        node = ahead.pop()
        if node.number not in found:
            found[node.number] = node
            if isinstance(node, Directory):
                ahead += [child for _, child in node.entries.values()]
    return [found[number] for number in sorted(found)]


def save_files(files: MemoryFiles, nodes: list[Node]) -> bytes:
    places = {node.number: place for place, node in enumerate(nodes)}
    parts = [TREE_LAYOUT.pack(files.next_number, len(nodes))]
    for node in nodes:
        parts += _save_node(node, places)
    return b"".join(parts)


def _save_node(node: Node, places: dict[int, int]) -> Iterator[bytes]:
    match node:
        case Directory():
            yield _head(node, DIRECTORY, len(node.entries))
            yield U64.pack(node.next_cookie)
            for name, (cookie, child) in node.entries.items():
                yield ENTRY_LAYOUT.pack(cookie, places[child.number], len(name)) + name
        case RegularFile():
            pieces = list(_pieces(node.content))
            yield _head(node, FILE, len(pieces))
            yield U64.pack(len(node.content))
            for number, piece in pieces:
                yield PIECE_LAYOUT.pack(number, len(piece)) + piece
        case SymbolicLink():
            yield _head(node, LINK, len(node.target)) + node.target


def _head(node: Node, kind: int, count: int) -> bytes:
    times = node.times
    return NODE_LAYOUT.pack(node.number, kind, bytes(3), count, times.accessed, times.modified, times.changed)


def _pieces(content: bytearray) -> Iterator[tuple[int, bytes]]:
    """64 KiB each, without the zeros at their ends, none empty."""
    for number in range(-(-len(content) // PIECE)):
        piece = bytes(content[number * PIECE : (number + 1) * PIECE]).rstrip(b"\0")
        if piece:
            yield number, piece


def restore_files_untrusted(fields: FieldReader, limits: Quota, held: list[int]) -> tuple[MemoryFiles, list[Node]]:
    """The tree that `save_files` wrote, under these limits; `held` are the places of nodes that are open, once for each
    time. Raises BadWorld.
    """
    next_number, count = fields.unpack(TREE_LAYOUT)
    # a node is named, or open, or the root
    if count > limits.name_limit + limits.open_limit + 1:
        raise BadWorld(TOO_MANY)
    loader = _Loader(limits, count)
    for _ in range(count):
        loader.node_untrusted(fields, next_number)
    quota = loader.connect_untrusted(held)
    files = MemoryFiles.restored(quota, loader.root, next_number)
    return files, loader.nodes


class _Loader:
    """Nodes that know nothing of each other until `connect_untrusted`."""

    def __init__(self, limits: Quota, count: int) -> None:
        self._limits, self._count = limits, count
        self._names = 0
        self._edges: list[tuple[Directory, list[tuple[bytes, int, int]]]] = []
        self.nodes: list[Node] = []

    @property
    def root(self) -> Directory:
        first = self.nodes[0]
        assert isinstance(first, Directory)
        return first

    def node_untrusted(self, fields: FieldReader, next_number: int) -> None:
        number, kind, zero, count, *times = fields.unpack(NODE_LAYOUT)
        before = self.nodes[-1].number if self.nodes else 0
        if zero != bytes(3):
            raise BadWorld("reserved field is not zero")
        if not before < number < next_number:
            raise BadWorld("nodes out of order")
        node: Node
        if kind == DIRECTORY:
            node = Directory(number, Times(*times), None, links=0)
            self._directory_untrusted(node, fields, count)
        elif kind == FILE:
            node = RegularFile(number, Times(*times), self._content_untrusted(fields, count), links=0)
        elif kind == LINK:
            node = SymbolicLink(number, Times(*times), _target_untrusted(fields.take(count)), links=0)
        else:
            raise BadWorld("unknown type of node")
        self.nodes.append(node)

    def _directory_untrusted(self, directory: Directory, fields: FieldReader, count: int) -> None:
        directory.next_cookie = fields.number(U64)
        self._names += count
        if self._names > self._limits.name_limit:
            raise BadWorld(TOO_MANY)
        entries, free, names = [], FIRST_COOKIE, set()
        for _ in range(count):
            cookie, place, length = fields.unpack(ENTRY_LAYOUT)
            name = _name_untrusted(fields.take(length))
            if not free <= cookie <= LAST_COOKIE or not 0 < place < self._count or name in names:
                raise BadWorld("a directory has an impossible entry")
            free = cookie + 1
            names.add(name)
            entries.append((name, cookie, place))
        if not free <= directory.next_cookie <= LAST_COOKIE:
            raise BadWorld("a directory has an impossible entry")
        self._edges.append((directory, entries))

    def _content_untrusted(self, fields: FieldReader, count: int) -> bytearray:
        size = fields.number(U64)
        content = bytearray()
        for _ in range(count):
            number, length = fields.unpack(PIECE_LAYOUT)
            piece, start = fields.take(length), number * PIECE
            if start < len(content) or not 0 < length <= PIECE or not piece[-1]:
                raise BadWorld("a file has an impossible piece")
            if start + length > self._limits.byte_limit:
                raise BadWorld(TOO_LARGE)
            content += bytes(start - len(content)) + piece
        if not len(content) <= size <= MAXIMUM_OFFSET:
            raise BadWorld("a file has an impossible size")
        if size > self._limits.byte_limit:
            raise BadWorld(TOO_LARGE)
        content += bytes(size - len(content))
        return content

    def connect_untrusted(self, held: list[int]) -> Quota:
        """Names, holders and parents; what all of it costs. Raises BadWorld."""
        if not self.nodes:
            raise BadWorld("a node that is not there")
        if not isinstance(self.nodes[0], Directory):
            raise BadWorld("the root is no directory")
        for place in held:
            if place >= len(self.nodes):
                raise BadWorld("a node that is not there")
            self.nodes[place].opened += 1
        self.nodes[0].links = 1
        for directory, entries in self._edges:
            for name, cookie, place in entries:
                directory.entries[name] = (cookie, self._named_untrusted(directory, self.nodes[place]))
        for node in self.nodes:
            _check_alone(node)
        self._check_tree()
        return self._quota()

    def _named_untrusted(self, directory: Directory, node: Node) -> Node:
        node.links += 1
        if isinstance(node, Directory):
            if node.links > 1:
                raise BadWorld("a directory with two names")
            node.parent = directory
        elif node.links > MAXIMUM_NAMES_OF_ONE:
            raise BadWorld("a file with too many names")
        return node

    def _check_tree(self) -> None:
        """Every named directory hangs on the root: none is its own ancestor."""
        seen, ahead = 0, [self.root]
        while ahead:
            seen += 1
            children = (child for _, child in ahead.pop().entries.values())
            ahead += [child for child in children if isinstance(child, Directory)]
        if seen != sum(isinstance(node, Directory) and node.links > 0 for node in self.nodes):
            raise BadWorld("a directory that nothing leads to")

    def _quota(self) -> Quota:
        limits = self._limits
        quota = Quota(limits.byte_limit, limits.name_limit, limits.open_limit)
        quota.names_used = self._names
        quota.bytes_used = sum(size_of(node) * weight_of(node) for node in self.nodes)
        quota.opened = sum(node.opened for node in self.nodes)
        if quota.bytes_used > quota.byte_limit:
            raise BadWorld(TOO_LARGE)
        if quota.opened > quota.open_limit:
            raise BadWorld("more open files than the limit")
        return quota


def _check_alone(node: Node) -> None:
    """Without a name a node is open, and a directory is empty and leads nowhere."""
    if node.links:
        return
    if not node.opened:
        raise BadWorld("a node without a name is not open")
    if isinstance(node, Directory):
        if node.entries:
            raise BadWorld("a removed directory has entries")
        node.parent = node


def _name_untrusted(name: bytes) -> bytes:
    try:
        name.decode()
    except UnicodeDecodeError:
        raise BadWorld("a name is not UTF-8") from None
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name or len(name) > MAXIMUM_NAME:
        raise BadWorld("a name that no entry can have")
    return name


def _target_untrusted(target: bytes) -> bytes:
    try:
        target.decode()
    except UnicodeDecodeError:
        raise BadWorld("a link's target is not UTF-8") from None
    try:
        check_text(target)
    except CallError:
        raise BadWorld("a target that no link can have") from None
    return target


def number_field(fields: FieldReader) -> int:
    """A count or a length."""
    return fields.number(U32)
