"""Snapshots as blocks of IPFS: a pin of the root keeps all of it, the next one shares, and wrong blocks are refused."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import dag_cbor
import pytest
from snapshothelpers import HOST, memory_of, noise
from test_snapshot_format import Held, manifest, taken

from gatebus.snapshots.contentblocks import check_root_untrusted, from_blocks_untrusted, to_blocks
from gatebus.snapshots.packwords import UNSIGNED, statement
from gatebus.snapshots.savedwords import BadSnapshot
from ipfs.blockstore import BlockStore
from ipfs.cid import Cid, cid_of
from ipfs.pins import below

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = b"\0asm\1\0\0\0"  # the one of the manifests


def blocks_of(held: Held, data: bytes, signed: tuple[bytes, bytes] = UNSIGNED) -> dict[Cid, bytes]:
    return dict(to_blocks(data, PROGRAM, signed, held))


def root_of(blocks: dict[Cid, bytes]) -> Cid:
    return [*blocks][-1]


def test_a_snapshot_comes_back_from_its_blocks() -> None:
    held = Held()
    data = manifest(held, memory_of(300, 0, 5, 299), noise(100_000), unsent=b"unsent")
    signed = bytes(HOST.verify_key), HOST.sign(statement(sha256(data).digest())).signature
    blocks = blocks_of(held, data, signed)
    found, again = taken(b"".join(from_blocks_untrusted(root_of(blocks), blocks.__getitem__)))
    assert (found.manifest, found.program, found.key) == (data, PROGRAM, signed[0])
    assert again == held


def test_the_next_snapshot_shares_the_blocks_of_what_did_not_change() -> None:
    held, memory = Held(), memory_of(40, *range(20))
    first = blocks_of(held, manifest(held, memory))
    memory.content[0] ^= 1
    second = blocks_of(held, manifest(held, memory))
    assert len(second.keys() - first.keys()) == 5, "a chunk, its index block, the manifest, the list, the root"


def test_a_pin_of_the_root_keeps_every_block(tmp_path: Path) -> None:
    held = Held()
    blocks = blocks_of(held, manifest(held, memory_of(40, *range(20))))
    store = BlockStore(tmp_path)
    store.put(blocks.items())
    assert below(store, root_of(blocks), lambda: None) == {cid.key for cid in blocks}


def test_a_wrong_block_is_refused_wherever_it_is() -> None:
    held = Held()
    blocks = blocks_of(held, manifest(held, memory_of(4, 1, 2)))
    for wrong in blocks:
        changed = {**blocks, wrong: blocks[wrong][:-1] + bytes([blocks[wrong][-1] ^ 1])}
        with pytest.raises(BadSnapshot, match="not the one that its name says"):
            b"".join(from_blocks_untrusted(root_of(blocks), changed.__getitem__))


def with_root(blocks: dict[Cid, bytes], **other: object) -> tuple[Cid, dict[Cid, bytes]]:
    """The same blocks under a root of a stranger's."""
    data = dag_cbor.encode({**dag_cbor.decode(blocks[root_of(blocks)]), **other})  # type: ignore[dict-item]
    root = cid_of(0x71, data)
    return root, {**blocks, root: data}


def test_a_root_that_does_not_link_its_chunks_cannot_name_what_lies_in_the_store() -> None:
    held = Held()
    root, blocks = with_root(blocks_of(held, manifest(held, memory_of(4, 1, 2))), chunks=[])
    with pytest.raises(BadSnapshot, match="incomplete"):
        b"".join(from_blocks_untrusted(root, blocks.__getitem__))


@pytest.mark.parametrize("version", [True, 1.0, 2, "1", None])
def test_a_root_of_another_version_is_refused_before_anything_is_fetched(version: object) -> None:
    held = Held()
    root, blocks = with_root(blocks_of(held, manifest(held, memory_of(4, 1, 2))), gatebus=version)
    with pytest.raises(BadSnapshot, match="This content is no snapshot"):
        check_root_untrusted(root, blocks[root])


def test_a_root_is_known_by_itself() -> None:
    held = Held()
    blocks = blocks_of(held, manifest(held, memory_of(4, 1, 2)))
    check_root_untrusted(root_of(blocks), blocks[root_of(blocks)])


@pytest.mark.parametrize("data", [b"", b"\xa0", b"\x80", b"\xff", b"\xa1gatebus"])
def test_content_that_is_no_snapshot_is_refused(data: bytes) -> None:
    root = cid_of(0x71, data)
    with pytest.raises(BadSnapshot, match="This content is no snapshot"):
        next(from_blocks_untrusted(root, {root: data}.__getitem__))
