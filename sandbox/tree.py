"""Words: what a program's private file system holds at the start, and what it left.

In:  entries from a caller, a directory (treedisk.py) or a program (control.py, untrusted). Out: Tree, an immutable,
checked mapping.

The rules of a path are the same in both directions, so that nothing a program leaves can name a place outside of
its tree: relative, `/`-separated, no empty part, no `.` and `..`, no NUL, parents first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sandbox.errors import BadSetup

# As Linux: one part, a whole path, and a link's target. A deeper tree than this cannot be walked by most programs.
NAME_MAX, PATH_MAX, DEPTH_MAX = 255, 4_095, 256


@dataclass(frozen=True, slots=True)
class Directory:
    """`modified`: nanoseconds since 1970."""

    modified: int = 0


@dataclass(frozen=True, slots=True)
class File:
    content: bytes = b""
    modified: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link.

    The target is not followed or checked here; whoever writes the tree to a disk must take care (treedisk.py).
    """

    target: str
    modified: int = 0


Node: TypeAlias = Directory | File | Link


class Tree(Mapping[str, Node]):
    """An immutable {path:

    node}, sorted, with every parent present. Raises BadSetup for a path or node that cannot be.
    """

    __slots__ = ("_nodes",)

    def __init__(self, nodes: Mapping[str, Node] | None = None) -> None:
        given = dict(nodes or {})
        for path in given:
            check_path(path)
        for path in list(given):
            _add_parents(given, path)
        for path, node in given.items():
            _check_node(path, node)
        self._nodes = {path: given[path] for path in sorted(given, key=_order)}

    def __getitem__(self, path: str) -> Node:
        return self._nodes[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __repr__(self) -> str:
        return f"Tree({len(self)} nodes, {self.size} bytes)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and self._nodes == other._nodes

    def __hash__(self) -> int:
        return hash(tuple(self._nodes.items()))

    @property
    def size(self) -> int:
        """Bytes of content."""
        return sum(len(node.content) for node in self._nodes.values() if isinstance(node, File))


def _order(path: str) -> str:
    """Part by part: NUL is in no path and below everything else. One string, because a list of parts takes twenty
    times the path's memory, and a program chooses the paths.
    """
    return path.replace("/", "\0")


def parent_of(path: str) -> str:
    """ "" at the top."""
    return path.rpartition("/")[0]


def _add_parents(nodes: dict[str, Node], path: str) -> None:
    """Upwards, only to the first one that is there: that one's own parents are looked after when its turn comes."""
    while path := parent_of(path):
        parent = nodes.get(path)
        if parent is None:
            nodes[path] = Directory()
        elif isinstance(parent, Directory):
            return
        else:
            raise BadSetup("tree-parent", "A file system tree has a node below something that is no directory.")


def check_path(path: object) -> None:
    """Raises BadSetup unless the path is relative, `/`-separated, and stays inside."""
    if not isinstance(path, str):
        raise BadSetup("tree-type", "A path in a file system tree must be a text (str), relative, with `/` between.")
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise BadSetup("tree-path", "A path in a file system tree must be relative, without empty, `.` or `..` parts.")
    _check_text(path, PATH_MAX)
    if len(parts) > DEPTH_MAX or any(len(part.encode("utf-8", "surrogateescape")) > NAME_MAX for part in parts):
        raise BadSetup("tree-path", f"A path in a file system tree has at most {DEPTH_MAX} parts of {NAME_MAX} bytes.")


def _check_text(text: str, longest: int) -> None:
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadSetup("tree-path", "A path or link in a file system tree must be UTF-8.") from None
    if b"\0" in encoded or not 1 <= len(encoded) <= longest:
        raise BadSetup("tree-path", f"A path or link in a file system tree has 1 to {longest} bytes and no NUL.")


def _check_node(path: str, node: object) -> None:
    known = isinstance(node.content, bytes) if isinstance(node, File) else isinstance(node, Directory | Link)
    if not known:
        raise BadSetup("tree-type", "A node in a file system tree must be a Directory(), File(bytes) or Link(text).")
    assert isinstance(node, Directory | File | Link)
    if not 0 <= node.modified < 1 << 64:
        raise BadSetup("tree-time", "A time in a file system tree must be between 1970 and 2554.")
    if isinstance(node, Link):
        _check_text(node.target, PATH_MAX)


def check_limits(tree: Tree, files: int, nodes: int) -> None:
    """Raises BadSetup when the tree does not fit the program's limits."""
    if tree.size > files:
        raise BadSetup("tree-size", f"The files have {tree.size} bytes; the limit `files` is {files}.")
    if len(tree) > nodes:
        raise BadSetup("tree-nodes", f"There are {len(tree)} files and directories; the limit `nodes` is {nodes}.")
