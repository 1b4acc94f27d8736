"""Words: from a path of the guest (untrusted) to a place in the tree.

A path is relative to an open directory and never leaves it: a `..` that would, and an absolute path, are
NOTCAPABLE. An absolute symbolic link has a meaning only from the root, whose name is `/` for the guest. The walk is
bounded: bytes of the path, bytes of a name, links followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.portable.file_nodes import Directory, SymbolicLink
from sandbox.portable.guest_errno import CallError, Errno

if TYPE_CHECKING:
    from sandbox.portable.file_nodes import Node

MAXIMUM_PATH = 4096  # Linux's PATH_MAX: what programs are written for
MAXIMUM_NAME = 255  # Linux's NAME_MAX
MAXIMUM_LINKS = 40  # Linux's limit of links followed in one path


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path ends: a name in a directory, and what stands there now.

    `name` is empty when the path ends in `.` or `..`, which cannot be made, removed or moved (then `node` is
    `parent` itself). `slash`: the path ends in `/`, only a directory will do.
    """

    parent: Directory
    name: bytes
    node: Node | None
    slash: bool = False

    @property
    def existing(self) -> Node:
        if self.node is None:
            raise CallError(Errno.NOENT)
        return self.node

    @property
    def free_name(self) -> bytes:
        if self.node is not None:
            raise CallError(Errno.EXIST)
        return self.name


def walk_untrusted(base: Directory, path: bytes, *, follow: bool) -> Place:
    """Resolve `path` below `base`; a link in the last place is followed only when asked, or when `/` comes after it."""
    check_text(path)
    if path.startswith(b"/"):
        raise CallError(Errno.NOTCAPABLE)
    here, links = base, 0
    pending = path.split(b"/")[::-1]
    while pending:
        part = pending.pop()
        if part in (b"", b".", b".."):
            here = _up(base, here) if part == b".." else here
            continue
        last, slash = not any(pending), bool(pending)
        node = _entry(here, part)
        if isinstance(node, SymbolicLink) and not (last and not follow and not slash):
            links += 1
            here = _link_start(base, here, node, links)
            pending.extend(node.target.split(b"/")[::-1])
        elif last:
            if slash and node is not None:
                _as_directory(node)
            return Place(here, part, node, slash)
        else:
            here = _as_directory(node)
    return Place(here, b"", here, slash=True)


def check_text(text: bytes) -> None:
    """What holds for every path and every target of a link (besides being UTF-8, which whoever reads it has
    checked).
    """
    if not text:
        raise CallError(Errno.NOENT)
    if len(text) > MAXIMUM_PATH:
        raise CallError(Errno.NAMETOOLONG)
    if b"\0" in text:
        raise CallError(Errno.INVAL)


def _up(base: Directory, here: Directory) -> Directory:
    if here is base:
        raise CallError(Errno.NOTCAPABLE)
    return here.parent or here


def _entry(directory: Directory, name: bytes) -> Node | None:
    if len(name) > MAXIMUM_NAME:
        raise CallError(Errno.NAMETOOLONG)
    return directory.find(name)


def _link_start(base: Directory, here: Directory, link: SymbolicLink, followed: int) -> Directory:
    """Where the target of a link starts; only the root has no parent and lives."""
    if followed > MAXIMUM_LINKS:
        raise CallError(Errno.LOOP)
    if not link.target.startswith(b"/"):
        return here
    if base.parent is not None:
        raise CallError(Errno.NOTCAPABLE)
    return base


def _as_directory(node: Node | None) -> Directory:
    if node is None:
        raise CallError(Errno.NOENT)
    if not isinstance(node, Directory):
        raise CallError(Errno.NOTDIR)
    return node
