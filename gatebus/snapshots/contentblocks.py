"""A snapshot as blocks of IPFS, and back; words.

In:  a manifest, a program and chunks of ours; a root and whatever gives blocks (untrusted). Out: blocks with their
CIDs, the root last; pieces of a file as exportwords has it, which is then read like any other that came from outside.

Each chunk is a raw block under the digest that it has anyway: the next snapshot of an instance shares what did not
change with the one before. The root (dag-cbor) is {gatebus, key, signature, manifest, program, chunks}: the last three
are lists of links, chunks to blocks that are lists of links themselves, so that a pin of the root keeps all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dag_cbor
from multiformats import CID

from gatebus.snapshots.exportwords import digests_of_file, file_pieces
from gatebus.snapshots.savedwords import BadSnapshot
from gatebus.snapshots.snapshotbounds import CHUNK, MANIFEST_MAX, PIECE, PROGRAM_MAX
from ipfs.cborvalues import decode_cbor_untrusted
from ipfs.cid import DAG_CBOR, RAW, SHA2_256, Cid, cid_of, verify_untrusted
from ipfs.troubles import IpfsError, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gatebus.snapshots.chunking import Chunks

Block = tuple[Cid, bytes]
_VERSION = 1
_LINKS = 4_096  # of one list: 160 KiB
_KEY, _SIGNATURE = 32, 64


def to_blocks(manifest: bytes, program: bytes, signed: tuple[bytes, bytes], chunks: Chunks) -> Iterator[Block]:
    """The root comes last. Raises BadSnapshot."""
    digests = list(digests_of_file(manifest, chunks))
    for digest in digests:
        yield _chunk_cid(digest), chunks.read(digest)
    lists = [
        _encoded([_chunk_cid(each) for each in digests[at : at + _LINKS]]) for at in range(0, len(digests), _LINKS)
    ]
    pieces = {"manifest": _raw(manifest), "program": _raw(program)}
    for blocks in (lists, *pieces.values()):
        yield from blocks
    links: dict[str, Any] = {name: [_link(cid) for cid, _ in blocks] for name, blocks in pieces.items()}
    links["chunks"] = [_link(cid) for cid, _ in lists]
    root = dag_cbor.encode({"gatebus": _VERSION, "key": signed[0], "signature": signed[1], **links})
    yield cid_of(DAG_CBOR, root), root


def from_blocks_untrusted(root: Cid, get: Callable[[Cid], bytes]) -> Iterator[bytes]:
    """Pieces of the file that import_untrusted takes. `get` raises what it likes for a block that it has not."""
    found = _root_untrusted(root, get)
    manifest = _joined_untrusted(found["manifest"], get, MANIFEST_MAX)
    program = _joined_untrusted(found["program"], get, PROGRAM_MAX)
    chunks = _Blocks(get, _linked_untrusted(found["chunks"], get))
    yield from file_pieces(manifest, program, (found["key"], found["signature"]), chunks)


def check_root_untrusted(root: Cid, block: bytes) -> None:
    """Whether it is worth to fetch what is below; a large block takes as long as any to decode. Raises BadSnapshot."""
    _root_untrusted(root, lambda _cid: block)


def is_snapshot_untrusted(root: Cid, block: bytes) -> bool:
    try:
        check_root_untrusted(root, block)
    except BadSnapshot:
        return False
    return True


class _Blocks:
    """Only what the root links to: a stranger's manifest must not name what merely lies in somebody's store."""

    def __init__(self, get: Callable[[Cid], bytes], linked: frozenset[bytes]) -> None:
        self._get, self._linked = get, linked

    def read(self, digest: bytes) -> bytes:
        if digest not in self._linked:
            raise BadSnapshot("The content is incomplete: it does not lead to all of the snapshot's chunks.")
        return _verified_untrusted(_chunk_cid(digest), self._get, CHUNK)


def _linked_untrusted(lists: Sequence[Cid], get: Callable[[Cid], bytes]) -> frozenset[bytes]:
    linked: set[bytes] = set()
    for link in lists:
        linked.update(each.digest for each in _links_untrusted(_verified_untrusted(link, get, PIECE)))
    return frozenset(linked)


def _links_untrusted(block: bytes) -> Sequence[Cid]:
    links = _decoded_untrusted(block)
    found = [each for each in links if isinstance(each, Cid)] if isinstance(links, list) else []
    if not isinstance(links, list) or len(found) != len(links):
        raise _no_snapshot()
    return found


def _root_untrusted(root: Cid, get: Callable[[Cid], bytes]) -> dict[str, Any]:
    if root.codec != DAG_CBOR:
        raise _no_snapshot()
    found = _decoded_untrusted(_verified_untrusted(root, get, PIECE))
    if not isinstance(found, dict) or not _is_known(found.get("gatebus")):
        raise _no_snapshot()
    lists = [found.get("manifest"), found.get("program"), found.get("chunks")]
    if not all(isinstance(each, list) and all(isinstance(link, Cid) for link in each) for each in lists):
        raise _no_snapshot()
    key, signature = found.get("key"), found.get("signature")
    if not (
        isinstance(key, bytes) and len(key) == _KEY and isinstance(signature, bytes) and len(signature) == _SIGNATURE
    ):
        raise _no_snapshot()
    return dict(found)


def _decoded_untrusted(block: bytes) -> Any:
    try:
        return decode_cbor_untrusted(block)
    except Malformed:
        raise _no_snapshot() from None


def _is_known(version: object) -> bool:
    return type(version) is int and version == _VERSION


def _joined_untrusted(links: Sequence[Cid], get: Callable[[Cid], bytes], most: int) -> bytes:
    pieces, size = [], 0
    for link in links:
        pieces.append(_verified_untrusted(link, get, PIECE))
        size += len(pieces[-1])
        if size > most:
            raise BadSnapshot("The content is larger than a snapshot may be.")
    return b"".join(pieces)


def _verified_untrusted(cid: Cid, get: Callable[[Cid], bytes], most: int) -> bytes:
    data = get(cid)
    try:
        verify_untrusted(cid, data)
    except IpfsError:
        raise BadSnapshot("A block of the snapshot is not the one that its name says.") from None
    if len(data) > most:
        raise BadSnapshot("A block of the snapshot is larger than it may be.")
    return data


def _raw(data: bytes) -> list[Block]:
    pieces = (data[at : at + PIECE] for at in range(0, len(data), PIECE))
    return [(cid_of(RAW, piece), piece) for piece in pieces]


def _encoded(cids: Sequence[Cid]) -> Block:
    data = dag_cbor.encode([_link(cid) for cid in cids])
    return cid_of(DAG_CBOR, data), data


def _link(cid: Cid) -> CID:
    return CID.decode(bytes(cid))


def _chunk_cid(digest: bytes) -> Cid:
    return Cid(1, RAW, SHA2_256, digest)


def _no_snapshot() -> BadSnapshot:
    return BadSnapshot("This content is no snapshot, or one of a newer version of gatebus.")
