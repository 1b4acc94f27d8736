"""Wire: a directory of the host -> Tree, and a Tree that a program left -> a directory of the host.

In:  a directory that the user named (its contents may be anybody's); a Tree (untrusted: a program chose names,
links and contents).
Out: the other, and a list of what was skipped with the reason, so that nothing is lost silently.

Reading never follows a symbolic link: a link is kept as a link when it stays inside, else skipped. Writing never
leaves the target: every part of a path is opened by itself without following links (openat), an old file is removed
and not overwritten (it may be a hard link), and links are made last and only when they cannot point outside. What
lost: resolving paths and comparing prefixes (it races, and "a/../b" through a link is not what it looks like).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

from sandbox.errors import BadSetup
from sandbox.tree import Directory, File, Link, Node, Tree, check_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.limits import Limits

# Called with (path inside the tree, why): what was left out.
OnSkip = Callable[[str, str], None]

# Missing on Windows; there the checks before each step must do.
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_BY_DESCRIPTOR = os.open in os.supports_dir_fd and os.scandir in os.supports_fd
_READ = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | getattr(os, "O_BINARY", 0)


def ignore(_path: str, _why: str) -> None:
    """Nobody wants to know what was skipped."""


def from_directory(path: str, limits: Limits, on_skip: OnSkip = ignore) -> Tree:
    """Everything below `path`.

    Raises BadSetup: too much for the limits, or no directory. Blocks: a server uses a thread.
    """
    return _Reader(limits.files, limits.nodes, on_skip).read(path)


def write_to(tree: Tree, path: str, on_skip: OnSkip = ignore) -> None:
    """Put the tree into the directory `path`, which is made if it is missing.

    Raises BadSetup when that cannot be. Blocks.
    """
    try:
        os.makedirs(path, exist_ok=True)
        root = os.open(path, os.O_RDONLY | _DIRECTORY)
    except OSError as error:
        raise BadSetup("no-directory", "The directory for the program's files cannot be made or opened.") from error
    try:
        _Writer(root, on_skip).write_all(tree)
    finally:
        os.close(root)


def link_stays_inside(path: str, target: str) -> bool:
    """Leading `..` at most as many as the link lies deep, and none after:

    whatever the other links are, it ends inside.
    """
    parts = target.split("/")
    up = 0
    while up < len(parts) and parts[up] == "..":
        up += 1
    absolute = target.startswith("/") or os.path.isabs(target) or "\\" in target
    return not absolute and up <= path.count("/") and ".." not in parts[up:]


class _Reader:
    def __init__(self, files_max: int, nodes_max: int, on_skip: OnSkip) -> None:
        self._files_left, self._files_max, self._nodes_max = files_max, files_max, nodes_max
        self._nodes: dict[str, Node] = {}
        self._skip = on_skip

    def read(self, path: str) -> Tree:
        if not os.path.isdir(path):
            raise BadSetup("no-directory", "The directory for the program's files does not exist.")
        root = os.open(path, os.O_RDONLY | _DIRECTORY) if _BY_DESCRIPTOR else None
        waiting = [""]
        try:
            while waiting:
                inside = waiting.pop()
                waiting += list(self._directory(os.path.join(path, inside), root, inside))
        finally:
            if root is not None:
                os.close(root)
        return Tree(self._nodes)

    def _directory(self, host: str, root: int | None, inside: str) -> Iterator[str]:
        """Opened part by part like everything else here: what was a directory when its parent was listed may be a link
        now.
        """
        try:
            directory = None if root is None else _open_below(root, inside.split("/") if inside else [])
        except OSError:
            self._skip(inside or ".", "cannot be read")
            return
        try:
            yield from self._entries(host if directory is None else directory, directory, inside)
        finally:
            if directory is not None:
                os.close(directory)

    def _entries(self, listed: str | int, directory: int | None, inside: str) -> Iterator[str]:
        try:
            entries = sorted(os.scandir(listed), key=lambda entry: entry.name)
        except OSError:
            self._skip(inside or ".", "cannot be read")
            return
        for entry in entries:
            path = f"{inside}/{entry.name}" if inside else entry.name
            try:
                check_path(path)
                if self._entry(entry, directory, path):
                    yield path
            except BadSetup as refusal:
                if refusal.code != "tree-path":
                    raise
                self._skip(path.encode("utf-8", "replace").decode(), "has a name that cannot be used")
            except OSError:
                self._skip(path, "cannot be read")

    def _entry(self, entry: os.DirEntry[str], directory: int | None, path: str) -> bool:
        """True: a directory, whose entries come next. (Below a descriptor an entry's path is its name.)"""
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            self._add(path, Directory(_modified(found)))
            return True
        if stat.S_ISLNK(found.st_mode):
            target = os.readlink(entry.path, dir_fd=directory)
            if link_stays_inside(path, target):
                self._add(path, Link(target, _modified(found)))
            else:
                self._skip(path, "is a link that points outside")
        elif stat.S_ISREG(found.st_mode):
            self._add(path, File(self._content(entry.path, directory), _modified(found)))
        else:
            self._skip(path, "is no file, directory or link")
        return False

    def _content(self, host: str, directory: int | None) -> bytes:
        descriptor = os.open(host, _READ, dir_fd=directory)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError("it was replaced")
            content = file.read(self._files_left + 1)
        self._files_left -= len(content)
        if self._files_left < 0:
            raise BadSetup("tree-size", f"The files are larger than the limit `files`, {self._files_max} bytes.")
        return content

    def _add(self, path: str, node: Node) -> None:
        if len(self._nodes) >= self._nodes_max:
            raise BadSetup(
                "tree-nodes", f"There are more files and directories than the limit `nodes`, {self._nodes_max}."
            )
        self._nodes[path] = node


def _modified(found: os.stat_result) -> int:
    return max(0, found.st_mtime_ns)


class _Writer:
    """`root`: descriptor of the target directory; every path is opened from it, part by part."""

    def __init__(self, root: int, on_skip: OnSkip) -> None:
        self._root, self._skip = root, on_skip

    def write_all(self, tree: Tree) -> None:
        """Links last; times last of all and from below, because making a file changes its directory's."""
        ordered = sorted(tree.items(), key=lambda item: isinstance(item[1], Link))
        written = [(path, node) for path, node in ordered if self._try(path, node)]
        for path, node in reversed(written):
            self._set_time(path, node)

    def _try(self, path: str, node: Node) -> bool:
        if isinstance(node, Link) and not link_stays_inside(path, node.target):
            self._skip(path, "is a link that points outside")
            return False
        try:
            self._write(path, node)
        except OSError as error:
            self._skip(path, _why(error))
            return False
        return True

    def _write(self, path: str, node: Node) -> None:
        *parents, name = path.split("/")
        directory = _open_below(self._root, parents)
        try:
            if isinstance(node, Directory):
                _make_directory(directory, name)
            elif isinstance(node, File):
                _make_file(directory, name, node)
            else:
                _remove_file(directory, name)
                os.symlink(node.target, name, dir_fd=directory)
        finally:
            os.close(directory)

    def _set_time(self, path: str, node: Node) -> None:
        *parents, name = path.split("/")
        directory = _open_below(self._root, parents)
        try:
            os.utime(name, ns=(node.modified, node.modified), dir_fd=directory, follow_symlinks=False)
        except OSError:
            return  # a time that the file system cannot hold
        finally:
            os.close(directory)


def _open_below(root: int, parts: list[str]) -> int:
    """A directory, without following a link on the way."""
    current = os.dup(root)
    try:
        for part in parts:
            deeper = os.open(part, os.O_RDONLY | _DIRECTORY | _NO_FOLLOW, dir_fd=current)
            os.close(current)
            current = deeper
    except BaseException:
        os.close(current)
        raise
    return current


def _make_directory(parent: int, name: str) -> None:
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        os.close(os.open(name, os.O_RDONLY | _DIRECTORY | _NO_FOLLOW, dir_fd=parent))


def _make_file(parent: int, name: str, node: File) -> None:
    _remove_file(parent, name)
    with open(os.open(name, _CREATE, 0o666, dir_fd=parent), "wb") as file:
        file.write(node.content)


def _remove_file(parent: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return


def _why(error: OSError) -> str:
    if isinstance(error, NotADirectoryError) or error.errno == 40:  # ELOOP: the open that must not follow met a link
        return "a link or file is where a directory should be"
    if isinstance(error, IsADirectoryError | PermissionError):
        return "a directory is in its place, or it may not be written"
    return "could not be written"
