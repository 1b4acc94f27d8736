"""Words: the functions of preview 1 on paths. Paths, numbers and addresses come from the guest (untrusted)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.portable.descriptor_table import DIRECTORY_RIGHTS, FILE_RIGHTS, Descriptor, FdFlag, Right
from sandbox.portable.file_nodes import Directory, SymbolicLink
from sandbox.portable.guest_errno import CallError, Errno
from sandbox.portable.memory_files import Opening
from sandbox.portable.path_walk import MAXIMUM_PATH, walk_untrusted
from sandbox.portable.wasi_fd_calls import KNOWN_FLAGS, set_times
from sandbox.portable.wasi_layout import encode_filestat

if TYPE_CHECKING:
    from sandbox.portable.file_nodes import Node
    from sandbox.portable.path_walk import Place
    from sandbox.portable.wasi_world import WasiWorld

FOLLOW = 1
CREATE, DIRECTORY, EXCLUSIVE, TRUNCATE = 1, 2, 4, 8


def _path(world: WasiWorld, address: int, length: int) -> bytes:
    if length > MAXIMUM_PATH:
        raise CallError(Errno.NAMETOOLONG)
    return world.memory.read(address, length)


def _place(world: WasiWorld, fd: int, needed: Right, path: tuple[int, int], *, follow: bool = False) -> Place:
    _, directory = world.table.directory(fd, needed)
    return walk_untrusted(directory, _path(world, *path), follow=follow)


def path_open(  # noqa: PLR0913 - the ABI's
    world: WasiWorld, fd: int, lookup: int, path: int, length: int, oflags: int, rights: int, inheriting: int,
    fdflags: int, result: int,
) -> None:  # fmt: skip
    base, directory = world.table.directory(fd, _needed_to_open(oflags))
    name = _path(world, path, length)
    if oflags & ~15 or fdflags & ~KNOWN_FLAGS:
        raise CallError(Errno.INVAL)
    if (rights | inheriting) & ~base.inheriting & (DIRECTORY_RIGHTS | FILE_RIGHTS):
        raise CallError(Errno.NOTCAPABLE)
    world.memory.check(result, 4)
    world.table.check_room()
    how = Opening(
        create=bool(oflags & CREATE),
        exclusive=bool(oflags & EXCLUSIVE),
        truncate=bool(oflags & TRUNCATE),
        directory=bool(oflags & DIRECTORY),
        write=bool(rights & Right.FD_WRITE),
    )
    node = world.files.open_path(directory, name, how, follow=bool(lookup & FOLLOW), now=world.now())
    opened = _descriptor(node, rights, inheriting, base)
    opened.flags = FdFlag(fdflags)
    world.memory.write_u32(result, world.table.add(opened))


def _needed_to_open(oflags: int) -> Right:
    needed = Right.PATH_OPEN
    if oflags & CREATE:
        needed |= Right.PATH_CREATE_FILE
    if oflags & TRUNCATE:
        needed |= Right.PATH_FILESTAT_SET_SIZE
    return needed


def _descriptor(node: Node, rights: int, inheriting: int, base: Descriptor) -> Descriptor:
    if isinstance(node, SymbolicLink):
        raise CallError(Errno.LOOP)
    if isinstance(node, Directory):
        if rights & Right.FD_WRITE:
            raise CallError(Errno.ISDIR)
        return Descriptor(node, Right(rights) & DIRECTORY_RIGHTS, Right(inheriting) & base.inheriting)
    return Descriptor(node, Right(rights) & FILE_RIGHTS, Right(inheriting) & base.inheriting & FILE_RIGHTS)


def path_create_directory(world: WasiWorld, fd: int, path: int, length: int) -> None:
    _, directory = world.table.directory(fd, Right.PATH_CREATE_DIRECTORY)
    world.files.create_directory(directory, _path(world, path, length), world.now())


def path_filestat_get(world: WasiWorld, fd: int, lookup: int, path: int, length: int, result: int) -> None:
    place = _place(world, fd, Right.PATH_FILESTAT_GET, (path, length), follow=bool(lookup & FOLLOW))
    world.memory.write(result, encode_filestat(world.layout, place.existing))


def path_filestat_set_times(  # noqa: PLR0913 - the ABI's
    world: WasiWorld, fd: int, lookup: int, path: int, length: int, accessed: int, modified: int, which: int
) -> None:
    place = _place(world, fd, Right.PATH_FILESTAT_SET_TIMES, (path, length), follow=bool(lookup & FOLLOW))
    set_times(place.existing.times, (accessed, modified, which), world.now())


def path_link(  # noqa: PLR0913 - the ABI's
    world: WasiWorld, old_fd: int, lookup: int, old_path: int, old_length: int, new_fd: int, new_path: int,
    new_length: int,
) -> None:  # fmt: skip
    if lookup & FOLLOW:
        # as Linux's linkat without AT_SYMLINK_FOLLOW; wasi-libc never asks for it
        raise CallError(Errno.INVAL)
    source = _place(world, old_fd, Right.PATH_LINK_SOURCE, (old_path, old_length))
    _, directory = world.table.directory(new_fd, Right.PATH_LINK_TARGET)
    world.files.hard_link(source, directory, _path(world, new_path, new_length), world.now())


def path_readlink(world: WasiWorld, fd: int, path: int, length: int, buffer: int, room: int, result: int) -> None:  # noqa: PLR0913 - the ABI's
    node = _place(world, fd, Right.PATH_READLINK, (path, length)).existing
    if not isinstance(node, SymbolicLink):
        raise CallError(Errno.INVAL)
    world.memory.check(buffer, room)
    world.memory.check(result, 4)
    world.memory.write(buffer, node.target[:room])
    world.memory.write_u32(result, min(room, len(node.target)))


def path_remove_directory(world: WasiWorld, fd: int, path: int, length: int) -> None:
    _, directory = world.table.directory(fd, Right.PATH_REMOVE_DIRECTORY)
    world.files.remove_directory(directory, _path(world, path, length), world.now())


def path_rename(world: WasiWorld, fd: int, path: int, length: int, new_fd: int, new_path: int, new_length: int) -> None:  # noqa: PLR0913 - the ABI's
    source = _place(world, fd, Right.PATH_RENAME_SOURCE, (path, length))
    target = _place(world, new_fd, Right.PATH_RENAME_TARGET, (new_path, new_length))
    world.files.rename(source, target, world.now())


def path_symlink(world: WasiWorld, target: int, target_length: int, fd: int, path: int, length: int) -> None:
    _, directory = world.table.directory(fd, Right.PATH_SYMLINK)
    text = _path(world, target, target_length)
    world.files.create_link(directory, _path(world, path, length), text, world.now())


def path_unlink_file(world: WasiWorld, fd: int, path: int, length: int) -> None:
    _, directory = world.table.directory(fd, Right.PATH_UNLINK_FILE)
    world.files.unlink_file(directory, _path(world, path, length), world.now())
