"""The file system in memory against the machine's own: the same steps on both, the same errors, the same tree at
the end.
"""

from __future__ import annotations

import errno as system_errno
import os
import stat as system_stat
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from portablefakes import make_files

from sandbox.portable.file_nodes import Directory, RegularFile, SymbolicLink, set_size, write_at
from sandbox.portable.guest_errno import CallError
from sandbox.portable.memory_files import MemoryFiles, Opening
from sandbox.portable.path_walk import walk_untrusted

# Without `/` at the end: what Linux does with a link before one depends on the call; ours is the same for all, and is
# asserted in test_wasi_files.py.
NAMES = st.sampled_from([b"a", b"b", b"c", b"a/b", b"a/c", b"b/a", b"a/b/c", b"a/../b", b"./c", b"b//a"])
# No link to `.`: `a/..` would then leave the root, which is NOTCAPABLE here and the parent directory on the machine.
TARGETS = st.sampled_from([b"a", b"b", b"c", b"a/b", b"nowhere"])
FLAGS = st.fixed_dictionaries(
    {name: st.booleans() for name in ("create", "exclusive", "truncate", "directory", "write")}
)
STEPS = st.one_of(
    st.tuples(st.just("mkdir"), NAMES),
    st.tuples(st.just("rmdir"), NAMES),
    st.tuples(st.just("unlink"), NAMES),
    st.tuples(st.just("symlink"), TARGETS, NAMES),
    st.tuples(st.just("link"), NAMES, NAMES),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("write"), NAMES, st.binary(max_size=5)),
    st.tuples(st.just("open"), NAMES, FLAGS, st.booleans()),
)


class InMemory:
    """The steps on our own."""

    def __init__(self) -> None:
        self.files: MemoryFiles = make_files()
        self.root = self.files.root

    def run(self, name: str, *arguments: object) -> str:
        try:
            getattr(self, name)(*arguments)
        except CallError as error:
            return error.errno.name
        return "done"

    def mkdir(self, path: bytes) -> None:
        self.files.create_directory(self.root, path, 0)

    def rmdir(self, path: bytes) -> None:
        self.files.remove_directory(self.root, path, 0)

    def unlink(self, path: bytes) -> None:
        self.files.unlink_file(self.root, path, 0)

    def symlink(self, target: bytes, path: bytes) -> None:
        self.files.create_link(self.root, path, target, 0)

    def link(self, old: bytes, new: bytes) -> None:
        self.files.hard_link(walk_untrusted(self.root, old, follow=False), self.root, new, 0)

    def rename(self, old: bytes, new: bytes) -> None:
        places = [walk_untrusted(self.root, path, follow=False) for path in (old, new)]
        self.files.rename(places[0], places[1], 0)

    def write(self, path: bytes, data: bytes) -> None:
        node = self.files.open_path(self.root, path, Opening(create=True, write=True), follow=True, now=0)
        assert isinstance(node, RegularFile)
        write_at(node, self.files.quota, 0, data, 0)

    def open(self, path: bytes, flags: dict[str, bool], follow: bool) -> None:
        self.files.open_path(self.root, path, Opening(**flags), follow=follow, now=0)

    def tree(self) -> dict[bytes, object]:
        found: dict[bytes, object] = {}

        def walk(prefix: bytes, directory: Directory) -> None:
            for name, (_, node) in directory.entries.items():
                match node:
                    case Directory():
                        found[prefix + name] = "directory"
                        walk(prefix + name + b"/", node)
                    case RegularFile():
                        found[prefix + name] = (bytes(node.content), node.links)
                    case SymbolicLink():
                        found[prefix + name] = node.target

        walk(b"", self.root)
        return found


class OnDisk:
    """The same steps on the machine's file system."""

    def __init__(self, directory: str) -> None:
        self.root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self.directory = os.fsencode(directory)

    def run(self, name: str, *arguments: object) -> str:
        try:
            getattr(self, name)(*arguments)
        except OSError as error:
            return {"ELOOP": "LOOP"}.get(system_errno.errorcode[error.errno], system_errno.errorcode[error.errno][1:])
        return "done"

    def mkdir(self, path: bytes) -> None:
        os.mkdir(path, dir_fd=self.root)

    def rmdir(self, path: bytes) -> None:
        os.rmdir(path, dir_fd=self.root)

    def unlink(self, path: bytes) -> None:
        os.unlink(path, dir_fd=self.root)

    def symlink(self, target: bytes, path: bytes) -> None:
        os.symlink(target, path, dir_fd=self.root)

    def link(self, old: bytes, new: bytes) -> None:
        os.link(old, new, src_dir_fd=self.root, dst_dir_fd=self.root, follow_symlinks=False)

    def rename(self, old: bytes, new: bytes) -> None:
        os.rename(old, new, src_dir_fd=self.root, dst_dir_fd=self.root)

    def write(self, path: bytes, data: bytes) -> None:
        self._open(path, os.O_CREAT | os.O_WRONLY, data)

    def open(self, path: bytes, flags: dict[str, bool], follow: bool) -> None:
        bits = {"create": os.O_CREAT, "exclusive": os.O_EXCL, "truncate": os.O_TRUNC, "directory": os.O_DIRECTORY}
        how = os.O_WRONLY if flags["write"] or flags["truncate"] else os.O_RDONLY
        how |= sum(bit for name, bit in bits.items() if flags[name])
        self._open(path, how | (0 if follow else os.O_NOFOLLOW), b"")

    def _open(self, path: bytes, how: int, data: bytes) -> None:
        fd = os.open(path, how, 0o600, dir_fd=self.root)
        os.write(fd, data) if data else None
        os.close(fd)

    def tree(self) -> dict[bytes, object]:
        found: dict[bytes, object] = {}
        for where, directories, files in os.walk(self.directory):
            for name in [*directories, *files]:
                path = os.path.join(where, name)
                status = os.lstat(path)
                key = os.path.relpath(path, self.directory)
                if system_stat.S_ISLNK(status.st_mode):
                    found[key] = os.readlink(path)
                elif system_stat.S_ISDIR(status.st_mode):
                    found[key] = "directory"
                else:
                    found[key] = (Path(os.fsdecode(path)).read_bytes(), status.st_nlink)
        return found

    def close(self) -> None:
        os.close(self.root)


@settings(max_examples=400, deadline=None)
@given(st.lists(STEPS, max_size=12))
def test_every_step_ends_as_on_the_machine(steps: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        ours, theirs = InMemory(), OnDisk(directory)
        try:
            for step in steps:
                name, *arguments = step
                assert ours.run(str(name), *arguments) == theirs.run(str(name), *arguments), step
            assert ours.tree() == theirs.tree()
        finally:
            theirs.close()


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=15))
def test_what_is_used_is_always_what_is_there(steps: list[tuple[object, ...]]) -> None:
    ours = InMemory()
    for step in steps:
        name, *arguments = step
        ours.run(str(name), *arguments)
    tree = ours.tree()
    weights = [len(each[0]) for each in tree.values() if isinstance(each, tuple)]
    targets = [len(each) for each in tree.values() if isinstance(each, bytes)]
    assert ours.files.quota.bytes_used == sum(weights) + sum(targets)
    assert ours.files.quota.names_used == len(tree)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.binary(max_size=9), st.integers(0, 25)), max_size=8))
def test_content_is_that_of_a_plain_array(steps: list[tuple[int, bytes, int]]) -> None:
    files = make_files(bytes_limit=24)
    file = files.open_path(files.root, b"f", Opening(create=True, write=True), follow=True, now=0)
    assert isinstance(file, RegularFile)
    model = bytearray()
    for offset, data, size in steps:
        fitting = data[: max(0, 24 - offset)]
        try:
            done = write_at(file, files.quota, offset, data, 0)
            assert done == len(fitting)
            if data:
                model.extend(bytes(max(0, offset - len(model))))
                model[offset : offset + done] = fitting
        except CallError:
            assert data
            assert not fitting
        if size <= 24:
            set_size(file, files.quota, size, 0)
            model[size:] = bytes(max(0, size - len(model)))
        assert bytes(file.content) == bytes(model)
        assert files.quota.bytes_used == len(model)
