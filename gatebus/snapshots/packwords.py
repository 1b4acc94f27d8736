"""Files of chunks as a store keeps them: header, index, what they say of a snapshot; words.

In:  chunks of a snapshot; bytes of a file of ours (untrusted: disks flip bits). Out: the other; BadSnapshot.

    offset  size
    0       8     magic "GBSNAPP1"
    8       4     e: number of chunks                 12  4  a: length of the account's name
    16      4     m: length of the manifest           20  4  zero
    24      8     d: bytes of all chunks as they lie here
    32      32    SHA-256 of everything behind the chunks
    64      32    public key of the host              96  64 its signature of the snapshot's id, or zeros
    160     d     the chunks, one behind the other
    ...           e x { 32 SHA-256 of the chunk, 32 SHA-256 of it as it lies here, u32 length here, u32 length }
    ...     a     the account's name, UTF-8
    ...     m     the manifest (none: chunks of other snapshots, put together)

A chunk whose lengths are equal lies here as it is; otherwise as one frame of zstd (RFC 8878). The second digest is
looked at before anything is decompressed.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import accumulate
from struct import Struct
from struct import error as StructError  # noqa: N812  # an exception in an except clause
from typing import NamedTuple

from gatebus.snapshots.savedwords import BadSnapshot
from gatebus.snapshots.snapshotbounds import ACCOUNT_MAX, CHUNK, ENTRIES_MAX, MANIFEST_MAX

MAGIC = b"GBSNAPP1"
UNSIGNED = bytes(32), bytes(64)
_HEAD = Struct("<8sIIIIQ32s32s64s")
_ENTRY = Struct("<32s32sII")
HEAD_SIZE = _HEAD.size
ENTRY_SIZE = _ENTRY.size
_SIGNED = b"gatebus.v1 snapshot\0"


class Entry(NamedTuple):
    """One chunk: what it is, what lies here, how long that is, and how long it is."""

    digest: bytes
    stored: bytes
    stored_length: int
    length: int

    @property
    def packed(self) -> bool:
        return self.stored_length != self.length


class PackHead(NamedTuple):
    entries: int
    account: int
    manifest: int
    data: int
    tail: bytes
    key: bytes
    signature: bytes

    @property
    def tail_at(self) -> int:
        return HEAD_SIZE + self.data

    @property
    def size(self) -> int:
        """Of the whole file."""
        return self.tail_at + self.entries * ENTRY_SIZE + self.account + self.manifest


class PackTail(NamedTuple):
    entries: tuple[Entry, ...]
    account: str
    manifest: bytes


def statement(snapshot: bytes) -> bytes:
    """What a host signs."""
    return _SIGNED + snapshot


def encode_tail(tail: PackTail) -> bytes:
    return b"".join((*(_ENTRY.pack(*each) for each in tail.entries), tail.account.encode(), tail.manifest))


def encode_head(tail: PackTail, signed: tuple[bytes, bytes]) -> bytes:
    data = sum(each.stored_length for each in tail.entries)
    lengths = len(tail.entries), len(tail.account.encode()), len(tail.manifest), 0, data
    return _HEAD.pack(MAGIC, *lengths, sha256(encode_tail(tail)).digest(), *signed)


def head_untrusted(data: bytes) -> PackHead:
    """Raises BadSnapshot."""
    try:
        magic, entries, account, manifest, zero, length, tail, key, signature = _HEAD.unpack(data)
    except StructError:
        raise _damaged() from None
    if magic != MAGIC or zero or entries > ENTRIES_MAX or account > ACCOUNT_MAX or manifest > MANIFEST_MAX:
        raise _damaged()
    return PackHead(entries, account, manifest, length, tail, key, signature)


def tail_untrusted(head: PackHead, data: bytes) -> PackTail:
    """Raises BadSnapshot."""
    if len(data) != head.size - head.tail_at or sha256(data).digest() != head.tail:
        raise _damaged()
    end = head.entries * ENTRY_SIZE
    entries = tuple(map(Entry._make, _ENTRY.iter_unpack(memoryview(data)[:end])))
    if sum(each.stored_length for each in entries) != head.data:
        raise _damaged()
    if any(not each.stored_length <= each.length <= CHUNK for each in entries):
        raise _damaged()
    try:
        account = data[end : end + head.account].decode()
    except UnicodeDecodeError:
        raise _damaged() from None
    return PackTail(entries, account, data[end + head.account :])


def places(tail: PackTail) -> dict[bytes, tuple[int, Entry]]:
    """Digest -> (offset in the file, entry)."""
    offsets = accumulate((each.stored_length for each in tail.entries), initial=HEAD_SIZE)
    return {each.digest: (at, each) for at, each in zip(offsets, tail.entries, strict=False)}


def _damaged() -> BadSnapshot:
    return BadSnapshot("A file of stored snapshots is damaged. It was left as it is; `gatebus fsck` names it.")
