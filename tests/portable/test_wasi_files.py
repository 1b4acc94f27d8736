"""Files: content, position, size, rights, times; and what is no file."""

from __future__ import annotations

import struct

import pytest
from filehelpers import (
    ALL,
    APPEND,
    CREATE,
    FAR,
    READ,
    WRITE,
    opened,
    path,
    read,
    stat,
    wrote,
)
from portablefakes import NOW, Caller, make_files, wasi_caller

from sandbox.portable.descriptor_table import MAXIMUM_DESCRIPTORS, Right
from sandbox.portable.guest_errno import Errno
from sandbox.portable.wasi_layout import UNSTABLE, Filetype


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
