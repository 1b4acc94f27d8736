"""gatebus.host.recordbook: what every book of records is. Modules and snapshots have their own tests of damage."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from gatebus.faults import StoreBroken
from gatebus.host.recordbook import Book, RecordBook

if TYPE_CHECKING:
    from pathlib import Path

BOOK = Book("CREATE TABLE page (number INTEGER PRIMARY KEY) STRICT;", 1, "The pages", "The pages are damaged.")


class Pages(RecordBook):
    def __init__(self, path: Path, book: Book = BOOK) -> None:
        super().__init__(path, book)

    def add(self, *numbers: int) -> None:
        with self._told(), self._change():
            for each in numbers:
                self._database.execute("INSERT INTO page VALUES (?)", (each,))

    def all(self) -> list[int]:
        with self._told():
            return [number for (number,) in self._database.execute("SELECT * FROM page")]


def rights(folder: Path) -> dict[str, int]:
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}


def test_only_its_owner_reads_it_and_what_sqlite_keeps_beside_it(tmp_path: Path) -> None:
    pages = Pages(tmp_path / "pages")
    pages.add(1)
    assert rights(tmp_path) == dict.fromkeys(("pages", "pages-wal", "pages-shm"), 0o600)
    pages.close()


def test_files_of_an_earlier_version_that_others_could_read_become_private(tmp_path: Path) -> None:
    first = Pages(tmp_path / "pages")
    first.add(1)
    for each in tmp_path.iterdir():
        each.chmod(0o644)
    second = Pages(tmp_path / "pages")
    assert rights(tmp_path) == dict.fromkeys(("pages", "pages-wal", "pages-shm"), 0o600)
    assert second.all() == [1]
    second.add(2)
    assert first.all() == [1, 2]
    second.close()
    first.close()


def test_a_change_is_whole_or_not_at_all(tmp_path: Path) -> None:
    pages = Pages(tmp_path / "pages")
    with pytest.raises(StoreBroken, match="The pages are damaged"):
        pages.add(1, 2, 1)
    assert pages.all() == []
    pages.close()


def test_of_another_version_it_is_not_touched(tmp_path: Path) -> None:
    Pages(tmp_path / "pages").close()
    with pytest.raises(StoreBroken) as refused:
        Pages(tmp_path / "pages", BOOK._replace(version=2))
    assert refused.value.text == "The pages are of another version of gatebus, or damaged. Use that version."


def test_where_there_is_no_folder_the_disk_is_named_and_no_path(tmp_path: Path) -> None:
    with pytest.raises(StoreBroken) as refused:
        Pages(tmp_path / "absent" / "pages")
    assert refused.value.text == "The pages cannot be used (SQLITE_CANTOPEN). Look at the disk."
