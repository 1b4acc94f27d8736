"""The manifest of a snapshot: what it consists of, by digests; words.

In:  sections of a stopped program; bytes of a file (untrusted). Out: the other, exactly: whatever is accepted is
encoded to the same bytes again. Its SHA-256 is the snapshot's id, and covers everything: manifest -> index blocks ->
chunks.

    offset  size
    0       8     magic "GBSNAPM1"
    8       4     a: length of what describes it      12  4  s: number of sections
    16      32    SHA-256 of the program
    48      a     CBOR map (savedwords.about_untrusted)
    ...           s sections: u8 n, u8 form, n bytes of name, u64 length, and
                  form 0: the bytes themselves        form 1: SHA-256 of each index block

An index block is the SHA-256 of each of up to 256 chunks of 65,536 bytes (the last may be shorter). A digest of zeros
stands for zeros, of a chunk and of a block. The first two sections are "memory" and "state".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from struct import Struct
from struct import error as StructError  # noqa: N812  # an exception in an except clause
from typing import TYPE_CHECKING

from gatebus.snapshots.savedwords import BadSnapshot, about_bytes, about_untrusted
from gatebus.snapshots.snapshotbounds import (
    CHUNK,
    INLINE_MAX,
    MANIFEST_MAX,
    MEMORY_MAX,
    NAME_MAX,
    PART_MAX,
    SECTIONS_MAX,
    SPREAD,
)
from sandbox.limits import STATE_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

MAGIC = b"GBSNAPM1"
DIGEST = 32
ZEROS = bytes(DIGEST)
MEMORY, STATE = "memory", "state"
_HEAD = Struct("<8sII32s")
_SECTION = Struct("<BB")
_LENGTH = Struct("<Q")
_INLINE, _CHUNKED = 0, 1


@dataclass(frozen=True, slots=True)
class Section:
    """`blocks`: digests of the index blocks, joined; None: the bytes are in `inline`."""

    name: str
    length: int
    blocks: bytes | None = None
    inline: bytes = b""


@dataclass(frozen=True, slots=True)
class Manifest:
    """`about` is CBOR, as it stands in the file; `told` what it says, if it was read."""

    module: str
    about: bytes
    sections: tuple[Section, ...]
    told: Mapping[str, object] | None = field(default=None, repr=False, compare=False)

    def described(self) -> Mapping[str, object]:
        return self.told if self.told is not None else about_untrusted(self.about)

    @property
    def lengths(self) -> tuple[tuple[str, int], ...]:
        """(name, bytes) of each section: the memory, the state, the parts."""
        return tuple((each.name, each.length) for each in self.sections)


def chunks_in(length: int) -> int:
    return -(-length // CHUNK)


def blocks_in(length: int) -> int:
    return -(-chunks_in(length) // SPREAD)


def block_size(length: int, number: int) -> int:
    """Bytes of the index block of this number."""
    return min(SPREAD, chunks_in(length) - number * SPREAD) * DIGEST


def chunk_size(length: int, number: int) -> int:
    return min(CHUNK, length - number * CHUNK)


def encode(manifest: Manifest) -> bytes:
    """What describes it is of about_bytes. Raises BadSnapshot when it is too large."""
    parts = [_HEAD.pack(MAGIC, len(manifest.about), len(manifest.sections), bytes.fromhex(manifest.module))]
    parts.append(manifest.about)
    for each in manifest.sections:
        name = each.name.encode()
        if len(name) > NAME_MAX:
            raise BadSnapshot(f"The name of a part has at most {NAME_MAX} bytes.")
        parts += [_SECTION.pack(len(name), _INLINE if each.blocks is None else _CHUNKED), name]
        parts += [_LENGTH.pack(each.length), each.inline if each.blocks is None else each.blocks]
    data = b"".join(parts)
    contents_untrusted(data)  # what cannot be read again is not written
    return data


def retold(data: bytes, about: Mapping[str, object], without: str) -> bytes:
    """The same program, described anew, less one part. Raises BadSnapshot."""
    manifest = decode_untrusted(data)
    kept = tuple(each for each in manifest.sections if each.name != without)
    return encode(Manifest(manifest.module, about_bytes(about), kept))


def decode_untrusted(data: bytes) -> Manifest:
    """Raises BadSnapshot."""
    manifest = contents_untrusted(data)
    return replace(manifest, told=about_untrusted(manifest.about))


def contents_untrusted(data: bytes) -> Manifest:
    """What describes it is read when somebody asks: that takes longer than all the rest. Raises BadSnapshot."""
    if len(data) > MANIFEST_MAX:
        raise BadSnapshot(f"A snapshot's list of contents has at most {MANIFEST_MAX} bytes.")
    try:
        magic, about, count, module = _HEAD.unpack_from(data)
        if magic != MAGIC:
            raise BadSnapshot("This is no snapshot, or one of a newer version of gatebus.")
        at = _HEAD.size + about
        described = data[_HEAD.size : at]
        if len(described) != about or count > SECTIONS_MAX:
            raise _damaged()
        sections = []
        for _ in range(count):
            section, at = _section_untrusted(data, at)
            sections.append(section)
    except (StructError, UnicodeDecodeError):
        raise _damaged() from None
    if at != len(data) or [each.name for each in sections[:2]] != [MEMORY, STATE]:
        raise _damaged()
    _check_untrusted(sections)
    return Manifest(module.hex(), described, tuple(sections))


def _section_untrusted(data: bytes, at: int) -> tuple[Section, int]:
    size, form = _SECTION.unpack_from(data, at)
    start = at + _SECTION.size
    name = data[start : start + size].decode()
    (length,) = _LENGTH.unpack_from(data, start + size)
    begin = start + size + _LENGTH.size
    if form not in (_INLINE, _CHUNKED) or (form == _INLINE and length > INLINE_MAX):
        raise _damaged()
    end = begin + (length if form == _INLINE else blocks_in(length) * DIGEST)
    if end > len(data):
        raise _damaged()
    content = data[begin:end]
    return (Section(name, length, None, content) if form == _INLINE else Section(name, length, content)), end


def _check_untrusted(sections: list[Section]) -> None:
    """Each has one form only, by its length, so that equal content has equal manifests."""
    for number, each in enumerate(sections):
        most = (MEMORY_MAX, STATE_MAX)[number] if number < 2 else PART_MAX
        if each.length > most:
            raise BadSnapshot("A part of the snapshot is larger than it may be.")
        if (each.blocks is None) != is_inline(each.name, each.length):
            raise _damaged()


def is_inline(name: str, length: int) -> bool:
    return name != MEMORY and length <= INLINE_MAX


def _damaged() -> BadSnapshot:
    return BadSnapshot("The snapshot is damaged: its parts do not fit together.")
