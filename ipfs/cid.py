"""Content identifiers; words.

In:  text that a person typed or a block held, bytes out of blocks and CAR files (untrusted). Out: Cid, frozen; its
text and bytes. BadName for text, Malformed for bytes.

The bases are the library's; what is put together from them is a value of our own, because the
library's has a table lookup for every comparison and refuses codecs that are only passed on.
"""

import hashlib
from dataclasses import dataclass

from multiformats import multibase

from ipfs import uvarint
from ipfs.caps import CID_TEXT_MAX, IDENTITY_MAX
from ipfs.troubles import BadName, Malformed, Unsupported, Unverified

RAW, DAG_PB, DAG_CBOR = 0x55, 0x70, 0x71
IDENTITY, SHA2_256, SHA2_512, BLAKE2B_256 = 0x00, 0x12, 0x13, 0xB220
# Hashes that a CID is trusted with: strong ones only. SHA-1 and shortened ones are left out on purpose.
DIGEST_SIZES = {SHA2_256: 32, SHA2_512: 64, BLAKE2B_256: 32}

_V0_SIZE, _V0_LETTERS = 34, 46


@dataclass(frozen=True, slots=True)
class Cid:
    version: int
    codec: int
    hash: int
    digest: bytes

    @property
    def key(self) -> bytes:
        """The multihash: what the bytes are, without how to read them. Blocks are kept under it."""
        return uvarint.encode(self.hash) + uvarint.encode(len(self.digest)) + self.digest

    def __bytes__(self) -> bytes:
        return self.key if self.version == 0 else uvarint.encode(1) + uvarint.encode(self.codec) + self.key

    def __str__(self) -> str:
        if self.version == 0:
            return multibase.encode(self.key, "base58btc")[1:]
        return multibase.encode(bytes(self), "base32")

    @property
    def inline(self) -> bytes | None:
        """The block itself, if the CID carries it."""
        return self.digest if self.hash == IDENTITY else None


def cid_of(codec: int, block: bytes, version: int = 1) -> Cid:
    return Cid(version, codec, SHA2_256, hashlib.sha256(block).digest())


def parse_cid_untrusted(text: str | bytes) -> Cid:
    """Of text. Raises BadName."""
    name = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    if not name or len(name) > CID_TEXT_MAX or not name.isascii():
        raise BadName("It is no CID. A CID looks like bafybei... or Qm...")
    try:
        v0 = len(name) == _V0_LETTERS and name.startswith("Qm")
        data = multibase.decode("z" + name if v0 else name)
        cid, size = decode_cid_untrusted(data)
    except (Malformed, ValueError, KeyError):
        raise BadName("It is no CID, or one that was cut short or mistyped.") from None
    if size != len(data) or (cid.version == 0) != v0:
        raise BadName("It is no CID: something is too much.")
    return cid


def decode_cid_untrusted(data: bytes) -> tuple[Cid, int]:
    """(CID, bytes it takes) at the start of `data`. Raises Malformed."""
    view = memoryview(data)
    if bytes(view[:2]) == b"\x12\x20":  # version 0: a bare SHA2-256
        if len(view) < _V0_SIZE:
            raise Malformed("A CID is cut short.")
        return Cid(0, DAG_PB, SHA2_256, bytes(view[2:_V0_SIZE])), _V0_SIZE
    version, at = _number(view, 0)
    if version != 1:
        raise Malformed(f"A CID has version {version}; there are 0 and 1.")
    codec, at = _number(view, at)
    name, at = _number(view, at)
    size, at = _number(view, at)
    if size > max(IDENTITY_MAX, *DIGEST_SIZES.values()):
        raise Malformed(f"A CID has a hash of {size} bytes.")
    if name in DIGEST_SIZES and size != DIGEST_SIZES[name]:
        raise Malformed("A CID has a shortened or lengthened hash.")
    if len(view) < at + size:
        raise Malformed("A CID is cut short.")
    return Cid(1, codec, name, bytes(view[at : at + size])), at + size


def _number(view: memoryview, at: int) -> tuple[int, int]:
    try:
        return uvarint.decode_untrusted(view, at)
    except ValueError:
        raise Malformed("A number in a CID is cut short or too long.") from None


def verify_untrusted(cid: Cid, block: bytes) -> None:
    """Raises Unverified, Unsupported. Every byte from outside passes here before anything else looks at it."""
    if cid.hash == IDENTITY:
        right = block == cid.digest
    elif cid.hash in DIGEST_SIZES:
        right = _digest(cid.hash, block) == cid.digest
    else:
        raise Unsupported(f"The CID uses hash 0x{cid.hash:x}; SHA2-256, SHA2-512, BLAKE2b-256 and identity are read.")
    if not right:
        raise Unverified("The bytes are not what the CID says.")


def _digest(name: int, block: bytes) -> bytes:
    if name == SHA2_256:
        return hashlib.sha256(block).digest()
    if name == SHA2_512:
        return hashlib.sha512(block).digest()
    return hashlib.blake2b(block, digest_size=32).digest()
