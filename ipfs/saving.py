"""Verified blocks -> files of this machine; assembly.

In:  a root (what its blocks say is untrusted), a place where nothing is yet. Out: a file or a directory there, whole,
or nothing.

It is written beside its place, into a new folder, under names that were checked one by one. Symbolic links are made
last, when every file is there, so that nothing is written through one, and only such as stay in the tree: what follows
them later cannot be led out of it. Others are left out and told.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import trio

from ipfs.cid import Cid
from ipfs.content import copy, expect, node_of
from ipfs.dagpb import SYMLINK
from ipfs.fetching import Fetcher
from ipfs.levels import check_names
from ipfs.plainfile import named
from ipfs.reader import list_directory, no_followed_link
from ipfs.symlinks import shown, stays_inside
from ipfs.troubles import BadName, StoreFailed, TooLarge

# Links of a stranger's tree that are named one by one; then how many more.
_TOLD = 10


async def save(fetcher: Fetcher, cid: Cid, target: Path, skipped: Callable[[str], None]) -> None:
    """`target` must be new, and appears whole or not at all. `skipped` hears of links that were left out."""
    if os.path.lexists(target):
        raise BadName(f"{named(target)} is there already. Name a new target.")
    await expect(fetcher, cid)
    if (node := await node_of(fetcher, cid)).kind == SYMLINK:
        raise no_followed_link(node)
    unfinished = target.with_name(f"{target.name}.{os.urandom(4).hex()}.unfinished")
    try:
        await _Saving(fetcher, _Target(str(target), unfinished), skipped).run(cid)
        await _on_disk(str(target), lambda: unfinished.rename(target))
    finally:
        if unfinished.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)
        else:
            unfinished.unlink(missing_ok=True)


class _Target(NamedTuple):
    """`name`: as it is told to whoever chose it."""

    name: str
    place: Path


class _Place(NamedTuple):
    """`names`: below the root."""

    cid: Cid
    names: tuple[str, ...]


class _Saving:
    def __init__(self, fetcher: Fetcher, target: _Target, skipped: Callable[[str], None]) -> None:
        self._fetcher, self._target, self._skipped = fetcher, target, skipped
        self._budget = fetcher.budget
        self._entries, self._bytes = self._budget.entries, self._budget.bytes
        self._links: list[_Place] = []
        self._left_out = 0

    async def run(self, cid: Cid) -> None:
        waiting = [_Place(cid, ())]
        while waiting:
            waiting += await self._one(waiting.pop())
        for place in self._links:
            await self._make_link(place)
        if self._left_out > _TOLD:
            self._skipped(f"{self._left_out - _TOLD} more symbolic links were left out.")

    async def _one(self, place: _Place) -> list[_Place]:
        """What is below it."""
        node = await node_of(self._fetcher, place.cid)
        self._entries -= 1
        check_names(len(place.names))
        if self._entries < 0:
            raise TooLarge(f"The directory has more than the {self._budget.entries} names that this request may save.")
        if node.kind == SYMLINK:
            self._note_link(place, node.data)
        elif node.is_file:
            await self._save_file(place)
        else:
            await _on_disk(self._named(place), self._at(place.names).mkdir)
            entries = await self._fetcher.answer(list_directory(place.cid, self._budget))
            return [_Place(entry.cid, (*place.names, entry.name)) for entry in reversed(entries)]
        return []

    def _note_link(self, place: _Place, target: bytes) -> None:
        """Where it leads is read again later: a small tree can say it a million times."""
        if stays_inside(target, len(place.names) - 1):
            self._links.append(place)
            return
        self._left_out += 1
        if self._left_out <= _TOLD:
            text = f"is a symbolic link that may lead outside ({shown(target)})"
            self._skipped(f"{'/'.join(place.names)} {text}; it was left out.")

    async def _make_link(self, place: _Place) -> None:
        target = (await node_of(self._fetcher, place.cid)).data
        link = self._at(place.names)
        await _on_disk(self._named(place), lambda: link.symlink_to(os.fsdecode(target)))

    async def _save_file(self, place: _Place) -> None:
        if self._bytes <= 0:
            raise TooLarge(f"The directory has more than the {self._budget.bytes} bytes that this request may save.")
        try:
            async with await trio.open_file(self._at(place.names), "xb") as file:

                async def write(data: bytes) -> None:
                    await file.write(data)

                self._bytes -= await copy(self._fetcher, place.cid, write, self._bytes)
        except OSError as problem:
            raise _refused(self._named(place), problem) from problem

    def _at(self, names: tuple[str, ...]) -> Path:
        return self._target.place.joinpath(*names)

    def _named(self, place: _Place) -> str:
        return "/".join((self._target.name, *place.names))


async def _on_disk(name: str, action: Callable[[], object]) -> None:
    try:
        await trio.to_thread.run_sync(action)
    except OSError as problem:
        raise _refused(name, problem) from problem


def _refused(name: str, problem: OSError) -> StoreFailed:
    return StoreFailed(f"{named(name)}: It cannot be written: {(problem.strerror or 'no reason given').lower()}.")
