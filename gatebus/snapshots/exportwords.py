"""A snapshot as one file, for another host or another day; words.

In:  chunks of a store, and a program; a file's bytes, piece by piece (untrusted: it may come from anyone). Out: the
other. Nothing is believed before its digest is right, nothing is unpacked, and no more is held than one chunk, the
program and the names of the chunks.

    offset  size
    0       8     magic "GBSNAPF1"
    8       4     m: length of the manifest           12  4  zero
    16      8     p: length of the program            24  8  d: bytes of all that follows the program
    32      32    SHA-256 of the manifest: the snapshot's id
    64      32    public key of the host              96  64 its signature of "gatebus.v1 snapshot\\0" and the id
    160     32    SHA-256 of the bytes before
    192     m     manifest (manifestwords.py)
    ...     p     the program, whose SHA-256 the manifest has
    ...     d     of each section that is in chunks: its index blocks, then its chunks; each as it is, each once, zeros
                  left out

Key and signature are zeros where nobody signed.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from struct import error as StructError  # noqa: N812  # an exception in an except clause
from typing import TYPE_CHECKING, NamedTuple

from gatebus.protocol.proofs import verify
from gatebus.snapshots.chunking import Digests, Sink, digests_from
from gatebus.snapshots.manifestwords import DIGEST, ZEROS, Manifest, Section, block_size, chunk_size, decode_untrusted
from gatebus.snapshots.packwords import UNSIGNED, statement
from gatebus.snapshots.savedwords import BadSnapshot
from gatebus.snapshots.snapshotbounds import MANIFEST_MAX, MEMORY_MAX, PROGRAM_MAX
from sandbox.limits import STATE_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from gatebus.snapshots.chunking import Chunks

MAGIC = b"GBSNAPF1"
_HEAD = Struct("<8sIIQQ32s32s64s")
HEAD_SIZE = _HEAD.size + DIGEST
_DATA_MAX = 2 * (MEMORY_MAX + STATE_MAX)


class FileHead(NamedTuple):
    manifest: int
    program: int
    data: int
    id: bytes
    key: bytes
    signature: bytes

    @property
    def size(self) -> int:
        """Of the whole file."""
        return HEAD_SIZE + self.manifest + self.program + self.data


class Imported(NamedTuple):
    """`key`: of the host whose signature is right; None: nobody signed."""

    id: bytes
    manifest: bytes
    program: bytes
    key: bytes | None
    size: int
    """Of everything that is meant."""


def file_pieces(manifest: bytes, program: bytes, signed: tuple[bytes, bytes], chunks: Chunks) -> Iterator[bytes]:
    """The whole file, a chunk at a time. Raises BadSnapshot."""
    contents = decode_untrusted(manifest)
    wanted = _wanted(contents, chunks)
    name = sha256(manifest).digest()
    head = _HEAD.pack(MAGIC, len(manifest), 0, len(program), sum(wanted.values()), name, *signed)
    yield head + sha256(head).digest()
    yield manifest
    yield program
    for digest in wanted:
        yield chunks.read(digest)


def digests_of_file(manifest: bytes, chunks: Chunks) -> Iterator[bytes]:
    """Everything that such a file holds behind its program, in its order. Raises BadSnapshot."""
    yield from _wanted(decode_untrusted(manifest), chunks)


def _wanted(manifest: Manifest, chunks: Chunks) -> dict[bytes, int]:
    """Digest -> length of everything that the file holds, in its order."""
    wanted: dict[bytes, int] = {}
    for section in manifest.sections:
        if section.blocks is not None:
            for digest, size in _blocks(section):
                wanted.setdefault(digest, size)
            for digest, size in _chunks(digests_from(section, chunks)):
                wanted.setdefault(digest, size)
    return wanted


def _blocks(section: Section) -> Iterator[tuple[bytes, int]]:
    assert section.blocks is not None
    for number in range(len(section.blocks) // DIGEST):
        digest = section.blocks[number * DIGEST : (number + 1) * DIGEST]
        if digest != ZEROS:
            yield digest, block_size(section.length, number)


def _chunks(digests: Digests) -> Iterator[tuple[bytes, int]]:
    for number, digest in digests.meant():
        yield digest, chunk_size(digests.length, number)


def head_untrusted(data: bytes) -> FileHead:
    """Raises BadSnapshot."""
    try:
        magic, manifest, zero, program, length, name, key, signature = _HEAD.unpack_from(data)
    except StructError:
        raise _no_snapshot() from None
    if magic != MAGIC:
        raise _no_snapshot()
    if data[_HEAD.size :] != sha256(data[: _HEAD.size]).digest() or zero:
        raise _damaged()
    if manifest > MANIFEST_MAX or program > PROGRAM_MAX or length > _DATA_MAX:
        raise BadSnapshot("The file says that it is larger than a snapshot may be.")
    return FileHead(manifest, program, length, name, key, signature)


def signer_untrusted(head: FileHead) -> bytes | None:
    """The key whose signature is right; None: nobody signed. Raises BadSnapshot for a wrong one."""
    if (head.key, head.signature) == UNSIGNED:
        return None
    if not verify(head.key, head.signature, statement(head.id)):
        raise BadSnapshot("The signature of the snapshot is wrong. Whoever gave you this file changed it.")
    return head.key


class _Held:
    """Chunks that have come: names and lengths. Index blocks are kept: two sections may have the same."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.lengths: dict[bytes, int] = {}
        self.blocks: dict[bytes, bytes] = {}
        self.bytes = 0

    def read(self, digest: bytes) -> bytes:
        return self.blocks[digest]


def no_check(_manifest: Manifest) -> None:
    """Whatever has the form of a snapshot is one."""


def take_file_untrusted(
    head: FileHead, sink: Sink, check: Callable[[Manifest], None] = no_check
) -> Generator[int, bytes, Imported]:
    """What follows the header: yields how many bytes it wants and is sent exactly those; chunks go into the sink.
    Raises BadSnapshot, and whatever the sink and `check` raise.
    """
    key = signer_untrusted(head)
    data = yield head.manifest
    if sha256(data).digest() != head.id:
        raise _damaged()
    manifest = decode_untrusted(data)
    check(manifest)
    program = yield head.program
    if sha256(program).hexdigest() != manifest.module:
        raise BadSnapshot("The program in the file is not the one that the snapshot is of.")
    held, size = _Held(sink), 0
    for section in manifest.sections:
        if section.blocks is None:
            size += section.length
        else:
            size += yield from _take_section_untrusted(section, held)
    if held.bytes != head.data:
        raise _damaged()
    return Imported(head.id, data, program, key, size)


def _take_section_untrusted(section: Section, held: _Held) -> Generator[int, bytes, int]:
    """How many of its bytes are meant."""
    for digest, size in _blocks(section):
        block = yield from _take_untrusted(digest, size, held)
        held.blocks[digest] = block
    digests = digests_from(section, held)
    for digest, size in _chunks(digests):
        yield from _take_untrusted(digest, size, held)
    return digests.size()


def _take_untrusted(digest: bytes, size: int, held: _Held) -> Generator[int, bytes, bytes]:
    """One chunk. Of one that came before nothing is there to read again, unless it is an index block."""
    there = held.lengths.get(digest)
    if there is not None:
        if there != size:
            raise _damaged()
        return held.blocks.get(digest, b"")
    data = yield size
    if sha256(data).digest() != digest:
        raise _damaged()
    held.lengths[digest] = size
    held.bytes += size
    if digest not in held.sink:
        held.sink.add(digest, data)
    return data


def _no_snapshot() -> BadSnapshot:
    return BadSnapshot("This is no snapshot, or one of a newer version of gatebus.")


def _damaged() -> BadSnapshot:
    return BadSnapshot("The file is damaged: its parts do not fit together. Copy it again.")
