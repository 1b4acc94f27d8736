"""Files and directories of this machine -> blocks in the store; assembly.

In:  a path that the owner of this machine named. Out: the root of what was imported; a fault says which file it is.

What is named is meant, also by way of a symbolic link. Below it no link is followed: a link is kept as what it is, its
target's name, so that nothing comes along that the person did not name, and the CID is that of Kubo. Everything is
opened from the directory above it, which is open: who can write there, and puts a link in a file's place meanwhile,
gains nothing.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BufferedReader
from pathlib import Path

import trio

from ipfs.addresses import check_name
from ipfs.blockstore import BlockStore
from ipfs.caps import MIB
from ipfs.importer import Block, FileImport, Profile, Root, directory, symlink
from ipfs.levels import check_names
from ipfs.plainfile import NotPlain, named, open_member, open_plain
from ipfs.symlinks import shown, stays_inside
from ipfs.troubles import BadName, IpfsError, StoreFailed

_PIECE = 4 * MIB  # of a file: few enough to be cancelled soon


async def add(
    store: BlockStore, path: Path, profile: Profile, told: Callable[[str], None] = lambda _text: None
) -> Root:
    """Imports a file, or a directory with everything below it. Whoever promises that it stays pins it. `told` hears of
    links that nobody will get. Raises BadName, StoreFailed, TooLarge, each with the file's name.
    """
    work = _Adding(store, profile, told)
    with _about(path):
        whole = path.is_dir()
    if not whole:
        return await work.file(path, partial(open_plain, path))
    with _opened(path, path, None) as folder:
        return await work.directory(path, folder, 0)


async def add_stream(store: BlockStore, read: Callable[[int], bytes], profile: Profile) -> Root:
    """Imports what comes until nothing comes any more. `read` waits for whoever writes: given up, it is left alone."""
    work = FileImport(profile)
    with _about(Path("-")):
        while data := await trio.to_thread.run_sync(read, _PIECE, abandon_on_cancel=True):
            await trio.to_thread.run_sync(store.keep, work.feed(data))
        await trio.to_thread.run_sync(store.keep, work.finish())
    return work.root


class _Adding:
    def __init__(self, store: BlockStore, profile: Profile, told: Callable[[str], None]) -> None:
        self._store, self._profile, self._told = store, profile, told

    async def file(self, path: Path, opening: Callable[[], BufferedReader]) -> Root:
        work = FileImport(self._profile)
        with _about(path):
            async with trio.wrap_file(await trio.to_thread.run_sync(opening)) as file:
                while data := await file.read(_PIECE):
                    await self._put(work.feed(data))
            await self._put(work.finish())
        return work.root

    async def directory(self, path: Path, folder: int, depth: int) -> Root:
        """`folder`: it, opened. `depth`: directories above it."""
        with _about(path):
            names = sorted(os.listdir(folder))
        members = {}
        for name in names:
            with _about(path / name):
                check_names(depth + 1)
                check_name(name)
                kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            members[name] = await self._member(path / name, folder, kind, depth)
        with _about(path):
            root, block = directory(members, self._profile)
            await self._put(iter([(root.cid, block)]))
        return root

    async def _member(self, path: Path, folder: int, kind: int, depth: int) -> Root:
        if stat.S_ISLNK(kind):
            return await self._link(path, folder, depth)
        if not stat.S_ISDIR(kind):
            return await self.file(path, partial(open_member, path.name, folder))
        with _opened(path, path.name, folder) as below:
            return await self.directory(path, below, depth + 1)

    async def _link(self, path: Path, folder: int, depth: int) -> Root:
        with _about(path):
            target = os.readlink(os.fsencode(path.name), dir_fd=folder)
            root, block = symlink(target, self._profile)
            await self._put(iter([(root.cid, block)]))
        if not stays_inside(target, depth):
            self._told(
                f"{named(path)} is a symbolic link that may lead outside ({shown(target)}). It was added as a link; "
                "`get` leaves it out."
            )
        return root

    async def _put(self, blocks: Iterator[Block]) -> None:
        await trio.to_thread.run_sync(self._store.keep, blocks)


@contextmanager
def _opened(path: Path, name: str | Path, folder: int | None) -> Iterator[int]:
    """A directory: the one that was named, or one in `folder`, which is not looked for by way of a link."""
    with _about(path):
        followed = 0 if folder is None else os.O_NOFOLLOW
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | followed, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """What goes wrong inside is told with this name."""
    try:
        yield
    except NotPlain:
        text = "It is a pipe, a device or a socket; only files, directories and links in them are added."
        raise BadName(f"{named(path)}: {text}") from None
    except OSError as problem:
        reason = (problem.strerror or "no reason given").lower()
        raise StoreFailed(f"{named(path)}: It cannot be read: {reason}.") from problem
    except IpfsError as fault:
        raise type(fault)(f"{named(path)}: {fault.text}") from None
