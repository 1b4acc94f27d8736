"""The store on disk: whole blocks or none, no damaged byte returned, and nothing deleted on doubt."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest
from ipfsdata import imported, vector

from ipfs import blockstore
from ipfs.blockstore import BlockStore, Contents
from ipfs.caps import BLOCK_MAX
from ipfs.cid import DAG_PB, IDENTITY, RAW, Cid, cid_of
from ipfs.importer import Profile
from ipfs.pins import Pins, collect
from ipfs.troubles import Damaged, NoEntry, StoreFailed, TooLarge, Unverified

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = b"a block"
CID = cid_of(RAW, BLOCK)
PROFILE = Profile(1, raw_leaves=True, chunk=10, width=3)


def entries(store: BlockStore) -> list[Path]:
    return [path for path in (store.folder / "blocks").glob("*/*") if path.is_file()]


def test_a_block_that_was_put_is_there_for_the_next_process(tmp_path: Path) -> None:
    BlockStore(tmp_path).put([(CID, BLOCK)])
    store = BlockStore(tmp_path)
    assert store.get(CID) == BLOCK
    assert store.has(CID)
    assert store.contents() == Contents(1, len(BLOCK))


def test_a_block_is_kept_once_under_all_its_names(tmp_path: Path) -> None:
    store = BlockStore(tmp_path)
    store.put([(CID, BLOCK), (Cid(1, 0x71, CID.hash, CID.digest), BLOCK)])
    assert len(entries(store)) == 1


def test_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert BlockStore(tmp_path).get(CID) is None
    assert not BlockStore(tmp_path).has(CID)


def test_identity_blocks_are_there_without_being_kept(tmp_path: Path) -> None:
    cid, store = Cid(1, RAW, IDENTITY, b"in"), BlockStore(tmp_path)
    store.put([(cid, b"in")])
    assert store.get(cid) == b"in"
    assert entries(store) == []


def test_a_wrong_block_is_never_written(tmp_path: Path) -> None:
    store = BlockStore(tmp_path)
    with pytest.raises(Unverified):
        store.put([(CID, b"another")])
    with pytest.raises(TooLarge):
        store.put([(cid_of(RAW, bytes(BLOCK_MAX + 1)), bytes(BLOCK_MAX + 1))])
    assert entries(store) == []


def test_every_flipped_bit_of_an_entry_is_noticed_and_the_entry_stays(tmp_path: Path) -> None:
    store = BlockStore(tmp_path)
    other = cid_of(RAW, b"other")
    store.put([(CID, BLOCK), (other, b"other")])
    (entry,) = (path for path in entries(store) if path.name == CID.key.hex())
    for at in range(len(BLOCK) * 8):
        changed = bytearray(BLOCK)
        changed[at // 8] ^= 1 << at % 8
        entry.write_bytes(changed)
        with pytest.raises(Damaged, match=f"The stored block {CID} is damaged. It was left as it is"):
            store.get(CID)
        assert entry.read_bytes() == changed
    assert store.get(other) == b"other"


def overwrite(path: Path, at: int, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    os.pwrite(descriptor, data, at)
    os.close(descriptor)


def test_of_ten_thousand_flipped_bits_none_gives_a_wrong_block_or_loses_another(tmp_path: Path) -> None:
    """T24: in any entry of a store with pins; whatever is wrong is refused, told and left, and nothing is removed."""
    root, blocks = imported(vector(9_000), Profile(1, raw_leaves=True, chunk=700, width=4))
    store = BlockStore(tmp_path)
    store.put(blocks.items())
    Pins(store).add(root.cid)
    dice, there = random.Random(24), entries(store)
    found = {path: cid for path in there for cid in blocks if cid.key.hex() == path.name}
    assert len(found) == len(there) == len(blocks)
    for number in range(10_000):
        path = dice.choice(there)
        right = blocks[found[path]]
        at = dice.randrange(len(right))
        wrong = bytes([right[at] ^ 1 << dice.randrange(8)])
        overwrite(path, at, wrong)
        with pytest.raises(Damaged, match="It was left as it is"):
            store.get(found[path])
        if number % 500 == 0:
            with pytest.raises(Damaged):
                collect(store, Pins(store))
            assert all(store.get(cid) == blocks[cid] for each, cid in found.items() if each != path)
            assert path.read_bytes() == right[:at] + wrong + right[at + 1 :]
        overwrite(path, at, right[at : at + 1])
    assert collect(store, Pins(store)) == Contents(0, 0)


def test_a_flipped_bit_in_the_name_of_an_entry_or_a_pin_loses_nothing_else(tmp_path: Path) -> None:
    store, other = BlockStore(tmp_path), cid_of(RAW, b"other")
    store.put([(CID, BLOCK), (other, b"other")])
    pins = Pins(store)
    pins.add(CID)
    (entry,) = (path for path in entries(store) if path.name == CID.key.hex())
    wrong = entry.with_name(entry.name[:-1] + ("0" if entry.name[-1] != "0" else "1"))
    entry.rename(wrong)
    with pytest.raises(Damaged, match="is missing"):
        collect(store, pins)
    wrong.rename(entry)
    pin = next((tmp_path / "pins").iterdir())
    for name in (pin.name[:-1] + "!", pin.name[:-1]):
        pin.rename(pin.with_name(name))
        with pytest.raises(Damaged):
            collect(store, pins)
        pin.with_name(name).rename(pin)
    assert store.get(CID) == BLOCK
    assert store.get(other) == b"other"


@pytest.mark.parametrize("damage", [b"", BLOCK[:-1], BLOCK + b"\0"])
def test_an_entry_that_is_cut_or_lengthened_is_noticed_and_repaired_by_the_right_block(
    tmp_path: Path, damage: bytes
) -> None:
    store = BlockStore(tmp_path)
    store.put([(CID, BLOCK)])
    entries(store)[0].write_bytes(damage)
    with pytest.raises(Damaged):
        store.get(CID)
    store.put([(CID, BLOCK)])
    assert store.get(CID) == BLOCK


def test_an_entry_under_another_name_is_damaged(tmp_path: Path) -> None:
    store, other = BlockStore(tmp_path), cid_of(RAW, b"other")
    store.put([(CID, BLOCK), (other, b"other")])
    first, second = (store.folder / "blocks" / f"{cid.key[-1]:02x}" / cid.key.hex() for cid in (CID, other))
    second.write_bytes(first.read_bytes())
    with pytest.raises(Damaged):
        store.get(other)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlockStore(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blockstore.Path, "replace", full)
    with pytest.raises(StoreFailed, match=r"^The block store cannot be used: no space left on device\.$"):
        store.put([(CID, BLOCK)])
    assert entries(store) == []
    assert list((tmp_path / "blocks").glob("*/*")) == []


def test_a_disk_that_does_not_take_what_was_promised_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlockStore(tmp_path)

    def broken(_folder: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(blockstore, "_sync_file_system", broken)
    store.keep([(CID, BLOCK)])
    for promise in (store.settle, lambda: store.put([(CID, BLOCK)]), lambda: Pins(store).add(CID)):
        with pytest.raises(StoreFailed, match=r"^The block store cannot be used: input/output error\.$"):
            promise()
    assert Pins(store).all() == []


def test_what_is_put_is_settled_once_for_all_of_it_and_what_is_only_kept_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, settled = BlockStore(tmp_path), list[int]()
    monkeypatch.setattr(blockstore, "_sync_file_system", lambda _folder: settled.append(len(entries(store))))
    blocks = [(cid_of(RAW, b"%d" % number), b"%d" % number) for number in range(100)]
    store.keep(blocks[:50])
    assert (len(entries(store)), settled) == (50, [])
    store.put(blocks)
    assert settled == [100]


def test_what_is_pinned_is_on_the_disk_before_its_pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlockStore(tmp_path)
    pins, settled = Pins(store), list[object]()
    store.keep([(CID, BLOCK)])
    monkeypatch.setattr(blockstore, "_sync_file_system", lambda _folder: settled.append(pins.all()))
    pins.add(CID)
    assert (settled, pins.all()) == ([[]], [CID])


@pytest.mark.parametrize("has_call", [True, False])
def test_the_file_system_can_be_asked_with_and_without_linux(
    has_call: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(blockstore.os, "sync", lambda: calls.append("sync"))
    if not has_call:
        monkeypatch.setattr(blockstore.ctypes, "CDLL", lambda *_args, **_more: object())
    store = BlockStore(tmp_path)
    store.put([(CID, BLOCK)])
    assert store.get(CID) == BLOCK
    if not has_call:
        assert calls == ["sync"]


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(StoreFailed, match="may be written by others"):
        BlockStore(tmp_path)


def test_a_store_where_a_file_is_has_an_answer_without_a_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreFailed) as refused:
        BlockStore(tmp_path / "file")
    assert "/" not in refused.value.text


def pinned(folder: Path) -> tuple[BlockStore, Pins, Cid]:
    store = BlockStore(folder)
    root, blocks = imported(vector(100), PROFILE)
    store.put([*blocks.items(), (CID, BLOCK)])
    pins = Pins(store)
    pins.add(root.cid)
    return store, pins, root.cid


def test_garbage_collection_keeps_what_pins_lead_to_and_nothing_else(tmp_path: Path) -> None:
    store, pins, root = pinned(tmp_path)
    before = store.contents()
    assert collect(store, pins) == Contents(1, len(BLOCK))
    assert store.get(CID) is None
    assert store.contents() == Contents(before.blocks - 1, before.bytes - len(BLOCK))
    pins.remove(root)
    assert collect(store, pins) == Contents(before.blocks - 1, before.bytes - len(BLOCK))
    assert store.contents() == Contents(0, 0)


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_nothing_is_removed_while_something_pinned_is_not_whole(tmp_path: Path, harm: str) -> None:
    store, pins, root = pinned(tmp_path)
    entry = store.folder / "blocks" / f"{root.key[-1]:02x}" / root.key.hex()
    entry.unlink() if harm == "missing" else entry.write_bytes(b"x")
    left = store.contents()
    with pytest.raises(Damaged, match=harm):
        collect(store, pins)
    assert store.contents() == left


def test_a_file_among_the_pins_that_is_none_stops_garbage_collection(tmp_path: Path) -> None:
    store, pins, _ = pinned(tmp_path)
    (tmp_path / "pins" / "what is this").write_bytes(b"")
    with pytest.raises(Damaged, match=r"something that is none: pins/what is this\. Take it away"):
        collect(store, pins)
    assert store.get(CID) == BLOCK


def test_garbage_collection_waits_for_nobody_and_works_beside_nobody(tmp_path: Path) -> None:
    store, pins, _ = pinned(tmp_path)
    with store.shared(), store.shared(), pytest.raises(StoreFailed, match="Another command uses the block store"):
        collect(store, pins)
    with store.alone(), pytest.raises(StoreFailed, match="being cleaned"), store.shared():
        pass
    assert store.get(CID) == BLOCK


def test_garbage_collection_can_be_given_up(tmp_path: Path) -> None:
    store, pins, _ = pinned(tmp_path)
    left = store.contents()

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(store, pins, stop)
    assert store.contents() == left


def test_old_unfinished_files_are_removed_and_young_ones_left(tmp_path: Path) -> None:
    store, pins, _ = pinned(tmp_path)
    folder = store.folder / "blocks" / "00"
    folder.mkdir(exist_ok=True)
    old, young = folder / "a.unfinished", folder / "b.unfinished"
    old.write_bytes(b"")
    young.write_bytes(b"")
    os.utime(old, (0, 0))
    collect(store, pins)
    assert (old.exists(), young.exists()) == (False, True)


@pytest.mark.parametrize("version", [0, 1])
def test_a_pin_goes_by_either_version_of_its_name_its_own_first(tmp_path: Path, version: int) -> None:
    new = cid_of(DAG_PB, b"block")
    old = Cid(0, DAG_PB, new.hash, new.digest)
    pins, (pinned, other) = Pins(BlockStore(tmp_path)), ((old, new), (new, old))[version]
    pins.add(pinned)
    pins.remove(other)
    assert pins.all() == []
    pins.add(pinned)
    pins.add(other)
    pins.remove(other)
    assert pins.all() == [pinned]
    with pytest.raises(NoEntry):
        pins.remove(Cid(1, RAW, new.hash, new.digest))


def test_what_is_not_pinned_cannot_be_unpinned(tmp_path: Path) -> None:
    pins = Pins(BlockStore(tmp_path))
    with pytest.raises(NoEntry, match="It is not pinned"):
        pins.remove(CID)
    pins.add(CID)
    pins.add(CID)
    assert pins.all() == [CID]
    pins.remove(CID)
    assert pins.all() == []
