"""A disk that keeps what was synced and nothing else for certain: what a power cut may leave; words, but for `lay_out`.

In:  the record of a process's disk (diskrecorder.c). Out: at any moment of it, folders that a machine may find when the
power comes back. Of every file what was written up to its last fsync is there; of later writes any subset, each of them
perhaps cut. Of every folder the names that it had at its last fsync; of later changes any subset. No file system that
keeps the promises of fsync does worse; ext4 does better (it orders names kindly), which is why this disk is simulated.
"""

from __future__ import annotations

import struct
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

_HEAD = struct.Struct("<3Q4I")
_SECTOR = 512


class Entry(NamedTuple):
    """One line of the record. `at`: an offset, or a size."""

    op: str
    inode: int
    at: int
    path: str
    second: str
    data: bytes


def entries_of(record: bytes) -> Iterator[Entry]:
    at = 0
    while at < len(record):
        op, inode, place, path, second, data, _ = _HEAD.unpack_from(record, at)
        at += _HEAD.size
        ends = [at, at + path, at + path + second, at + path + second + data]
        names = record[ends[0] : ends[1]].decode(), record[ends[1] : ends[2]].decode()
        yield Entry(chr(op), inode, place, *names, record[ends[2] : ends[3]])
        at = ends[3]


@dataclass
class _File:
    kept: bytearray = field(default_factory=bytearray)
    later: list[Entry] = field(default_factory=list)


@dataclass
class _Folder:
    """Names -> inodes. `later`: (name, inode), None: it is gone; those of one change stand together."""

    kept: dict[str, int] = field(default_factory=dict)
    later: list[list[tuple[str, int | None]]] = field(default_factory=list)


class Chance:
    """Which of the unsynced changes are there. `share`: 0: none; 1: all."""

    def __init__(self, dice: random.Random, share: float) -> None:
        self._dice, self._share = dice, share

    def happens(self) -> bool:
        return self._dice.random() < self._share

    def cut(self, size: int) -> int:
        """So much of one write."""
        if self._share in (0, 1) or self._dice.random() < 0.7:
            return size
        return self._dice.randrange(0, size + 1) // _SECTOR * _SECTOR


class Disk:
    """Told entry after entry; `left` is what a cut may leave at that moment."""

    def __init__(self, *, syncs_folders: bool = True) -> None:
        self._files: dict[int, _File] = {}
        self._folders: dict[int, _Folder] = {}
        self._places: dict[str, int] = {}  # of folders
        self._syncs_folders = syncs_folders
        self.root = 0
        self.said = b""

    def tell(self, entry: Entry) -> None:
        match entry.op:
            case "A":
                self.said += entry.data
            case "M":
                self._folders[entry.inode] = _Folder()
                self._places[entry.path] = entry.inode
                self.root = self.root or entry.inode
                self._names(entry.path, entry.inode)
            case "C":
                self._files[entry.inode] = _File()
                self._names(entry.path, entry.inode)
            case "W" | "T":
                self._files[entry.inode].later.append(entry)
            case "R":
                self._moves(entry)
            case "L":
                self._names(entry.second, entry.inode)
            case "U":
                self._names(entry.path, None)
            case "S":
                self._syncs(entry.inode)

    def _names(self, path: str, inode: int | None) -> None:
        folder = self._places.get(str(PurePath(path).parent))
        if folder is not None:
            self._folders[folder].later.append([(PurePath(path).name, inode)])

    def _moves(self, entry: Entry) -> None:
        old, new = PurePath(entry.path), PurePath(entry.second)
        if old.parent != new.parent:  # each folder has its own truth
            self._names(entry.path, None)
            self._names(entry.second, entry.inode)
            return
        changes: list[tuple[str, int | None]] = [(old.name, None), (new.name, entry.inode)]
        self._folders[self._places[str(new.parent)]].later.append(changes)

    def _syncs(self, inode: int) -> None:
        if inode in self._files:
            file = self._files[inode]
            for change in file.later:
                _applied(file.kept, change, len(change.data))
            file.later.clear()
        elif self._syncs_folders:
            folder = self._folders[inode]
            for group in folder.later:
                _renamed(folder.kept, group)
            folder.later.clear()

    def left(self, chance: Chance) -> dict[PurePath, bytes | None]:
        """Path below the root -> content (None: a folder)."""
        return dict(self._below(self.root, PurePath(), chance))

    def _below(self, inode: int, place: PurePath, chance: Chance) -> Iterator[tuple[PurePath, bytes | None]]:
        folder = self._folders[inode]
        names = dict(folder.kept)
        for group in folder.later:
            if chance.happens():
                _renamed(names, group)
        for name, each in names.items():
            if each in self._folders:
                yield place / name, None
                yield from self._below(each, place / name, chance)
            else:
                yield place / name, self._content(self._files[each], chance)

    def _content(self, file: _File, chance: Chance) -> bytes:
        content = deepcopy(file.kept)
        for change in file.later:
            if chance.happens():
                _applied(content, change, chance.cut(len(change.data)))
        return bytes(content)


def _renamed(names: dict[str, int], group: list[tuple[str, int | None]]) -> None:
    for name, inode in group:
        if inode is None:
            names.pop(name, None)
        else:
            names[name] = inode


def _applied(content: bytearray, change: Entry, size: int) -> None:
    end = change.at + size if change.op == "W" else change.at
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    if change.op == "W":
        content[change.at : end] = change.data[:size]
    else:
        del content[end:]


def lay_out(state: dict[PurePath, bytes | None], place: Path) -> None:
    """On a disk that the test has. The shared memory of a database is of the process that died."""
    place.mkdir()
    for path, content in state.items():
        if content is None:
            (place / path).mkdir(mode=0o700)
        elif not path.name.endswith("-shm"):
            (place / path).write_bytes(content)
