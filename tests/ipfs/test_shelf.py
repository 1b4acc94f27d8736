"""What of a store others may have: what is pinned, every block of it, no sign of the rest; and how it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ipfsdata import imported, vector

from ipfs import shelf as shelves
from ipfs.addresses import Address
from ipfs.blockstore import BlockStore
from ipfs.car import CarReader
from ipfs.carorder import blocks_of
from ipfs.carwriter import CarWriter
from ipfs.cid import DAG_PB, IDENTITY, RAW, Cid, cid_of
from ipfs.dagpb import Link, encode_block, encode_file
from ipfs.offer import ALL
from ipfs.pins import Pins
from ipfs.shelf import Shelf
from ipfs.troubles import Damaged, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

ONE, ONE_BLOCKS = imported(vector(600_000))
TWO, TWO_BLOCKS = imported(vector(300_000)[::-1])


def stocked(folder: Path) -> BlockStore:
    store = BlockStore(folder)
    store.keep([*ONE_BLOCKS.items(), *TWO_BLOCKS.items()])
    return store


def held(shelf: Shelf) -> set[Cid]:
    return {cid for cid in (*ONE_BLOCKS, *TWO_BLOCKS) if shelf.holds(cid)}


def test_only_what_is_pinned_is_there_and_pins_that_come_and_go_are_seen(tmp_path: Path) -> None:
    store = stocked(tmp_path)
    shelf = Shelf(store, pytest.fail)
    shelf.look()
    assert held(shelf) == set()
    Pins(store).add(ONE.cid)
    shelf.look()
    assert held(shelf) == set(ONE_BLOCKS)
    Pins(store).add(TWO.cid)
    shelf.look()
    assert held(shelf) == {*ONE_BLOCKS, *TWO_BLOCKS}
    Pins(store).remove(ONE.cid)
    shelf.look()
    assert held(shelf) == set(TWO_BLOCKS)


def test_a_pin_is_learned_once(tmp_path: Path) -> None:
    store, looks = stocked(tmp_path), list[None]()
    Pins(store).add(ONE.cid)
    shelf = Shelf(store)
    shelf.look(lambda: looks.append(None))
    assert len(looks) == len(ONE_BLOCKS)
    shelf.look(lambda: looks.append(None))
    Pins(store).add(TWO.cid)
    shelf.look(lambda: looks.append(None))
    assert len(looks) == len(ONE_BLOCKS) + len(TWO_BLOCKS)


def test_what_is_not_whole_is_not_offered_and_told(tmp_path: Path) -> None:
    store, told = stocked(tmp_path), list[str]()
    Pins(store).add(ONE.cid)
    store.remove([next(cid for cid in ONE_BLOCKS if cid.codec == RAW).key])
    shelf = Shelf(store, told.append)
    shelf.look()
    assert held(shelf) == set()
    assert len(told) == 1
    assert told[0].endswith("of something pinned is missing. Fetch it again, or remove the pin.")


def test_more_than_there_is_room_for_is_not_offered_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, told = stocked(tmp_path), list[str]()
    monkeypatch.setattr(shelves, "SHELF_MAX", len(ONE_BLOCKS))
    Pins(store).add(ONE.cid)
    Pins(store).add(TWO.cid)
    shelf = Shelf(store, told.append)
    shelf.look()
    assert held(shelf) in (set(ONE_BLOCKS), set(TWO_BLOCKS))
    assert len(told) == 1
    assert "There is no room to offer baf" in told[0]


def test_a_look_that_is_given_up_changes_nothing(tmp_path: Path) -> None:
    store = stocked(tmp_path)
    Pins(store).add(ONE.cid)

    def give_up() -> None:
        raise KeyboardInterrupt

    shelf = Shelf(store)
    with pytest.raises(KeyboardInterrupt):
        shelf.look(give_up)
    assert held(shelf) == set()
    shelf.look()
    assert held(shelf) == set(ONE_BLOCKS)


# How it is written.


def written(store: BlockStore, root: Cid, piece: int = 1) -> list[bytes]:
    writer = CarWriter(store, root, blocks_of(Address(root), ALL))
    return [*iter(lambda: writer.more(piece), b"")]


@pytest.mark.parametrize("piece", [1, 300_000, 1 << 30])
def test_a_car_is_written_in_pieces_and_read_back(tmp_path: Path, piece: int) -> None:
    pieces = written(stocked(tmp_path), ONE.cid, piece)
    reader = CarReader()
    found = [each for data in pieces for each in reader.feed(data)]
    reader.finish()
    assert dict(found) == ONE_BLOCKS
    assert reader.roots == (ONE.cid,)
    assert len(found) == len(ONE_BLOCKS)
    assert len(pieces) == {1: 1 + len(ONE_BLOCKS), 300_000: 2, 1 << 30: 1}[piece]


def test_what_carries_itself_in_its_name_is_not_written(tmp_path: Path) -> None:
    inline = Cid(1, RAW, IDENTITY, b"inside")
    block = encode_block(encode_file(12, [6, 6]), [Link("", inline, 0)] * 2)
    root, store = cid_of(DAG_PB, block), BlockStore(tmp_path)
    store.keep([(root, block)])
    reader = CarReader()
    assert [*reader.feed(b"".join(written(store, root)))] == [(root, block)]


def test_one_block_under_two_names_is_written_once(tmp_path: Path) -> None:
    leaf = cid_of(RAW, b"same")
    twin = Cid(1, 0x0129, leaf.hash, leaf.digest)  # dag-json
    block = encode_block(encode_file(8, [4, 4]), [Link("", leaf, 0), Link("", twin, 0)])
    root, store = cid_of(DAG_PB, block), BlockStore(tmp_path)
    store.keep([(root, block), (leaf, b"same")])
    reader = CarReader()
    assert [*reader.feed(b"".join(written(store, root)))] == [(root, block), (leaf, b"same")]


def test_a_missing_or_damaged_block_ends_it_without_a_wrong_byte(tmp_path: Path) -> None:
    store = stocked(tmp_path)
    leaf = next(cid for cid in ONE_BLOCKS if cid.codec == RAW)
    store.remove([leaf.key])
    with pytest.raises(Unavailable, match="is not here"):
        written(store, ONE.cid)
    (path,) = (tmp_path / "blocks").glob(f"*/{TWO.cid.key.hex()}")
    path.write_bytes(b"damaged")
    with pytest.raises(Damaged):
        written(store, TWO.cid)


def test_writing_can_be_given_up(tmp_path: Path) -> None:
    def give_up() -> None:
        raise KeyboardInterrupt

    writer = CarWriter(stocked(tmp_path), ONE.cid, blocks_of(Address(ONE.cid), ALL))
    with pytest.raises(KeyboardInterrupt):
        writer.more(1 << 30, give_up)
