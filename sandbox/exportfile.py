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

from bisect import bisect_left, bisect_right
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.errors import BadState
from sandbox.portable.admission_bounds import DATA_SEGMENTS
from sandbox.portable.wasm_bytes import ByteReader, Malformed
from sandbox.statefile import Stored, check_untrusted, decode_untrusted, encoded
from sandbox.statewords import PAGE, PIECE, look_untrusted, program_of_untrusted
from sandbox.suspended import Suspended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = b"gatebus.state"
HEAD_SIZE = 8
DIGEST_SIZE = 32
# A module of the largest size that is made, the program as it came, its state.
FILE_MAX = 256 << 20
CUSTOM, MEMORIES, DATA = 0, 5, 11
# An exported module has one of each kind, and this one's and two more of its own; tools put some beside.
SECTIONS_MAX = 1_000
# A compile worker makes 8,000 for memories and one for the frames (native/module/src/frozen.rs); what the program had
# of its own are passive ones.
SEGMENTS_MAX, PASSIVE_MAX = 10_000, DATA_SEGMENTS
PASSIVE, WITH_MEMORY = 1, 2
I32_CONST, END, SIGN = 0x41, 0x0B, 0x40
OTHER = "The part of this file that gatebus goes on by is not of this module: one of them was changed. "
OTHERWISE = "Export it again, or run it with --ignore-state as the module that it is."
MANY = f"The file has more than {SECTIONS_MAX} sections: no program that was exported has. "


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
    stored = Stored(description, program, suspended.state, memoryview(b""), services)
    return b"".join(beside_state(lambda: iter((module,)), stored))


def beside_state(module: Callable[[], Iterator[bytes]], stored: Stored) -> Iterator[bytes | memoryview]:
    """The same in pieces. The module is read twice, for its digest and for itself, and never held whole. `stored`:
    without its memory, which the module has.
    """
    digest = sha256()
    for piece in module():
        digest.update(piece)
    nothing = Suspended(program_of_untrusted(stored.state), stored.state, _Nothing())
    state = tuple(encoded(nothing, stored.program, stored.description, stored.services))
    content = _number(len(NAME)) + NAME + digest.digest()
    pieces = module()
    first = next(pieces)
    yield first[:HEAD_SIZE]
    yield bytes((CUSTOM,)) + _number(len(content) + sum(map(len, state))) + content
    yield from state
    yield first[HEAD_SIZE:]
    yield from pieces


def is_exported_untrusted(start: bytes) -> bool:
    """Does a file that begins so hold a state? Who reads it may read on then."""
    reader = ByteReader(start, HEAD_SIZE, len(start))
    try:
        return reader.byte() == CUSTOM and reader.u32() > len(NAME) and reader.name() == NAME
    except Malformed:
        return False


def state_of_untrusted(module: bytes) -> Stored | None:
    """None: it is a module like any other. Raises BadState."""
    stored = _section_untrusted(module) if NAME in module else None
    if stored is None:
        return None
    try:
        pieces = _pieces_untrusted(module, look_untrusted(stored.state).pages)
    except Malformed:
        raise _other_module() from None
    stored = stored._replace(pieces=memoryview(pieces))
    check_untrusted(stored)
    return stored


def where_it_lies_untrusted(module: memoryview) -> tuple[Stored, ModuleMemory] | None:
    """The same of a file that is not read whole: the memory stays in it. Raises BadState."""
    stored = _section_untrusted(module)
    if stored is None:
        return None
    size = look_untrusted(stored.state).pages * PAGE
    try:
        segments = sorted(_segments_untrusted(module), key=lambda each: each[0]) if size else []
    except Malformed:
        raise _other_module() from None
    ends = [0, *(address + len(data) for address, data in segments)]
    if ends[-1] > size or any(end > address for end, (address, _data) in zip(ends, segments, strict=False)):
        raise _other_module()
    return stored, ModuleMemory(size, segments)


class ModuleMemory:
    """Memory 0 as an exported module has it: ascending segments, none over another; the rest is zeros."""

    def __init__(self, size: int, segments: list[tuple[int, memoryview]]) -> None:
        self.size = size
        self._addresses, self._segments = [address for address, _data in segments], segments

    def read(self, offset: int, size: int) -> bytes:
        end = min(offset + size, self.size)
        whole = bytearray(max(0, end - offset))
        first, behind = bisect_right(self._addresses, offset), bisect_left(self._addresses, end)
        for number in range(max(0, first - 1), behind):
            address, data = self._segments[number]
            start = max(address, offset)
            there = data[start - address : end - address]
            whole[start - offset : start - offset + len(there)] = there
        return bytes(whole)

    def data(self) -> Iterator[tuple[int, int]]:
        for address, data in self._segments:
            yield address, len(data)


def _section_untrusted(module: bytes | memoryview) -> Stored | None:
    """Without its memory. Raises BadState."""
    try:
        found = [each for each in _sections_untrusted(module) if _is_state(module, each)]
    except Malformed:
        return None  # admission says what is wrong with it
    if not found:
        return None
    section = found[0]
    at = section.content + 1 + len(NAME)
    if len(found) > 1 or module[at : at + DIGEST_SIZE] != _digest_without(module, section):
        raise _other_module()
    stored = decode_untrusted(module[at + DIGEST_SIZE : section.end])
    if stored.pieces:
        raise _other_module()
    return stored


def memories_of_untrusted(module: bytes) -> int:
    """How many an exported module has. Raises BadState."""
    try:
        found = (each for each in _sections_untrusted(module) if each.kind == MEMORIES)
        return sum(ByteReader(module, each.content, each.end).u32() for each in found)
    except Malformed:
        raise _other_module() from None


def _other_module() -> BadState:
    return BadState("state-other-module", OTHER + OTHERWISE)


def _digest_without(module: bytes | memoryview, section: _Section) -> bytes:
    view = memoryview(module)  # it may be large: no copy
    digest = sha256(view[: section.start])
    digest.update(view[section.end :])
    return digest.digest()


def _sections_untrusted(module: bytes | memoryview) -> Iterator[_Section]:
    """Not as a list: it would take a hundred times the file. Raises Malformed, BadState."""
    reader = ByteReader(module, HEAD_SIZE, len(module))
    for _ in range(SECTIONS_MAX):
        if not reader.more:
            return
        start = reader.at
        kind, size = reader.byte(), reader.u32()
        yield _Section(kind, start, reader.at, reader.at + size)
        reader.skip(size)
    if reader.more:
        raise BadState("state-sections", MANY + OTHERWISE)


def _is_state(module: bytes | memoryview, section: _Section) -> bool:
    name = bytes((len(NAME),)) + NAME
    return section.kind == CUSTOM and module[section.content : min(section.end, section.content + len(name))] == name


def _pieces_untrusted(module: bytes, pages: int) -> bytes:
    """What its active data segments write into memory 0, as a state file has it. Raises Malformed."""
    pieces: dict[int, bytearray] = {}
    if pages:
        for address, data in _segments_untrusted(module):
            if address + len(data) > pages * PAGE:
                raise Malformed("data outside of the memory", address)
            _write(pieces, address, data)
    listed = ((place, piece) for place, piece in sorted(pieces.items()) if any(piece))
    return b"".join(place.to_bytes(4, "little") + piece for place, piece in listed)


def _segments_untrusted(module: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """(address, bytes) of those that are for memory 0. Raises Malformed."""
    active = passive = 0
    for section in _sections_untrusted(module):
        if section.kind != DATA:
            continue
        reader = ByteReader(module, section.content, section.end)
        for _ in range(reader.u32()):
            kind = reader.u32()
            memory = reader.u32() if kind == WITH_MEMORY else 0
            address = 0 if kind == PASSIVE else _address_untrusted(reader)
            size = reader.u32()
            start = reader.at
            reader.skip(size)
            active, passive = active + (kind != PASSIVE), passive + (kind == PASSIVE)
            if active > SEGMENTS_MAX or passive > PASSIVE_MAX:
                raise Malformed("too many data segments", start)
            if kind != PASSIVE and memory == 0:
                yield address, memoryview(module)[start : reader.at]


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
