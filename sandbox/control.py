"""Words: control packets between the host and a program's runtime (PROTOCOL.md section C).

Out to the runtime: the setup, in the order that the document fixes; SUSPEND. In from the runtime: LOG, NODE, CONTENT,
STATE, REPORT. The runtime is ours, but a native attacker may sit in its place, so what comes in is checked like a
stranger's bytes; only PacketViolation comes out of it.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from sandbox.errors import BadSetup, PacketViolation, public_text_untrusted
from sandbox.lifecycle import Lifecycle
from sandbox.outcome import Report
from sandbox.packets import CALL, CODE_CONTROL, CONTENT_MAX, HEADER, HEADER_SIZE, encode
from sandbox.setup import SETUP_MAX, Setup, encode_text
from sandbox.tree import Directory, File, Link, Node, Tree, check_path, parent_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.limits import Limits
    from sandbox.packets import Buffer

VERSION = 1

BEGIN, ARGUMENT, ENVIRONMENT, FUNCTION, NODE, CONTENT, GO = range(7)
LOG, REPORT, SUSPEND, STATE, RESTORE, HELD, TAKE = range(7, 14)

# u32 version, u32 flags, u64 log_limit, u64 files_limit, u32 nodes_limit, u32 clock_ms, u32 origin_credit, u32
# reserved, [16] instance id
BEGIN_LAYOUT = Struct("<IIQQIIII16s")
FLAG_FILES, FLAG_RESUMED, FLAG_DEBUG_LOG, FLAG_PLAIN_OUTPUT, FLAG_KEEP = 1, 2, 4, 8, 64
# Bits 4 and 5: the number of the Lifecycle.
_LIFECYCLE_SHIFT, _LIFECYCLE_MASK = 4, 3
# u8 type, u8[3] zero, u32 path length, u64 modified
NODE_LAYOUT = Struct("<B3sIQ")
TYPE_DIRECTORY, TYPE_FILE, TYPE_LINK = 3, 4, 7
# u32 status, i32 result, u64 memory, u64 log bytes dropped
REPORT_LAYOUT = Struct("<IiQQ")
REPORT_TEXT_MAX = 200
# u32 length of the guide, before it and the state
_GUIDE = Struct("<I")
# u64 address of memory 0 in the process
_ADDRESS = Struct("<Q")
# u32 entries of the list of changed pages
_ENTRIES = Struct("<I")
# Bytes of path and link target that a node may have on average when it comes back. One may have 8 KiB, and text takes
# up to four times that here: without a bound of the sum the limit `nodes` would be one of 130 MB.
NAMES_PER_NODE = 1_024


def _control(kind: int, content: bytes = b"") -> bytes:
    return encode(CODE_CONTROL, CALL, content, kind)


def setup_packets(setup: Setup, limits: Limits, instance: bytes) -> bytes:
    """Everything but files and GO. Raises BadSetup when it is more than the runtime takes."""
    packets = [_control(BEGIN, _begin(setup, limits, instance))]
    packets += [_control(ARGUMENT, encode_text(each)) for each in setup.arguments]
    packets += [_control(ENVIRONMENT, encode_text(f"{name}={value}")) for name, value in setup.environment.items()]
    if setup.function is not None:
        packets.append(function_packet(setup.function))
    whole = b"".join(packets)
    if len(whole) + len(GO_PACKET) > SETUP_MAX:
        raise BadSetup(
            "setup-size",
            f"Arguments and environment together have {len(whole)} bytes; at most {SETUP_MAX} are allowed.",
        )
    return whole


def lifecycle_of(flags: int) -> Lifecycle:
    """What the flags of a BEGIN say."""
    return Lifecycle(flags >> _LIFECYCLE_SHIFT & _LIFECYCLE_MASK)


def resume_packets(setup: Setup, limits: Limits, instance: bytes, lifecycle: Lifecycle) -> bytes:
    """BEGIN of a program that goes on from a state: `restore_packets` and GO follow, nothing else, before them the
    FUNCTION of one that had come to its end. Arguments, environment and files are in the state; of the setup only
    count what the host wants to have of the program (tree, debug log, keep) and how its output looks.
    """
    return _control(BEGIN, _begin(setup, limits, instance, FLAG_RESUMED | lifecycle << _LIFECYCLE_SHIFT))


def function_packet(function: str) -> bytes:
    return _control(FUNCTION, encode_text(function))


def restore_packets(guide: bytes, state: Buffer) -> Iterator[bytes]:
    """What the program goes on from, made piece by piece."""
    yield _control(RESTORE, _GUIDE.pack(len(guide)))
    for part in (guide, state):
        for at in range(0, len(part), CONTENT_MAX):
            yield _control(RESTORE, bytes(part[at : at + CONTENT_MAX]))


def _begin(setup: Setup, limits: Limits, instance: bytes, flags: int = 0) -> bytes:
    flags |= (FLAG_FILES if setup.tree is not None else 0) | (FLAG_DEBUG_LOG if setup.debug_log else 0)
    flags |= (0 if setup.terminal else FLAG_PLAIN_OUTPUT) | (FLAG_KEEP if setup.keep else 0)
    return BEGIN_LAYOUT.pack(
        VERSION,
        flags,
        limits.log,
        limits.files,
        limits.nodes,
        limits.clock_resolution,
        setup.origin_credit,
        0,
        instance,
    )


def take_packet(entries: int) -> bytes:
    """The answer to HELD."""
    return _control(TAKE, _ENTRIES.pack(entries))


GO_PACKET = _control(GO)
SUSPEND_PACKET = _control(SUSPEND)


def tree_packets(tree: Tree) -> Iterator[bytes]:
    """NODE and CONTENT packets, parents first, made one by one (a tree may be larger than a socket's buffer)."""
    for path, node in tree.items():
        yield _control(NODE, _node(path, node))
        if isinstance(node, File):
            for at in range(0, len(node.content), CONTENT_MAX):
                yield _control(CONTENT, node.content[at : at + CONTENT_MAX])


def _node(path: str, node: Node) -> bytes:
    name = path.encode()
    kind = TYPE_DIRECTORY if isinstance(node, Directory) else TYPE_FILE if isinstance(node, File) else TYPE_LINK
    target = node.target.encode() if isinstance(node, Link) else b""
    return NODE_LAYOUT.pack(kind, bytes(3), len(name), node.modified) + name + target


class Log(NamedTuple):
    """Something the program wrote to its debug log; `stream` 1 or 2."""

    stream: int
    data: bytes


class LeftNode(NamedTuple):
    path: str
    node: Node


class LeftContent(NamedTuple):
    data: bytes


class StatePart(NamedTuple):
    """The next bytes of a stopped program's state."""

    data: bytes


class Held(NamedTuple):
    """The process has told its state. It waits until the host knows what it has changed of its memory."""

    address: int


Control = Log | LeftNode | LeftContent | StatePart | Held | Report


def decode_untrusted(packet: bytes) -> Control:
    """One whole control packet (padding included) -> value. Raises PacketViolation."""
    try:
        size, _code, _domain, kind = HEADER.unpack_from(packet)
        content = packet[HEADER_SIZE:size]
        if kind == LOG:
            return _log_untrusted(content)
        if kind == NODE:
            return _node_untrusted(content)
        if kind == CONTENT:
            return LeftContent(content)
        if kind == STATE:
            return StatePart(content)
        if kind == HELD:
            return Held(*_ADDRESS.unpack(content))
        if kind == REPORT:
            return _report_untrusted(content)
    except (struct.error, UnicodeDecodeError, BadSetup):
        raise _malformed() from None
    raise _malformed()


def _malformed() -> PacketViolation:
    return PacketViolation("packet-control", "The program's runtime wrote a malformed control packet.")


def _log_untrusted(content: bytes) -> Log:
    if not content or content[0] not in (1, 2):
        raise _malformed()
    return Log(content[0], content[1:])


def _node_untrusted(content: bytes) -> LeftNode:
    kind, zero, length, modified = NODE_LAYOUT.unpack_from(content)
    end = NODE_LAYOUT.size + length
    if zero != bytes(3) or end > len(content):
        raise _malformed()
    path, rest = content[NODE_LAYOUT.size : end].decode(), content[end:]
    check_path(path)
    if kind == TYPE_LINK:
        return LeftNode(path, Link(rest.decode(), modified))
    if rest or kind not in (TYPE_DIRECTORY, TYPE_FILE):
        raise _malformed()
    return LeftNode(path, Directory(modified) if kind == TYPE_DIRECTORY else File(b"", modified))


def _report_untrusted(content: bytes) -> Report:
    status, result, memory, dropped = REPORT_LAYOUT.unpack_from(content)
    text = content[REPORT_LAYOUT.size :]
    if len(text) > REPORT_TEXT_MAX:
        raise _malformed()
    return Report(status, result & 0xFFFFFFFF, memory, dropped, public_text_untrusted(text.decode(), REPORT_TEXT_MAX))


class TreeCollector:
    """NODE and CONTENT packets of a program that ended -> Tree. Bounded by the limits that the program had."""

    __slots__ = ("_bytes", "_files_max", "_names", "_nodes", "_nodes_max", "_open")

    def __init__(self, files_max: int, nodes_max: int) -> None:
        self._nodes: dict[str, tuple[Node, bytearray]] = {}
        self._open: bytearray | None = None
        self._bytes = self._names = 0
        self._files_max, self._nodes_max = files_max, nodes_max

    def add_untrusted(self, part: LeftNode | LeftContent) -> None:
        """Raises PacketViolation: more than the limits allow, the same path twice, a node without its directory
        before it (whoever may leave out directories makes us invent 255 for each node), or content without a file.
        """
        if isinstance(part, LeftContent):
            self._add_content(part.data)
            return
        if part.path in self._nodes or len(self._nodes) >= self._nodes_max or not self._has_directory(part.path):
            raise _malformed()
        self._count_names(part)
        content = bytearray()
        self._nodes[part.path] = (part.node, content)
        self._open = content if isinstance(part.node, File) else None

    def _has_directory(self, path: str) -> bool:
        parent = parent_of(path)
        return not parent or (parent in self._nodes and isinstance(self._nodes[parent][0], Directory))

    def _count_names(self, part: LeftNode) -> None:
        target = part.node.target if isinstance(part.node, Link) else ""
        self._names += len(part.path.encode()) + len(target.encode())
        if self._names > self._nodes_max * NAMES_PER_NODE + CONTENT_MAX:
            raise PacketViolation(
                "packet-names", "The files that the program left have longer names than the limit `nodes` allows."
            )

    def _add_content(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._open is None or self._bytes > self._files_max:
            raise _malformed()
        self._open += data

    def tree_untrusted(self) -> Tree:
        """Once: what was collected is moved, so that contents are never here twice. Raises PacketViolation when the
        nodes are no tree.
        """
        nodes: dict[str, Node] = {}
        for path in list(self._nodes):
            node, content = self._nodes.pop(path)
            nodes[path] = File(bytes(content), node.modified) if isinstance(node, File) else node
        try:
            return Tree(nodes)
        except BadSetup:
            raise _malformed() from None
