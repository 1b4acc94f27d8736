"""Names: opening, links, directories, moving, removing."""

from __future__ import annotations

import struct

import pytest
from filehelpers import (
    CREATE,
    DIRECTORY,
    EXCLUSIVE,
    READ,
    TRUNCATE,
    WRITE,
    opened,
    path,
    read,
    stat,
    wrote,
)
from portablefakes import Caller, wasi_caller

from sandbox.portable.guest_errno import Errno
from sandbox.portable.wasi_layout import Filetype


@pytest.fixture
def caller() -> Caller:
    return wasi_caller()[0]


@pytest.mark.parametrize(
    ("oflags", "expected"),
    [
        (0, -Errno.ISDIR),
        (DIRECTORY, -Errno.ISDIR),
        (CREATE, -Errno.ISDIR),
        (TRUNCATE, -Errno.ISDIR),
        (CREATE | EXCLUSIVE, -Errno.EXIST),
        (CREATE | DIRECTORY, -Errno.INVAL),
    ],
)
def test_opening_a_directory_for_writing(caller: Caller, oflags: int, expected: int) -> None:
    caller("path_create_directory", 3, *path(caller, b"d"))
    assert opened(caller, b"d", oflags, WRITE) == expected


@pytest.mark.parametrize(
    ("name", "oflags", "expected"),
    [
        (b"missing", 0, Errno.NOENT),
        (b"", 0, Errno.NOENT),
        (b"file/below", CREATE, Errno.NOTDIR),
        (b"file/", 0, Errno.NOTDIR),
        (b"file", DIRECTORY, Errno.NOTDIR),
        (b"file", CREATE | EXCLUSIVE, Errno.EXIST),
        (b"new/", CREATE, Errno.ISDIR),
        (b"/file", 0, Errno.NOTCAPABLE),
        (b"..", 0, Errno.NOTCAPABLE),
        (b"d/../../file", 0, Errno.NOTCAPABLE),
        (b"a" * 256, CREATE, Errno.NAMETOOLONG),
        (b"a/" * 2049, 0, Errno.NAMETOOLONG),
        (b"\xff", CREATE, Errno.ILSEQ),
        (b"a\0b", CREATE, Errno.INVAL),
        (b"file", 16, Errno.INVAL),
        (b"loop", 0, Errno.LOOP),
        (b"out", 0, Errno.NOTCAPABLE),
    ],
)
def test_what_cannot_be_opened(caller: Caller, name: bytes, oflags: int, expected: Errno) -> None:
    opened(caller, b"file", CREATE)
    caller("path_create_directory", 3, *path(caller, b"d"))
    caller("path_symlink", *path(caller, b"loop"), 3, *path(caller, b"loop"))
    caller("path_symlink", *path(caller, b"../x"), 3, *path(caller, b"out"))
    assert opened(caller, name, oflags) == -expected


def test_a_link_is_followed_only_when_asked(caller: Caller) -> None:
    wrote(caller, opened(caller, b"file", CREATE), b"content")
    assert caller("path_symlink", *path(caller, b"file"), 3, *path(caller, b"link")) == 0
    assert read(caller, opened(caller, b"link", follow=1), 10) == b"content"
    assert opened(caller, b"link", follow=0) == -Errno.LOOP
    assert opened(caller, b"link", DIRECTORY, follow=0) == -Errno.NOTDIR
    assert [stat(caller, b"link", follow)[2] for follow in (0, 1)] == [Filetype.SYMBOLIC_LINK, Filetype.REGULAR_FILE]
    assert caller("path_filestat_get", 3, 2, *path(caller, b"link"), caller.room(64)) == Errno.INVAL


def test_links_say_their_targets(caller: Caller) -> None:
    caller("path_symlink", *path(caller, b"some/where"), 3, *path(caller, b"link"))
    buffer, used = caller.room(10), caller.room(4)
    assert caller("path_readlink", 3, *path(caller, b"link"), buffer, 4, used) == 0
    assert (bytes(caller.bytes[buffer : buffer + 6]), caller.u32(used)) == (b"some\0\0", 4)
    opened(caller, b"file", CREATE)
    assert caller("path_readlink", 3, *path(caller, b"file"), buffer, 10, used) == Errno.INVAL
    assert caller("path_symlink", *path(caller, b"/abs"), 3, *path(caller, b"abs")) == Errno.NOTCAPABLE
    assert caller("path_symlink", *path(caller, b""), 3, *path(caller, b"empty")) == Errno.NOENT


def listed(caller: Caller, fd: int, size: int) -> list[bytes]:
    """All names, read through a buffer of this size as a C library does."""
    names, cookie, used = [], 0, caller.room(4)
    buffer = caller.room(size)
    while True:
        assert caller("fd_readdir", fd, buffer, size, cookie, used) == 0
        data, at, before = bytes(caller.bytes[buffer : buffer + caller.u32(used)]), 0, cookie
        while at + 24 <= len(data):
            following, _, length, _ = struct.unpack_from("<QQIB", data, at)
            if at + 24 + length > len(data):
                break
            names.append(data[at + 24 : at + 24 + length])
            cookie, at = following, at + 24 + length
        if len(data) < size:
            return names
        assert cookie != before


@pytest.mark.parametrize("size", [40, 64, 300, 5000])
def test_a_directory_is_listed_whole_through_any_buffer(caller: Caller, size: int) -> None:
    for number in range(20):
        opened(caller, b"f%d" % number, CREATE)
    assert listed(caller, 3, size) == [b".", b"..", *[b"f%d" % number for number in range(20)]]


def test_removing_while_listing_hides_nobody(caller: Caller) -> None:
    for number in range(10):
        opened(caller, b"f%d" % number, CREATE)
    buffer, used = caller.room(100), caller.room(4)
    assert caller("fd_readdir", 3, buffer, 24 * 3 + 5, 0, used) == 0
    third = struct.unpack_from("<Q", caller.bytes, buffer + 24 + 1 + 24 + 2)[0]
    assert caller("path_unlink_file", 3, *path(caller, b"f0")) == 0
    assert caller("fd_readdir", 3, buffer, 26, third, used) == 0
    assert bytes(caller.bytes[buffer + 24 : buffer + 26]) == b"f1"


@pytest.mark.parametrize(
    ("call", "name", "expected"),
    [
        ("path_unlink_file", b"file", 0),
        ("path_unlink_file", b"d", Errno.ISDIR),
        ("path_unlink_file", b"no", Errno.NOENT),
        ("path_unlink_file", b"file/", Errno.NOTDIR),
        ("path_remove_directory", b"d", 0),
        ("path_remove_directory", b"d/", 0),
        ("path_remove_directory", b"file", Errno.NOTDIR),
        ("path_remove_directory", b"full", Errno.NOTEMPTY),
        ("path_remove_directory", b".", Errno.BUSY),
        ("path_remove_directory", b"d/.", Errno.INVAL),
        ("path_create_directory", b"file", Errno.EXIST),
        ("path_create_directory", b"d", Errno.EXIST),
        ("path_create_directory", b"d/e", 0),
        ("path_create_directory", b"no/e", Errno.NOENT),
        ("path_create_directory", b"file/", Errno.NOTDIR),
        ("path_create_directory", b"e/", 0),
    ],
)
def test_names_come_and_go(caller: Caller, call: str, name: bytes, expected: int) -> None:
    opened(caller, b"file", CREATE)
    for directory in (b"d", b"full", b"full/x"):
        caller("path_create_directory", 3, *path(caller, directory))
    assert caller(call, 3, *path(caller, name)) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b"file", b"other", 0),
        (b"file", b"d/file", 0),
        (b"file", b"file", 0),
        (b"file", b"d", Errno.ISDIR),
        (b"d", b"file", Errno.NOTDIR),
        (b"d", b"full", Errno.NOTEMPTY),
        (b"full", b"d", 0),
        (b"d", b"d/below", Errno.INVAL),
        (b"full", b"full/x/y", Errno.INVAL),
        (b"no", b"new", Errno.NOENT),
        (b".", b"new", Errno.BUSY),
        (b"d/..", b"x", Errno.BUSY),
        (b"file", b"new/", Errno.NOTDIR),
        (b"d", b"new/", 0),
        (b"second", b"file", 0),
        (b"file", b"no/where", Errno.NOENT),
    ],
)
def test_names_move(caller: Caller, old: bytes, new: bytes, expected: int) -> None:
    opened(caller, b"file", CREATE)
    caller("path_link", 3, 0, *path(caller, b"file"), 3, *path(caller, b"second"))
    for directory in (b"d", b"full", b"full/x"):
        caller("path_create_directory", 3, *path(caller, directory))
    assert caller("path_rename", 3, *path(caller, old), 4, *path(caller, new)) == expected


def test_a_file_has_several_names_and_one_content(caller: Caller) -> None:
    fd = opened(caller, b"one", CREATE)
    assert caller("path_link", 3, 0, *path(caller, b"one"), 3, *path(caller, b"two")) == 0
    wrote(caller, fd, b"shared")
    assert read(caller, opened(caller, b"two"), 10) == b"shared"
    assert stat(caller, b"one")[1] == stat(caller, b"two")[1]
    caller("path_create_directory", 3, *path(caller, b"d"))
    assert caller("path_link", 3, 0, *path(caller, b"d"), 3, *path(caller, b"e")) == Errno.PERM
    assert caller("path_link", 3, 0, *path(caller, b"one"), 3, *path(caller, b"two")) == Errno.EXIST
    assert caller("path_link", 3, 1, *path(caller, b"one"), 3, *path(caller, b"x")) == Errno.INVAL


def test_a_removed_directory_takes_nothing_new(caller: Caller) -> None:
    caller("path_create_directory", 3, *path(caller, b"d"))
    fd = opened(caller, b"d", DIRECTORY, READ)
    caller("path_remove_directory", 3, *path(caller, b"d"))
    assert opened(caller, b"new", CREATE, base=fd) == -Errno.NOENT
    assert listed(caller, fd, 100) == [b".", b".."]


def test_a_directory_hands_its_rights_down(caller: Caller) -> None:
    caller("path_create_directory", 3, *path(caller, b"d"))
    fd = opened(caller, b"d", DIRECTORY, READ)
    assert wrote(caller, opened(caller, b"file", CREATE, base=fd), b"x") == (0, 1)
    assert opened(caller, b"../x", CREATE, base=fd) == -Errno.NOTCAPABLE
