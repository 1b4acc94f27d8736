"""Words: an exported program and its state in one file: an ordinary module with one custom section more.

In:  the module that a compile worker made of a stopped program, and what else must be known to go on exactly; or a
module's bytes (untrusted). Out: the other. Any engine takes the file as a module and leaves the section alone; gatebus
goes on by the section, with files and unread input.

    8 bytes of the module's head
    custom section `gatebus.state`: [32] sha256 of the module without this section; a state file (statefile.py)
        without pieces of memory 0: they are the module's data
    the module's sections

Whoever changes the module without the section has changed the program: that is noticed and refused, never passed over.
What the digest cannot tell, forgery, is checked where the parts are used, like any state's.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.errors import BadState
from sandbox.portable.wasm_bytes import ByteReader, Malformed
from sandbox.statefile import Stored, check_untrusted, decode_untrusted, encode
from sandbox.statewords import PAGE, PIECE, look_untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.suspended import Suspended

NAME = b"gatebus.state"
HEAD_SIZE = 8
DIGEST_SIZE = 32
# A module of the largest size that is made, the program as it came, its state.
FILE_MAX = 256 << 20
CUSTOM, DATA = 0, 11
# A compile worker makes 8,000 for memories and one for the frames (native/module/src/frozen.rs).
SEGMENTS_MAX = 10_000
PASSIVE, WITH_MEMORY = 1, 2
I32_CONST, END, SIGN = 0x41, 0x0B, 0x40
OTHER = "The part of this file that gatebus goes on by is not of this module: one of them was changed. "
OTHERWISE = "Export it again, or run it with --ignore-state as the module that it is."


class _Section(NamedTuple):
    kind: int
    start: int
    """Of the whole section."""
    content: int
    end: int


class _Nothing:
    """A memory of which nothing is written down."""

    size = 0

    def read(self, offset: int, size: int) -> bytes:
        raise AssertionError("it has no bytes")

    def data(self) -> Iterator[tuple[int, int]]:
        return iter(())


def with_state(
    module: bytes, suspended: Suspended, program: bytes, description: dict[str, Any], services: bytes
) -> bytes:
    """The module, with everything that gatebus needs to go on as from a state file."""
    state = encode(replace(suspended, memory=_Nothing()), program, description, services)
    content = _number(len(NAME)) + NAME + sha256(module).digest() + state
    return b"".join((module[:HEAD_SIZE], bytes((CUSTOM,)), _number(len(content)), content, module[HEAD_SIZE:]))


def is_exported_untrusted(start: bytes) -> bool:
    """Does a file that begins so hold a state? Who reads it may read on then."""
    reader = ByteReader(start, HEAD_SIZE, len(start))
    try:
        return reader.byte() == CUSTOM and reader.u32() > len(NAME) and reader.name() == NAME
    except Malformed:
        return False


def state_of_untrusted(module: bytes) -> Stored | None:
    """None: it is a module like any other. Raises BadState."""
    if NAME not in module:
        return None
    try:
        sections = _sections_untrusted(module)
    except Malformed:
        return None  # admission says what is wrong with it
    found = [each for each in sections if _is_state(module, each)]
    if not found:
        return None
    section = found[0]
    at = section.content + 1 + len(NAME)
    rest = module[: section.start] + module[section.end :]
    if len(found) > 1 or module[at : at + DIGEST_SIZE] != sha256(rest).digest():
        raise _other_module()
    stored = decode_untrusted(module[at + DIGEST_SIZE : section.end])
    if stored.pieces:
        raise _other_module()
    try:
        pieces = _pieces_untrusted(module, sections, look_untrusted(stored.state).pages)
    except Malformed:
        raise _other_module() from None
    stored = stored._replace(pieces=memoryview(pieces))
    check_untrusted(stored)
    return stored


def _other_module() -> BadState:
    return BadState("state-other-module", OTHER + OTHERWISE)


def _sections_untrusted(module: bytes) -> list[_Section]:
    """Raises Malformed."""
    sections, reader = [], ByteReader(module, HEAD_SIZE, len(module))
    while reader.more:
        start = reader.at
        kind, size = reader.byte(), reader.u32()
        sections.append(_Section(kind, start, reader.at, reader.at + size))
        reader.skip(size)
    return sections


def _is_state(module: bytes, section: _Section) -> bool:
    name = bytes((len(NAME),)) + NAME
    return section.kind == CUSTOM and module[section.content : min(section.end, section.content + len(name))] == name


def _pieces_untrusted(module: bytes, sections: list[_Section], pages: int) -> bytes:
    """What its active data segments write into memory 0, as a state file has it. Raises Malformed."""
    pieces: dict[int, bytearray] = {}
    for section in sections:
        if section.kind == DATA and pages:
            for address, data in _segments_untrusted(module, section):
                if address + len(data) > pages * PAGE:
                    raise Malformed("data outside of the memory", section.start)
                _write(pieces, address, data)
    listed = ((place, piece) for place, piece in sorted(pieces.items()) if any(piece))
    return b"".join(place.to_bytes(4, "little") + piece for place, piece in listed)


def _segments_untrusted(module: bytes, section: _Section) -> Iterator[tuple[int, memoryview]]:
    """(address, bytes) of those that are for memory 0."""
    reader, left = ByteReader(module, section.content, section.end), SEGMENTS_MAX
    for _ in range(reader.u32()):
        kind = reader.u32()
        memory = reader.u32() if kind == WITH_MEMORY else 0
        address = 0 if kind == PASSIVE else _address_untrusted(reader)
        size = reader.u32()
        start = reader.at
        reader.skip(size)
        if kind != PASSIVE and memory == 0:
            left -= 1
            yield address, memoryview(module)[start : reader.at]
        if left < 0:
            raise Malformed("too many data segments", start)


def _address_untrusted(reader: ByteReader) -> int:
    """`i32.const N end` and nothing else: that is how it was written."""
    if reader.byte() != I32_CONST:
        raise Malformed("no constant", reader.at)
    start = reader.at
    reader.skip_leb(32)
    number = reader.data[start : reader.at]
    value = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(number))
    if number[-1] & SIGN:
        value -= 1 << 7 * len(number)
    if reader.byte() != END:
        raise Malformed("no constant", reader.at)
    return value & 0xFFFFFFFF


def _write(pieces: dict[int, bytearray], address: int, data: memoryview) -> None:
    while data:
        place, offset = divmod(address, PIECE)
        now = data[: PIECE - offset]
        pieces.setdefault(place, bytearray(PIECE))[offset : offset + len(now)] = now
        address, data = address + len(now), data[len(now) :]


def _number(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
