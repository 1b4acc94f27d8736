"""What somebody else has put into a store: named, never read, never removed; and questions make nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from ipfsdata import imported, vector

from ipfs.blockstore import BlockStore, Contents
from ipfs.cid import RAW, cid_of
from ipfs.fetching import Fetcher
from ipfs.importer import PROFILES
from ipfs.pins import Pins, collect
from ipfs.plainfile import NotPlain, open_plain
from ipfs.troubles import Damaged, StoreFailed, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BLOCK = b"a block"
CID = cid_of(RAW, BLOCK)
NAME = CID.key.hex()
LAST = NAME[-2:]


def a_directory(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


STRANGE = pytest.mark.parametrize("put", [a_directory, a_pipe, a_link])
WRONG = {
    f"blocks/{LAST}/what is this",
    f"blocks/{LAST}/{NAME.upper()}",
    f"blocks/{LAST}/{NAME} ",
    f"blocks/00/{NAME}",
    "blocks/file",
}


def test_what_lies_among_the_blocks_and_is_none_is_named_and_stays(tmp_path: Path) -> None:
    store = BlockStore(tmp_path)
    store.put([(CID, BLOCK)])
    assert list(store.strangers()) == []
    for each in WRONG:
        (tmp_path / each).parent.mkdir(exist_ok=True)
        (tmp_path / each).write_bytes(b"mine")
    (tmp_path / "blocks" / LAST / "1.unfinished").write_bytes(b"")
    assert set(store.strangers()) == WRONG
    assert store.contents() == Contents(1, len(BLOCK))
    assert collect(store, Pins(store)) == Contents(1, len(BLOCK))
    assert all((tmp_path / each).read_bytes() == b"mine" for each in WRONG)


@STRANGE
def test_in_the_place_of_a_block_it_is_damage_that_is_named_and_left(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    store = BlockStore(tmp_path)
    (tmp_path / "blocks" / LAST).mkdir()
    put(tmp_path / "blocks" / LAST / NAME)
    with pytest.raises(Damaged, match=f"In the place of the stored block {CID} is no file. It was left as it is."):
        store.get(CID)
    assert list(store.strangers()) == [f"blocks/{LAST}/{NAME}"]
    assert store.contents() == Contents(0, 0)
    assert collect(store, Pins(store)) == Contents(0, 0)
    assert os.path.lexists(tmp_path / "blocks" / LAST / NAME)


def test_a_directory_in_the_place_of_a_block_is_named_when_the_block_should_be_kept(tmp_path: Path) -> None:
    store = BlockStore(tmp_path)
    (tmp_path / "blocks" / LAST / NAME).mkdir(parents=True)
    with pytest.raises(StoreFailed, match=f"is where a file of the block store belongs: blocks/{LAST}/{NAME}. Move it"):
        store.put([(CID, BLOCK)])
    assert [path.name for path in (tmp_path / "blocks" / LAST).iterdir()] == [NAME]


@pytest.mark.parametrize("put", [a_pipe, a_link])
def test_anything_else_gives_way_to_the_right_block(tmp_path: Path, put: Callable[[Path], None]) -> None:
    store = BlockStore(tmp_path)
    (tmp_path / "blocks" / LAST).mkdir()
    put(tmp_path / "blocks" / LAST / NAME)
    store.put([(CID, BLOCK)])
    assert store.get(CID) == BLOCK
    assert list(store.strangers()) == []


async def test_whoever_fetches_hears_of_it(tmp_path: Path) -> None:
    (tmp_path / "blocks" / LAST / NAME).mkdir(parents=True)
    told: list[str] = []
    with pytest.raises(Unavailable):
        await Fetcher(BlockStore(tmp_path), told=told.append).get(CID)
    assert told == [f"In the place of the stored block {CID} is no file. It was left as it is."]


@STRANGE
@pytest.mark.parametrize("name", ["what is this", str(CID)])
def test_among_the_pins_it_is_named_and_nothing_is_removed(
    tmp_path: Path, put: Callable[[Path], None], name: str
) -> None:
    store = BlockStore(tmp_path)
    store.put([(CID, BLOCK)])
    pins = Pins(store)
    (tmp_path / "pins").mkdir()
    put(tmp_path / "pins" / name)
    for question in (pins.all, lambda: collect(store, pins)):
        with pytest.raises(Damaged, match=f"something that is none: pins/{name}. Take it away"):
            question()
    assert store.get(CID) == BLOCK


@STRANGE
def test_a_note_is_not_read_from_what_is_no_file(tmp_path: Path, put: Callable[[Path], None]) -> None:
    pins = Pins(BlockStore(tmp_path))
    (tmp_path / "pins").mkdir()
    put(tmp_path / "pins" / str(CID))
    with pytest.raises(Damaged, match="something that is none"):
        pins.note(CID)


def test_unfinished_pins_go_when_they_are_old(tmp_path: Path) -> None:
    store = BlockStore(tmp_path)
    pins = Pins(store)
    store.put([(CID, BLOCK)])
    pins.add(CID)
    old, young = tmp_path / "pins" / "a.unfinished", tmp_path / "pins" / "b.unfinished"
    old.write_bytes(b"")
    young.write_bytes(b"")
    os.utime(old, (0, 0))
    assert pins.all() == [CID]
    collect(store, pins)
    assert (old.exists(), young.exists()) == (False, True)


def test_a_question_makes_nothing_and_of_nothing_the_answer_is_nothing(tmp_path: Path) -> None:
    store = BlockStore.as_it_is(tmp_path / "none" / "here")
    assert store.contents() == Contents(0, 0)
    assert list(store.strangers()) == []
    assert store.get(CID) is None
    assert (Pins(store).all(), Pins(store).note(CID), Pins(store).stamp()) == ([], None, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_question_to_a_folder_of_others_is_refused_too(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(StoreFailed, match="may be written by others"):
        BlockStore.as_it_is(tmp_path)


def test_a_question_sees_what_is_there(tmp_path: Path) -> None:
    root, blocks = imported(vector(3_000), PROFILES["kubo-v1"])
    made = BlockStore(tmp_path)
    made.put(blocks.items())
    Pins(made).add(root.cid)
    seen = BlockStore.as_it_is(tmp_path)
    assert seen.contents() == made.contents()
    assert Pins(seen).all() == [root.cid]


@STRANGE
def test_only_a_file_is_opened_and_at_once(tmp_path: Path, put: Callable[[Path], None]) -> None:
    put(tmp_path / "it")
    with pytest.raises(NotPlain):
        open_plain(tmp_path / "it")


def test_a_file_that_becomes_a_pipe_between_the_look_and_the_opening_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    was = os.stat(tmp_path / "file")
    (tmp_path / "file").unlink()
    a_pipe(tmp_path / "file")
    monkeypatch.setattr(type(tmp_path), "stat", lambda _path: was)
    with pytest.raises(NotPlain):
        open_plain(tmp_path / "file")
