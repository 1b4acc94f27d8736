"""Words: the functions of preview 1 on paths. Paths, numbers and addresses come from the guest (untrusted)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.portable.descriptor_table import DIRECTORY_RIGHTS, FILE_RIGHTS, WRITING, Descriptor, Right
from sandbox.portable.file_nodes import Directory, SymbolicLink
from sandbox.portable.guest_errno import CallError, Errno
from sandbox.portable.memory_files import Opening
from sandbox.portable.path_walk import walk_untrusted
from sandbox.portable.wasi_layout import encode_filestat, filetype_of
from sandbox.portable.wasi_stat_calls import check_flags, check_times, put_times

if TYPE_CHECKING:
    from sandbox.portable.file_nodes import Node
    from sandbox.portable.wasi_world import WasiWorld

FOLLOW = 1
CREATE, DIRECTORY, EXCLUSIVE, TRUNCATE = 1, 2, 4, 8
NO_DESCRIPTOR = 0xFFFF_FFFF


def _path(world: WasiWorld, address: int, length: int) -> bytes:
    text = world.memory.read(address, length)
    try:
        text.decode()
    except UnicodeDecodeError:
        raise CallError(Errno.ILSEQ) from None
    return text


def _follow(lookup: int) -> bool:
    if lookup > FOLLOW:
        raise CallError(Errno.INVAL)
    return lookup == FOLLOW


def path_open(  # noqa: PLR0913 - the ABI's
    world: WasiWorld, fd: int, lookup: int, path: int, length: int, oflags: int, rights: int, inheriting: int,
    fdflags: int, result: int,
) -> None:  # fmt: skip
    how, follow, flags = _opening(oflags, rights), _follow(lookup), check_flags(fdflags)
    world.memory.write_u32(result, NO_DESCRIPTOR)
    name = _path(world, path, length)
    base, directory = world.table.directory(fd, _needed_to_open(how))
    world.table.check_room()
    node = world.files.open_path(directory, name, how, follow=follow, now=world.now())
    opened = _descriptor(node, rights, inheriting, base)
    opened.flags = flags
    world.memory.write_u32(result, world.table.add(opened))


def _opening(oflags: int, rights: int) -> Opening:
    if oflags > CREATE | DIRECTORY | EXCLUSIVE | TRUNCATE:
        raise CallError(Errno.INVAL)
    return Opening(
        create=bool(oflags & CREATE),
        exclusive=bool(oflags & EXCLUSIVE),
        truncate=bool(oflags & TRUNCATE),
        directory=bool(oflags & DIRECTORY),
        write=bool(rights & Right.FD_WRITE),
    )


def _needed_to_open(how: Opening) -> Right:
    needed = Right.PATH_OPEN
    if how.create:
        needed |= Right.PATH_CREATE_FILE
    if how.truncate:
        needed |= Right.PATH_FILESTAT_SET_SIZE
    return needed


def _descriptor(node: Node, rights: int, inheriting: int, base: Descriptor) -> Descriptor:
    """All rights that the kind has and the directory hands down, except reading and writing: those are what programs
    ask for and see. Asking for neither means reading.
    """
    if isinstance(node, SymbolicLink):
        raise CallError(Errno.LOOP)
    if isinstance(node, Directory):
        # many programs ask for nothing to be handed down and still open files below
        handed = Right(inheriting) & base.inheriting if inheriting else base.inheriting
        return Descriptor(node, DIRECTORY_RIGHTS & base.inheriting, handed)
    wants = Right(rights & (Right.FD_READ | WRITING))
    if wants & Right.FD_WRITE:
        wants |= WRITING
    rest = FILE_RIGHTS & ~(Right.FD_READ | WRITING)
    return Descriptor(node, (rest | (wants or Right.FD_READ)) & base.inheriting)


def path_create_directory(world: WasiWorld, fd: int, path: int, length: int) -> None:
    _, directory = world.table.directory(fd, Right.PATH_CREATE_DIRECTORY)
    world.files.create_directory(directory, _path(world, path, length), world.now())


def _find(world: WasiWorld, fd: int, lookup: int, path: tuple[int, int], needed: Right) -> Node:
    _, directory = world.table.directory(fd, needed)
    text = _path(world, *path)
    return walk_untrusted(directory, text, follow=_follow(lookup)).existing


def path_filestat_get(world: WasiWorld, fd: int, lookup: int, path: int, length: int, result: int) -> None:
    node = _find(world, fd, lookup, (path, length), Right.PATH_FILESTAT_GET)
    world.memory.write(result, encode_filestat(world.layout, node, filetype_of(node)))


def path_filestat_set_times(  # noqa: PLR0913 - the ABI's
    world: WasiWorld, fd: int, lookup: int, path: int, length: int, accessed: int, modified: int, which: int
) -> None:
    now = world.now()
    new = check_times((accessed, modified, which), now)
    node = _find(world, fd, lookup, (path, length), Right.PATH_FILESTAT_SET_TIMES)
    put_times(node.times, new, now)


def path_link(  # noqa: PLR0913 - the ABI's
    world: WasiWorld, old_fd: int, lookup: int, old_path: int, old_length: int, new_fd: int, new_path: int,
    new_length: int,
) -> None:  # fmt: skip
    """The source is never followed."""
    if _follow(lookup):
        raise CallError(Errno.INVAL)
    _, source = world.table.directory(old_fd, Right.PATH_LINK_SOURCE)
    _, target = world.table.directory(new_fd, Right.PATH_LINK_TARGET)
    old, new = _path(world, old_path, old_length), _path(world, new_path, new_length)
    world.files.hard_link(walk_untrusted(source, old, follow=False), target, new, world.now())


def path_readlink(world: WasiWorld, fd: int, path: int, length: int, buffer: int, room: int, result: int) -> None:  # noqa: PLR0913 - the ABI's
    node = _find(world, fd, 0, (path, length), Right.PATH_READLINK)
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
    _, source = world.table.directory(fd, Right.PATH_RENAME_SOURCE)
    _, target = world.table.directory(new_fd, Right.PATH_RENAME_TARGET)
    old, new = _path(world, path, length), _path(world, new_path, new_length)
    old_place, new_place = (walk_untrusted(*each, follow=False) for each in ((source, old), (target, new)))
    world.files.rename(old_place, new_place, world.now())


def path_symlink(world: WasiWorld, target: int, target_length: int, fd: int, path: int, length: int) -> None:
    """One that would lead out of the directory by an absolute path is refused."""
    _, directory = world.table.directory(fd, Right.PATH_SYMLINK)
    text, name = _path(world, target, target_length), _path(world, path, length)
    if text.startswith(b"/"):
        raise CallError(Errno.NOTCAPABLE)
    world.files.create_link(directory, name, text, world.now())


def path_unlink_file(world: WasiWorld, fd: int, path: int, length: int) -> None:
    _, directory = world.table.directory(fd, Right.PATH_UNLINK_FILE)
    world.files.unlink_file(directory, _path(world, path, length), world.now())
