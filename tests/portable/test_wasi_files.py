"""The functions on files: each over a fresh file system, by the numbers that a C library sees."""

from __future__ import annotations

import struct

import pytest
from portablefakes import NOW, PAGE, Caller, make_files, wasi_caller

from sandbox.portable.descriptor_table import MAXIMUM_DESCRIPTORS, Right
from sandbox.portable.guest_errno import Errno
from sandbox.portable.wasi_layout import UNSTABLE, Filetype

CREATE, DIRECTORY, EXCLUSIVE, TRUNCATE = 1, 2, 4, 8
READ, WRITE = Right.FD_READ, Right.FD_WRITE
ALL = (1 << 30) - 1
APPEND = 1
FAR = 4 * PAGE


def path(caller: Caller, text: bytes) -> tuple[int, int]:
    return caller.put(text), len(text)


def opened(
    caller: Caller, name: bytes, oflags: int = 0, rights: int = ALL, fdflags: int = 0, base: int = 3, follow: int = 1
) -> int:
    """The descriptor; negative: the errno."""
    result = caller.room(4)
    errno = caller("path_open", base, follow, *path(caller, name), oflags, rights, ALL, fdflags, result)
    return caller.u32(result) if errno == 0 else -errno


def wrote(caller: Caller, fd: int, *parts: bytes) -> tuple[int, int]:
    result = caller.room(4)
    return caller("fd_write", fd, *caller.vectors(*parts), result), caller.u32(result)


def read(caller: Caller, fd: int, size: int, offset: int | None = None) -> bytes:
    buffer, result = caller.room(size), caller.room(4)
    vector = caller.put(struct.pack("<II", buffer, size))
    if offset is None:
        assert caller("fd_read", fd, vector, 1, result) == 0
    else:
        assert caller("fd_pread", fd, vector, 1, offset, result) == 0
    return bytes(caller.bytes[buffer : buffer + caller.u32(result)])


def stat(caller: Caller, name: bytes, follow: int = 0) -> tuple[int, ...]:
    result = caller.room(64)
    assert caller("path_filestat_get", 3, follow, *path(caller, name), result) == 0
    return struct.unpack_from("<QQB7xQQQQQ", caller.bytes, result)


@pytest.fixture
def caller() -> Caller:
    return wasi_caller()[0]


def test_the_root_is_open_twice_as_slash_and_dot(caller: Caller) -> None:
    prestat, name = caller.room(8), caller.room(8)
    for fd, text in ((3, b"/"), (4, b".")):
        assert caller("fd_prestat_get", fd, prestat) == 0
        assert struct.unpack_from("<II", caller.bytes, prestat) == (0, 1)
        assert caller("fd_prestat_dir_name", fd, name, 0) == Errno.NAMETOOLONG
        assert caller("fd_prestat_dir_name", fd, name, 1) == 0
        assert caller.bytes[name : name + 1] == text
    assert caller("fd_prestat_get", 5, prestat) == Errno.BADF
    assert caller("fd_prestat_get", 0, prestat) == Errno.BADF
    assert caller("fd_prestat_dir_name", 1, name, 9) == Errno.BADF


def test_what_is_written_can_be_read(caller: Caller) -> None:
    fd = opened(caller, b"file", CREATE)
    assert fd == 5
    assert wrote(caller, fd, b"hello, ", b"world") == (0, 12)
    position = caller.room(8)
    assert caller("fd_tell", fd, position) == 0
    assert caller.u64(position) == 12
    assert read(caller, fd, 5, offset=7) == b"world"
    assert read(caller, fd, 5) == b""
    assert caller("fd_seek", fd, 7, 0, position) == 0
    assert read(caller, fd, 100) == b"world"


def test_writing_behind_the_end_leaves_zeros(caller: Caller) -> None:
    fd = opened(caller, b"file", CREATE)
    result = caller.room(4)
    assert caller("fd_pwrite", fd, *caller.vectors(b"x"), 3, result) == 0
    assert read(caller, fd, 10) == b"\0\0\0x"


@pytest.mark.parametrize(
    ("offset", "whence", "expected"),
    [(3, 0, 3), (-2, 1, 4), (0, 1, 6), (-1, 2, 5), (10, 2, 16), (-7, 2, -Errno.INVAL), (0, 3, -Errno.INVAL)],
)
def test_seeking(caller: Caller, offset: int, whence: int, expected: int) -> None:
    fd = opened(caller, b"file", CREATE)
    wrote(caller, fd, b"abcdef")
    position = caller.room(8)
    errno = caller("fd_seek", fd, offset, whence, position)
    assert (caller.u64(position) if errno == 0 else -errno) == expected


def test_seeking_beyond_all_offsets_is_an_overflow(caller: Caller) -> None:
    fd = opened(caller, b"file", CREATE)
    wrote(caller, fd, b"abc")
    assert caller("fd_seek", fd, 2**63 - 1, 2, caller.room(8)) == Errno.OVERFLOW


def test_the_old_interface_has_other_numbers_for_whence() -> None:
    old, _ = wasi_caller(layout=UNSTABLE, module="wasi_unstable")
    fd = opened(old, b"file", CREATE)
    wrote(old, fd, b"abcdef")
    position = old.room(8)
    results = []
    for whence in (2, 0, 1):  # set, current, end
        assert old("fd_seek", fd, 1, whence, position) == 0
        results.append(old.u64(position))
    assert results == [1, 2, 7]


def test_the_old_interface_has_another_layout_of_file_status() -> None:
    old, _ = wasi_caller(layout=UNSTABLE, module="wasi_unstable")
    fd = opened(old, b"file", CREATE)
    wrote(old, fd, b"abcdef")
    result = old.room(56)
    assert old("fd_filestat_get", fd, result) == 0
    device, _, kind, links, size, *times = struct.unpack_from("<QQB3xIQQQQ", old.bytes, result)
    assert (device, kind, links, size, times) == (1, Filetype.REGULAR_FILE, 1, 6, [NOW] * 3)


def test_appending_writes_at_the_end_wherever_the_descriptor_is(caller: Caller) -> None:
    fd = opened(caller, b"file", CREATE, fdflags=APPEND)
    wrote(caller, fd, b"abc")
    assert caller("fd_seek", fd, 0, 0, caller.room(8)) == 0
    wrote(caller, fd, b"def")
    assert read(caller, opened(caller, b"file"), 10) == b"abcdef"


def test_sizes_are_set_and_counted(caller: Caller) -> None:
    fd = opened(caller, b"file", CREATE)
    wrote(caller, fd, b"abcdef")
    assert caller("fd_filestat_set_size", fd, 2) == 0
    assert caller("fd_filestat_set_size", fd, 4) == 0
    assert read(caller, fd, 10, offset=0) == b"ab\0\0"
    assert caller("fd_allocate", fd, 2, 10) == 0
    assert stat(caller, b"file")[4] == 12
    assert caller("fd_allocate", fd, 0, 0) == Errno.INVAL
    assert caller("fd_allocate", fd, 0, 5) == 0
    assert stat(caller, b"file")[4] == 12
    assert caller("fd_filestat_set_size", fd, 2**63) == Errno.FBIG


def test_there_is_room_for_so_many_bytes_and_no_more() -> None:
    caller, _ = wasi_caller(files=make_files(bytes_limit=10))
    fd = opened(caller, b"file", CREATE)
    assert wrote(caller, fd, b"0123456789ab") == (0, 10)
    assert wrote(caller, fd, b"c")[0] == Errno.NOSPC
    assert caller("path_unlink_file", 3, *path(caller, b"file")) == 0
    other = opened(caller, b"other", CREATE)
    assert wrote(caller, other, b"x")[0] == Errno.NOSPC  # the first is still open
    assert caller("fd_close", fd) == 0
    assert wrote(caller, other, b"x") == (0, 1)


def test_a_second_name_costs_its_bytes_again() -> None:
    caller, _ = wasi_caller(files=make_files(bytes_limit=10))
    fd = opened(caller, b"file", CREATE)
    wrote(caller, fd, b"123456")
    assert caller("path_link", 3, 0, *path(caller, b"file"), 3, *path(caller, b"too much")) == Errno.NOSPC
    assert caller("fd_filestat_set_size", fd, 4) == 0
    assert caller("path_link", 3, 0, *path(caller, b"file"), 3, *path(caller, b"second")) == 0
    assert wrote(caller, fd, b"12345")[0] == Errno.NOSPC
    assert stat(caller, b"second")[3] == 2


def test_there_are_so_many_names_and_no_more() -> None:
    caller, _ = wasi_caller(files=make_files(names=2))
    assert opened(caller, b"a", CREATE) == 5
    assert caller("path_create_directory", 3, *path(caller, b"b")) == 0
    assert opened(caller, b"c", CREATE) == -Errno.NOSPC
    assert caller("path_symlink", *path(caller, b"x"), 3, *path(caller, b"d")) == Errno.NOSPC
    assert caller("path_unlink_file", 3, *path(caller, b"a")) == 0
    assert opened(caller, b"c", CREATE) == 6


def test_there_are_so_many_descriptors_and_no_more() -> None:
    caller, _ = wasi_caller(files=make_files(opened=1 << 20))
    opened(caller, b"file", CREATE)
    name, result = path(caller, b"file"), caller.room(4)
    for _ in range(MAXIMUM_DESCRIPTORS - 6):
        assert caller("path_open", 3, 0, *name, 0, ALL, ALL, 0, result) == 0
    assert opened(caller, b"file") == -Errno.MFILE
    assert caller("fd_close", 100) == 0
    assert opened(caller, b"file") == 100


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


def test_rights_are_what_was_asked_for(caller: Caller) -> None:
    opened(caller, b"file", CREATE)
    reader = opened(caller, b"file", rights=READ)
    assert wrote(caller, reader, b"x")[0] == Errno.BADF
    assert caller("fd_filestat_set_size", reader, 0) == Errno.BADF
    writer = opened(caller, b"file", rights=WRITE)
    assert caller("fd_read", writer, *caller.vectors(b"x"), caller.room(4)) == Errno.BADF
    assert caller("fd_filestat_set_size", writer, 3) == 0
    assert opened(caller, b"file", rights=0) == 8
    assert read(caller, 8, 9) == bytes(3)


def test_rights_can_only_be_given_up(caller: Caller) -> None:
    fd = opened(caller, b"file", CREATE)
    assert caller("fd_fdstat_set_rights", fd, READ, 0) == 0
    assert caller("fd_fdstat_set_rights", fd, READ | WRITE, 0) == Errno.NOTCAPABLE
    assert caller("fd_tell", fd, caller.room(8)) == Errno.NOTCAPABLE
    assert caller("fd_fdstat_set_rights", fd, READ | 1 << 40, 0) == Errno.NOTCAPABLE
    assert caller("fd_fdstat_set_rights", 3, Right.PATH_OPEN, 0) == 0
    assert caller("path_create_directory", 3, *path(caller, b"d")) == Errno.NOTCAPABLE


def test_what_a_descriptor_is(caller: Caller) -> None:
    result = caller.room(24)
    opened(caller, b"file", CREATE, fdflags=APPEND)
    found = {}
    for fd in (0, 1, 2, 3, 5):
        assert caller("fd_fdstat_get", fd, result) == 0
        found[fd] = struct.unpack_from("<BxH", caller.bytes, result)
    assert found == {0: (0, 0), 1: (2, 0), 2: (2, 0), 3: (3, 0), 5: (4, APPEND)}
    assert caller("fd_fdstat_get", 9, result) == Errno.BADF
    assert caller("fd_fdstat_get", 3, FAR - 23) == Errno.FAULT
    assert caller("fd_fdstat_set_flags", 5, 32) == Errno.INVAL


def test_streams_have_a_status_without_a_file(caller: Caller) -> None:
    result = caller.room(64)
    for fd, kind in ((0, 0), (1, 2), (2, 2)):
        assert caller("fd_filestat_get", fd, result) == 0
        assert struct.unpack_from("<QQB7xQQQQQ", caller.bytes, result) == (2, fd + 1, kind, 1, 0, 0, 0, 0)
    assert caller("fd_filestat_set_times", 1, 0, 0, 1) == Errno.NOTSUP


def test_times_are_set_as_given_or_now(caller: Caller) -> None:
    fd = opened(caller, b"file", CREATE)
    assert caller("fd_filestat_set_times", fd, 5, 6, 1 | 4) == 0
    assert stat(caller, b"file")[5:] == (5, 6, NOW)
    assert caller("path_filestat_set_times", 3, 0, *path(caller, b"file"), 7, 8, 2 | 4) == 0
    assert stat(caller, b"file")[5:] == (NOW, 8, NOW)
    for wrong in (3, 12, 16):
        assert caller("fd_filestat_set_times", fd, 0, 0, wrong) == Errno.INVAL


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


def test_descriptors_move_and_close(caller: Caller) -> None:
    first, second = opened(caller, b"one", CREATE), opened(caller, b"two", CREATE)
    wrote(caller, first, b"first")
    assert caller("fd_renumber", first, second) == 0
    assert read(caller, second, 9, offset=0) == b"first"
    assert caller("fd_close", first) == Errno.BADF
    assert caller("fd_renumber", second, 77) == Errno.BADF
    assert caller("fd_renumber", second, second) == 0
    assert opened(caller, b"three", CREATE) == first


@pytest.mark.parametrize("name", ["fd_seek", "fd_tell", "fd_pread", "fd_allocate", "fd_filestat_set_size", "fd_advise"])
def test_files_only(caller: Caller, name: str) -> None:
    arguments = {
        "fd_seek": (0, 0, 0),
        "fd_tell": (0,),
        "fd_pread": (0, 0, 0, 0),
        "fd_allocate": (0, 1),
        "fd_filestat_set_size": (0,),
        "fd_advise": (0, 0, 0),
    }[name]
    assert [caller(name, fd, *arguments) for fd in (0, 3, 99)] == [Errno.SPIPE, Errno.ISDIR, Errno.BADF]


def test_reading_and_writing_a_directory(caller: Caller) -> None:
    assert caller("fd_read", 3, *caller.vectors(b"x"), caller.room(4)) == Errno.ISDIR
    assert wrote(caller, 3, b"x")[0] == Errno.ISDIR
    assert caller("fd_readdir", 1, 0, 0, 0, 0) == Errno.NOTDIR


def test_advice_is_checked_and_syncing_has_its_rights(caller: Caller) -> None:
    fd = opened(caller, b"file", CREATE)
    assert [caller("fd_advise", fd, 0, 0, advice) for advice in (0, 5, 6)] == [0, 0, Errno.INVAL]
    assert caller("fd_advise", fd, 2**63 - 1, 1, 0) == Errno.INVAL
    assert [caller("fd_sync", each) for each in (fd, 1, 3, 0, 99)] == [0, 0, 0, Errno.NOTCAPABLE, Errno.BADF]
    assert [caller("fd_datasync", each) for each in (fd, 1, 3, 0, 99)] == [0, 0, 0, Errno.NOTCAPABLE, Errno.BADF]


@pytest.mark.parametrize(
    ("vectors", "count", "result"),
    [(FAR - 4, 1, 0), (0xFFFFFFFF, 1, 0), (0, 0x20000000, 0), (0, 1, FAR - 3)],
    ids=["list", "list at the end of addresses", "endless list", "result"],
)
def test_pointers_outside_of_memory_are_faults(caller: Caller, vectors: int, count: int, result: int) -> None:
    fd = opened(caller, b"file", CREATE)
    for call in ("fd_read", "fd_write"):
        assert caller(call, fd, vectors, count, result) == Errno.FAULT
    assert stat(caller, b"file")[4] == 0


def test_a_buffer_outside_of_memory_is_a_fault_and_an_empty_one_is_not(caller: Caller) -> None:
    fd = opened(caller, b"file", CREATE)
    outside = caller.put(struct.pack("<II", FAR - 1, 2))
    empty = caller.put(struct.pack("<II", 0xFFFFFFFF, 0))
    assert caller("fd_write", fd, outside, 1, 0) == Errno.FAULT
    assert caller("fd_write", fd, empty, 1, 0) == 0
    assert caller("path_open", 3, 0, FAR - 1, 2, 0, 0, 0, 0, 0) == Errno.FAULT
