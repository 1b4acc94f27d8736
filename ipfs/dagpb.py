"""Blocks of files and directories: dag-pb with a UnixFS message inside; words.

In:  a block whose hash was right, which says nothing about its content (untrusted). Out: Node, frozen; Malformed.
And the other way: a Node's parts become a block.

dag-pb is the library's. UnixFS has no library: six fields, of which a protobuf decoder would not check what is checked
here (no field twice, sizes that fit the links).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ipld_dag_pb.decode import decode_node
from ipld_dag_pb.encode import encode_node
from ipld_dag_pb.node import RawPBLink, RawPBNode

from ipfs import uvarint
from ipfs.caps import BLOCK_MAX, LINKS_MAX, NAME_MAX
from ipfs.cborvalues import NoCbor, linked_in_cbor_untrusted
from ipfs.cid import DAG_CBOR, DAG_PB, RAW, Cid, decode_cid_untrusted
from ipfs.troubles import Malformed, Unsupported

BYTES, DIRECTORY, FILE, METADATA, SYMLINK, SHARD = 0, 1, 2, 3, 4, 5
# 2**62: sums of a few of them still fit everywhere; no file is larger.
_SIZE_MAX = 1 << 62
_LINK = 0x12  # in a dag-pb block: field 2, bytes
_VARINT, _FIXED64, _BLOB, _FIXED32 = 0, 1, 2, 5
# Fields that are no part's size: the five below and the content, and room for what comes later.
_OTHERS = 64
_NUMBERS = {1: "kind", 3: "size", 5: "hash", 6: "fanout"}


@dataclass(frozen=True, slots=True)
class Link:
    name: str
    cid: Cid
    size: int
    """Cumulative, as its author says: for display, never for a decision."""


@dataclass(frozen=True, slots=True)
class Node:
    """One block, read. `size` is that of the file's bytes below it."""

    kind: int
    data: bytes = b""
    size: int = 0
    parts: tuple[int, ...] = ()
    links: tuple[Link, ...] = ()
    fanout: int = 0
    hash: int = 0

    @property
    def is_file(self) -> bool:
        return self.kind in (FILE, BYTES)


def decode_block_untrusted(cid: Cid, block: bytes) -> Node:
    """Raises Malformed, Unsupported."""
    if cid.codec == RAW:
        return Node(BYTES, block, len(block))
    if cid.codec != DAG_PB:
        raise Unsupported(f"It is neither a file nor a directory (codec 0x{cid.codec:x}).")
    data, links = _decode_dag_pb_untrusted(block)
    if data is None:
        raise Malformed("A block is no part of a file or directory.")
    node = _decode_unixfs_untrusted(data, links)
    _check(node)
    return node


def cumulative_untrusted(cid: Cid, block: bytes) -> int:
    """Bytes of a block and of everything below it, as its author says: for display."""
    links = _decode_dag_pb_untrusted(block)[1] if cid.codec == DAG_PB else ()
    return min(len(block) + sum(link.size for link in links), _SIZE_MAX)


def linked_untrusted(cid: Cid, block: bytes) -> tuple[Cid, ...]:
    """Everything that a block names, of any codec whose links are known."""
    if cid.codec == DAG_PB:
        return tuple(link.cid for link in _decode_dag_pb_untrusted(block)[1])
    if cid.codec == DAG_CBOR:
        return _linked_cbor_untrusted(block)
    return ()


def _decode_dag_pb_untrusted(block: bytes) -> tuple[bytes | None, tuple[Link, ...]]:
    if len(block) > BLOCK_MAX:
        raise Malformed("A block is larger than blocks may be.")
    _count_links_untrusted(block)
    try:
        raw = decode_node(block)
    except Exception as problem:  # the library raises whatever comes up, bare Exception included
        raise Malformed("A block is no dag-pb.") from problem
    links = tuple(map(_link_untrusted, raw.links))
    return (bytes(raw.data) if hasattr(raw, "data") else None), links


def _count_links_untrusted(block: bytes) -> None:
    """Before an object is made for any of them. What else is wrong, the decoder says."""
    at = count = 0
    while at < len(block):
        try:
            key, at = uvarint.decode_untrusted(block, at)
            size, at = uvarint.decode_untrusted(block, at)
        except ValueError as problem:  # the decoder would read some of these: nothing may be hidden from the count
            raise Malformed("A block is no dag-pb.") from problem
        at, count = at + size, count + (key == _LINK)
        if count > LINKS_MAX:
            raise Malformed("A block has too many links.")


def _link_untrusted(raw: RawPBLink) -> Link:
    where = getattr(raw, "hash", b"")
    cid, size = decode_cid_untrusted(where)
    if size != len(where):
        raise Malformed("A link has bytes behind its CID.")
    name = getattr(raw, "name", "")
    if len(name.encode()) > NAME_MAX + 16:  # a HAMT's prefix comes on top
        raise Malformed("A link has too long a name.")
    return Link(name, cid, min(getattr(raw, "t_size", 0), _SIZE_MAX))


def _decode_unixfs_untrusted(data: bytes, links: tuple[Link, ...]) -> Node:
    found: dict[str, int] = {}
    parts: list[int] = []
    content: bytes | None = None
    at = fields = 0
    while at < len(data):
        field, value, at = _field_untrusted(data, at)
        fields += 1
        if fields > LINKS_MAX + _OTHERS or len(parts) > LINKS_MAX:
            raise Malformed("A block has too many fields.")
        match field, value:
            case 2, bytes():
                if content is not None:
                    raise Malformed("A block has two contents.")
                content = value
            case 4, int():
                parts.append(value)
            case 4, bytes():
                parts += _packed_untrusted(value)
            case ((1 | 3 | 5 | 6), int()):
                if _NUMBERS[field] in found:
                    raise Malformed("A block says the same twice.")
                found[_NUMBERS[field]] = value
            case ((1 | 2 | 3 | 4 | 5 | 6), _):
                raise Malformed("A field of a block has the wrong type.")
            case _:
                pass  # mode, time and what comes later
    if "kind" not in found:
        raise Malformed("A block does not say what it is.")
    size = found.get("size", len(content or b"") + sum(parts))
    return Node(found["kind"], content or b"", size, tuple(parts), links, found.get("fanout", 0), found.get("hash", 0))


def _field_untrusted(data: bytes, at: int) -> tuple[int, int | bytes, int]:
    """(number, value, where the next one begins)."""
    key, at = _number_untrusted(data, at)
    field, wire = key >> 3, key & 7
    if wire == _VARINT:
        number, at = _number_untrusted(data, at)
        return field, number, at
    sizes = {_FIXED64: 8, _FIXED32: 4}
    if wire not in (_BLOB, *sizes):
        raise Malformed("A field of a block has an unknown type.")
    size, at = (sizes[wire], at) if wire in sizes else _number_untrusted(data, at)
    if len(data) - at < size:
        raise Malformed("A block is cut short.")
    return field, data[at : at + size], at + size


def _number_untrusted(data: bytes, at: int) -> tuple[int, int]:
    try:
        number, end = uvarint.decode_untrusted(data, at)
    except ValueError:
        raise Malformed("A number in a block is cut short or too long.") from None
    if number > _SIZE_MAX:
        raise Malformed("A number in a block is too large.")
    return number, end


def _packed_untrusted(data: bytes) -> list[int]:
    found, at = [], 0
    while at < len(data):
        number, at = _number_untrusted(data, at)
        found.append(number)
        if len(found) > LINKS_MAX:
            raise Malformed("A block has too many fields.")
    return found


def _check(node: Node) -> None:
    if node.is_file:
        if len(node.parts) != len(node.links):
            raise Malformed("A file's parts and links do not fit together.")
        if node.size != len(node.data) + sum(node.parts):
            raise Malformed("A file's size is not that of its parts.")
    elif node.kind == SHARD:
        fanout = node.fanout
        if not 8 <= fanout <= 1024 or fanout & (fanout - 1):
            raise Malformed("A large directory has an impossible width.")
        if int.from_bytes(node.data).bit_count() != len(node.links) or len(node.data) > fanout // 8:
            raise Malformed("A large directory's map does not fit its links.")
    elif node.kind not in (DIRECTORY, SYMLINK):
        raise Unsupported(f"It is neither a file nor a directory (UnixFS type {node.kind}).")


def _linked_cbor_untrusted(block: bytes) -> tuple[Cid, ...]:
    try:
        return linked_in_cbor_untrusted(block)
    except NoCbor:
        raise Malformed("A block is no dag-cbor.") from None


def encode_file(size: int, parts: Sequence[int], data: bytes = b"") -> bytes:
    """The UnixFS message of a file. Its order of fields is Kubo's: the CID depends on it."""
    out = [b"\x08", uvarint.encode(FILE)]
    if data:
        out += [b"\x12", uvarint.encode(len(data)), data]
    out += [b"\x18", uvarint.encode(size)]
    for part in parts:
        out += [b"\x20", uvarint.encode(part)]
    return b"".join(out)


EMPTY_DIRECTORY = b"\x08\x01"


def encode_symlink(target: bytes) -> bytes:
    """The UnixFS message of a symbolic link: a kind and where it leads, no size, as Kubo has it."""
    return b"\x08" + uvarint.encode(SYMLINK) + b"\x12" + uvarint.encode(len(target)) + target


def encode_block(data: bytes, links: Sequence[Link]) -> bytes:
    """A dag-pb block. Without links it is one field: the library copies byte by byte, 20 ms for a leaf."""
    if not links:
        return b"\x0a" + uvarint.encode(len(data)) + data
    raw = RawPBNode()
    raw.data = data
    raw.links = [_raw_link(link) for link in links]
    return bytes(encode_node(raw))


def _raw_link(link: Link) -> RawPBLink:
    raw = RawPBLink()
    raw.hash, raw.name, raw.t_size = bytes(link.cid), link.name, link.size
    return raw
