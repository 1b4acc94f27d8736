"""Words: the private file system of one program: names, links and their rules.

In: open directories and paths (untrusted, resolved by path_walk.py). Out: nodes, or `CallError` with the errno that
Linux would give. Same semantics and same order of checks as the Rust crate `gatebus-files`; time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.portable.file_nodes import (
    Directory,
    Quota,
    RegularFile,
    SymbolicLink,
    Times,
    set_size,
    size_of,
    weight_of,
)
from sandbox.portable.guest_errno import CallError, Errno
from sandbox.portable.path_walk import Place, check_text, walk_untrusted

if TYPE_CHECKING:
    from sandbox.portable.file_nodes import Node

ROOT_NUMBER = 1
# Names of one file: a 16-bit number on many systems; bounds the weight of its bytes.
MAXIMUM_NAMES_OF_ONE = 65_000


@dataclass(frozen=True, slots=True)
class Opening:
    """How a path is to be opened (`oflags` of path_open, and whether it is to be written)."""

    create: bool = False
    exclusive: bool = False
    truncate: bool = False
    directory: bool = False
    write: bool = False


class MemoryFiles:
    """The tree and its quota."""

    def __init__(self, quota: Quota, now: int = 0) -> None:
        self.quota = quota
        self._last_number = ROOT_NUMBER
        self.root = Directory(ROOT_NUMBER, Times(now, now, now), None)

    @classmethod
    def restored(cls, quota: Quota, root: Directory, next_number: int) -> MemoryFiles:
        """What another one was; everything in it is charged already."""
        files = cls(quota)
        files.root, files._last_number = root, next_number - 1
        return files

    @property
    def next_number(self) -> int:
        """Of the next node."""
        return self._last_number + 1

    # -- names come

    def create_directory(self, base: Directory, path: bytes, now: int) -> Directory:
        return self.add_directory(walk_untrusted(base, path, follow=False), now)

    def add_directory(self, place: Place, now: int) -> Directory:
        place.free_name  # noqa: B018 - refuses a name that is taken
        directory = Directory(self._new_number(place, 0), Times(now, now, now), place.parent)
        self._enter(place, directory, now)
        return directory

    def create_link(self, base: Directory, path: bytes, target: bytes, now: int) -> SymbolicLink:
        """A symbolic link; the target is a text and need not exist."""
        check_text(target)
        place = walk_untrusted(base, path, follow=False)
        if place.node is None and place.slash:
            raise CallError(Errno.NOENT)
        return self.add_link(place, target, now)

    def add_link(self, place: Place, target: bytes, now: int) -> SymbolicLink:
        place.free_name  # noqa: B018 - refuses a name that is taken
        link = SymbolicLink(self._new_number(place, len(target)), Times(now, now, now), target)
        self._enter(place, link, now)
        return link

    def add_file(self, place: Place, now: int) -> RegularFile:
        place.free_name  # noqa: B018 - refuses a name that is taken
        file = RegularFile(self._new_number(place, 0), Times(now, now, now))
        self._enter(place, file, now)
        return file

    def hard_link(self, source: Place, base: Directory, path: bytes, now: int) -> None:
        node = source.existing
        place = walk_untrusted(base, path, follow=False)
        place.free_name  # noqa: B018 - refuses a name that is taken
        if isinstance(node, Directory):
            raise CallError(Errno.PERM)
        if place.slash:
            raise CallError(Errno.NOENT)
        _check_alive(place.parent)
        self.quota.check_name()
        if node.links >= MAXIMUM_NAMES_OF_ONE:
            raise CallError(Errno.MLINK)
        self.quota.take_bytes(size_of(node))
        node.links += 1
        node.times.changed = now
        self._enter(place, node, now)

    # -- names are opened

    def open_path(self, base: Directory, path: bytes, how: Opening, *, follow: bool, now: int) -> Node:
        """The node to open, made or emptied when `how` says so; whoever keeps it must `hold` it."""
        if how.create and how.directory:
            raise CallError(Errno.INVAL)
        place = walk_untrusted(base, path, follow=follow and not (how.create and how.exclusive))
        self.quota.check_open()
        if place.node is not None:
            return self._open_existing(place.node, how, now)
        if not how.create:
            raise CallError(Errno.NOENT)
        if place.slash:
            raise CallError(Errno.ISDIR)
        return self.add_file(place, now)

    def _open_existing(self, node: Node, how: Opening, now: int) -> Node:
        if how.create and how.exclusive:
            raise CallError(Errno.EXIST)
        match node:
            case SymbolicLink() if not how.directory:
                raise CallError(Errno.LOOP)
            case SymbolicLink() | RegularFile() if how.directory:
                raise CallError(Errno.NOTDIR)
            case Directory() if how.create or how.truncate or how.write:
                raise CallError(Errno.ISDIR)
            case RegularFile() if how.truncate:
                set_size(node, self.quota, 0, now)
        return node

    # -- names go

    def unlink_file(self, base: Directory, path: bytes, now: int) -> None:
        place = walk_untrusted(base, path, follow=False)
        node = place.existing
        if isinstance(node, Directory):
            raise CallError(Errno.ISDIR)
        self._leave(place, node, now)

    def remove_directory(self, base: Directory, path: bytes, now: int) -> None:
        place = walk_untrusted(base, path, follow=False)
        node = place.existing
        if not isinstance(node, Directory):
            raise CallError(Errno.NOTDIR)
        if not place.name:
            raise CallError(Errno.BUSY if node is self.root else Errno.INVAL)
        if node.entries:
            raise CallError(Errno.NOTEMPTY)
        self._leave(place, node, now)

    def rename(self, source: Place, target: Place, now: int) -> None:
        node = source.existing
        _check_move(source, node, target)
        if target.node is node:
            return
        if target.node is not None:
            _check_replace(node, target.node)
            self._leave(target, target.node, now)
        self._detach(source, now)
        node.times.changed = now
        if isinstance(node, Directory):
            node.parent = target.parent
        self._enter(target, node, now)

    # -- descriptors hold nodes

    def hold(self, node: Node) -> None:
        self.quota.check_open()
        node.opened += 1
        self.quota.opened += 1

    def let_go(self, node: Node) -> None:
        node.opened -= 1
        self.quota.opened -= 1
        self.quota.collect(node)

    # -- private

    def _new_number(self, place: Place, size: int) -> int:
        """Everything that makes a node comes through here: the parent lives and there is room."""
        _check_alive(place.parent)
        self.quota.check_name()
        self.quota.take_bytes(size)
        self._last_number += 1
        return self._last_number

    def _enter(self, place: Place, node: Node, now: int) -> None:
        place.parent.enter(place.name, node)
        place.parent.times.modified = place.parent.times.changed = now
        self.quota.names_used += 1

    def _detach(self, place: Place, now: int) -> None:
        del place.parent.entries[place.name]
        place.parent.times.modified = place.parent.times.changed = now
        self.quota.names_used -= 1

    def _leave(self, place: Place, node: Node, now: int) -> None:
        self._detach(place, now)
        before = size_of(node) * weight_of(node)
        node.links -= 1
        node.times.changed = now
        if isinstance(node, Directory):
            # Removed: nothing leads up from here any more.
            node.parent = node
        self.quota.bytes_used -= before - size_of(node) * weight_of(node)
        self.quota.collect(node)


def _check_alive(directory: Directory) -> None:
    if directory.removed:
        raise CallError(Errno.NOENT)


def _check_move(source: Place, node: Node, target: Place) -> None:
    if not source.name or not target.name:
        raise CallError(Errno.BUSY)
    _check_alive(target.parent)
    if target.slash and not isinstance(node, Directory):
        raise CallError(Errno.NOTDIR)
    if isinstance(node, Directory) and _lies_within(target.parent, node):
        raise CallError(Errno.INVAL)


def _check_replace(moved: Node, there: Node) -> None:
    if isinstance(there, Directory):
        if not isinstance(moved, Directory):
            raise CallError(Errno.ISDIR)
        if there.entries:
            raise CallError(Errno.NOTEMPTY)
    elif isinstance(moved, Directory):
        raise CallError(Errno.NOTDIR)


def _lies_within(inner: Directory, outer: Directory) -> bool:
    """Is `inner` the directory `outer`, or somewhere below it?"""
    while inner is not outer:
        if inner.parent is None or inner.parent is inner:
            return False
        inner = inner.parent
    return True
