"""Words: the setup packets of the host (BEGIN ... GO) in the child, and the tree that goes back at the end.

In: packets from the host, which is ours: whatever is malformed ends the program as STATUS_BAD_SETUP and is a bug to
be reported. Out: GuestSetup; and, after the guest ended, NODE and CONTENT packets of what it left. The kinds and
layouts are those of PROTOCOL.md section C; the host's side of them is sandbox/control.py.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.control import (
    ARGUMENT,
    BEGIN,
    BEGIN_LAYOUT,
    CONTENT,
    ENVIRONMENT,
    FLAG_DEBUG_LOG,
    FLAG_FILES,
    FLAG_PLAIN_OUTPUT,
    FLAG_RESUMED,
    FUNCTION,
    GO,
    NAMES_PER_NODE,
    NODE,
    NODE_LAYOUT,
    REPORT,
    REPORT_LAYOUT,
    REPORT_TEXT_MAX,
    RESTORE,
    STATE,
    TYPE_DIRECTORY,
    TYPE_FILE,
    TYPE_LINK,
    VERSION,
    lifecycle_of,
)
from sandbox.packets import CALL, CODE_CONTROL, CONTENT_MAX, encode
from sandbox.portable.descriptor_table import MAXIMUM_DESCRIPTORS
from sandbox.portable.file_nodes import Directory, Quota, RegularFile, SymbolicLink, write_at
from sandbox.portable.guest_errno import CallError, GuestEnd
from sandbox.portable.memory_files import MemoryFiles
from sandbox.portable.packet_pipe import STATUS_BAD_SETUP
from sandbox.portable.path_walk import Place, check_text
from sandbox.tree import DEPTH_MAX, PATH_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.portable.file_nodes import Node
    from sandbox.portable.packet_pipe import Packet

MILLISECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Begin:
    flags: int
    log_limit: int
    resolution: int
    origin_credit: int
    instance: bytes


@dataclass(slots=True)
class GuestSetup:
    """What the host said before GO."""

    begin: Begin
    files: MemoryFiles
    arguments: list[bytes] = field(default_factory=list)
    environment: list[bytes] = field(default_factory=list)
    function: bytes | None = None
    # what a resumed program goes on from: u32 length of the guide, guide, state
    restore: bytearray = field(default_factory=bytearray)

    @property
    def resumed(self) -> bool:
        return bool(self.begin.flags & FLAG_RESUMED)

    @property
    def lifecycle(self) -> int:
        return int(lifecycle_of(self.begin.flags))

    @property
    def debug_log(self) -> bool:
        return bool(self.begin.flags & FLAG_DEBUG_LOG)

    @property
    def plain_output(self) -> bool:
        return bool(self.begin.flags & FLAG_PLAIN_OUTPUT)

    @property
    def wants_files(self) -> bool:
        return bool(self.begin.flags & FLAG_FILES)


def bad_setup(what: str) -> GuestEnd:
    return GuestEnd(STATUS_BAD_SETUP, text=what)


class SetupReader:
    """One packet after the other; `done` once GO came."""

    def __init__(self, restore_max: int = 0) -> None:
        """`restore_max`: bytes that a state to go on from may have."""
        self._restore_max = restore_max
        self._setup: GuestSetup | None = None
        self._open: RegularFile | None = None
        self._restored = False
        self.done = False

    @property
    def setup(self) -> GuestSetup:
        if self._setup is None:
            raise bad_setup("something came before BEGIN")
        return self._setup

    def take(self, packet: Packet, now: int) -> None:
        if packet.code != CODE_CONTROL or packet.domain != CALL:
            raise bad_setup("a packet that is no setup came before GO")
        try:
            self._take_control(packet.index, packet.content, now)
        except (struct.error, CallError) as error:
            raise bad_setup(f"setup packet of kind {packet.index} malformed") from error

    def _take_control(self, kind: int, content: bytes, now: int) -> None:
        if kind == BEGIN:
            self._begin(content, now)
        elif self.setup.resumed and kind not in (RESTORE, GO):
            raise bad_setup("setup packet out of order")
        elif kind == RESTORE:
            self._restore(content)
        elif kind == ARGUMENT:
            self.setup.arguments.append(content)
        elif kind == ENVIRONMENT:
            self.setup.environment.append(content)
        elif kind == FUNCTION:
            self.setup.function = content
        elif kind == NODE:
            self._node(content)
        elif kind == CONTENT:
            self._content(content)
        elif kind == GO and not content and (self._restored or not self.setup.resumed):
            self.done = True
        else:
            raise bad_setup(f"setup packet of unknown kind {kind}")

    def _begin(self, content: bytes, now: int) -> None:
        version, flags, log, files, nodes, clock_ms, credit, clock_ns, instance = BEGIN_LAYOUT.unpack(content)
        if version != VERSION or self._setup is not None:
            raise bad_setup("BEGIN of another version, or a second one")
        begin = Begin(flags, log, max(1, clock_ms * MILLISECOND + clock_ns), credit, instance)
        self._setup = GuestSetup(begin, MemoryFiles(Quota(files, nodes, MAXIMUM_DESCRIPTORS), now))

    def _restore(self, content: bytes) -> None:
        state = self.setup.restore
        if not self.setup.resumed:
            raise bad_setup("setup packet out of order")
        if len(state) + len(content) > self._restore_max:
            raise bad_setup("the state is larger than the limit")
        state += content
        self._restored = True

    def _node(self, content: bytes) -> None:
        kind, _, length, modified = NODE_LAYOUT.unpack_from(content)
        path, target = content[NODE_LAYOUT.size : NODE_LAYOUT.size + length], content[NODE_LAYOUT.size + length :]
        files = self.setup.files
        place = _plain_place(files.root, path)
        self._open = None
        if kind == TYPE_DIRECTORY:
            files.add_directory(place, modified)
        elif kind == TYPE_FILE:
            self._open = files.add_file(place, modified)
        elif kind == TYPE_LINK:
            check_text(target)
            files.add_link(place, target, modified)
        else:
            raise bad_setup("node of an unknown type")

    def _content(self, content: bytes) -> None:
        if self._open is None:
            raise bad_setup("content without a file")
        quota, times = self.setup.files.quota, self._open.times
        if write_at(self._open, quota, len(self._open.content), content, times.modified) != len(content):
            raise bad_setup("the files are larger than their limit")


def _plain_place(root: Directory, path: bytes) -> Place:
    """No `.`, no `..`, no empty name, and no link is followed: the host's tree says exactly where things are."""
    check_text(path)
    *above, name = path.split(b"/")
    here: Node | None = root
    for part in above:
        here = here.find(part) if isinstance(here, Directory) else None
    if not isinstance(here, Directory) or name in (b"", b".", b".."):
        raise bad_setup("node without its parent")
    return Place(here, name, here.find(name))


# -- what goes back


def tree_left(files: MemoryFiles) -> Iterator[bytes]:
    """NODE and CONTENT packets, parents first. What the host could not write down (paths too long or too deep) is
    left out.
    """
    # a stack, not recursion: a program may nest directories as deep as it has names
    names_left = files.quota.name_limit * NAMES_PER_NODE
    above: list[tuple[bytes, int, Iterator[tuple[bytes, Node]]]] = [(b"", 1, _children(files.root))]
    while above:
        prefix, depth, children = above[-1]
        name, node = next(children, (b"", None))
        if node is None:
            above.pop()
            continue
        path = prefix + name
        size = len(path) + (len(node.target) if isinstance(node, SymbolicLink) else 0)
        if len(path) > PATH_MAX or size - len(path) > PATH_MAX or depth > DEPTH_MAX or size > names_left:
            continue
        names_left -= size
        yield from _node_packets(path, node)
        if isinstance(node, Directory):
            above.append((path + b"/", depth + 1, _children(node)))


def _children(directory: Directory) -> Iterator[tuple[bytes, Node]]:
    return ((name, node) for name, (_, node) in directory.entries.items())


def _node_packets(path: bytes, node: Node) -> Iterator[bytes]:
    match node:
        case Directory():
            kind, target = TYPE_DIRECTORY, b""
        case RegularFile():
            kind, target = TYPE_FILE, b""
        case SymbolicLink():
            kind, target = TYPE_LINK, node.target
    yield control_packet(NODE, NODE_LAYOUT.pack(kind, bytes(3), len(path), node.times.modified) + path + target)
    if isinstance(node, RegularFile):
        for at in range(0, len(node.content), CONTENT_MAX):
            yield control_packet(CONTENT, bytes(node.content[at : at + CONTENT_MAX]))


def state_packets(state: bytes) -> Iterator[bytes]:
    """The state of a stopped program; the report follows."""
    for at in range(0, len(state), CONTENT_MAX):
        yield control_packet(STATE, state[at : at + CONTENT_MAX])


def control_packet(kind: int, content: bytes) -> bytes:
    return encode(CODE_CONTROL, CALL, content, kind)


def report_packet(end: GuestEnd, memory: int, log_dropped: int) -> bytes:
    """The last packet. The text is cut between characters."""
    text = end.text.encode()[:REPORT_TEXT_MAX].decode(errors="ignore").encode()
    result = (end.result & 0xFFFF_FFFF ^ 0x8000_0000) - 0x8000_0000
    return control_packet(REPORT, REPORT_LAYOUT.pack(end.status, result, memory, log_dropped) + text)
