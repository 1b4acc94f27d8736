"""Words: one entry of the disk cache as bytes.

In:  a compiled image with its facts, or a file's bytes (untrusted until the checksum is right). Out: the other.

    offset  size
    0       8     magic, which names the format's version
    8       32    key: sha256 of program, form, engine and processor (image.py), so that a renamed file is noticed
    40      32    sha256 of everything from offset 72 on
    72      4     length of the facts
    76      ...   facts (JSON, as the compile worker wrote them)
    ...     ...   image
"""

from __future__ import annotations

import struct
from hashlib import sha256
from struct import Struct

from sandbox.image import FACTS_MAX

MAGIC = b"gbimage1"
_HEAD = Struct("<8s32s32s")
_LENGTH = Struct("<I")
HEAD_SIZE = _HEAD.size + _LENGTH.size


class DamagedEntry(Exception):
    """The file is not what was written. It is removed, and the program is compiled again."""


def encode_entry(key: str, facts: bytes, image: bytes) -> tuple[bytes, bytes]:
    """(head with facts, image): in two parts, so that a large image is not copied."""
    start = _LENGTH.pack(len(facts)) + facts
    digest = sha256(start)
    digest.update(image)
    return _HEAD.pack(MAGIC, bytes.fromhex(key), digest.digest()) + start, image


def decode_entry_untrusted(data: bytes, key: str) -> tuple[bytes, bytes]:
    """(facts, image). Raises DamagedEntry."""
    try:
        magic, found_key, digest = _HEAD.unpack_from(data)
        (length,) = _LENGTH.unpack_from(data, _HEAD.size)
    except struct.error:
        raise DamagedEntry("cut short") from None
    if magic != MAGIC or found_key != bytes.fromhex(key):
        raise DamagedEntry("another file")
    view = memoryview(data)
    if sha256(view[_HEAD.size :]).digest() != digest:
        raise DamagedEntry("wrong checksum")
    end = HEAD_SIZE + length
    if length > FACTS_MAX or end >= len(data):
        raise DamagedEntry("wrong lengths")
    return bytes(view[HEAD_SIZE:end]), bytes(view[end:])
