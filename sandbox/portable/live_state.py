"""Words: the state of a stopped program, all but memory 0, as bytes and back (native/module/src/state.rs).

In:  what guest_capture.py found; or a state that state_checker.py has let through. Out: the same bytes as the native
back-end writes, or the parts. What they mean for a certain program is checked in guest_capture.py.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from struct import Struct, pack
from typing import TYPE_CHECKING, TypeVar

from sandbox.portable.saved_world import U32, BadWorld, FieldReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

VERSION = 1
PIECE = 4096
PAGE = 65536
# i32 i64 f32 f64 v128 funcref externref: bytes of a value of each. References are numbers.
SIZES = (4, 8, 4, 8, 16, 4, 4)
FUNCTION, EXTERN = 5, 6
_BYTE = Struct("<B")
_ZEROS = bytes(PIECE)


class Phase(enum.IntEnum):
    """Which call was left."""

    START = 0
    INITIALIZE = 1
    ENTRY = 2


@dataclass(frozen=True, slots=True)
class SavedGlobal:
    number: int
    kind: int
    bits: bytes


@dataclass(frozen=True, slots=True)
class SavedTable:
    """Entries are numbers of functions, 0: null."""

    number: int
    entries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SavedMemory:
    """One behind the first. `pieces`: those that are not zero, by place."""

    pages: int
    pieces: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class LiveState:
    phase: Phase
    entry: str
    pages: int
    frames: bytes
    references: tuple[int, ...]
    globals: tuple[SavedGlobal, ...]
    tables: tuple[SavedTable, ...]
    dropped_data: tuple[int, ...]
    dropped_elements: tuple[int, ...]
    memories: tuple[SavedMemory, ...]
    world: bytes


def save_memory(content: memoryview) -> SavedMemory:
    pieces = ((at // PIECE, bytes(content[at : at + PIECE])) for at in range(0, len(content), PIECE))
    return SavedMemory(len(content) // PAGE, tuple(each for each in pieces if each[1] != _ZEROS))


def encode_state(state: LiveState) -> bytes:
    """The program's name is zeros: this process does not know it, the host does."""
    parts = [
        pack("<I32sB", VERSION, bytes(32), state.phase),
        _bytes(state.entry.encode()),
        U32.pack(state.pages),
        _bytes(state.frames),
        _numbers(state.references),
        U32.pack(len(state.globals)),
        *(pack("<IB", each.number, each.kind) + each.bits for each in state.globals),
        U32.pack(len(state.tables)),
        *(U32.pack(each.number) + _numbers(each.entries) for each in state.tables),
        _numbers(state.dropped_data),
        _numbers(state.dropped_elements),
        U32.pack(len(state.memories)),
        *(_memory(each) for each in state.memories),
        _bytes(state.world),
    ]
    return b"".join(parts)


def _bytes(data: bytes) -> bytes:
    return U32.pack(len(data)) + data


def _numbers(numbers: Iterable[int]) -> bytes:
    listed = tuple(numbers)
    return pack(f"<I{len(listed)}I", len(listed), *listed)


def _memory(memory: SavedMemory) -> bytes:
    pieces = (U32.pack(place) + piece for place, piece in memory.pieces)
    return pack("<II", memory.pages, len(memory.pieces)) + b"".join(pieces)


def read_state(data: bytes) -> LiveState:
    """After state_checker.py. Raises BadWorld, all the same, where it is cut off."""
    fields = FieldReader(data)
    if fields.number(U32) != VERSION:
        raise BadWorld("the state is of another version")
    fields.take(32)
    state = LiveState(
        _phase(fields.number(_BYTE)),
        read_text(fields),
        fields.number(U32),
        read_bytes(fields),
        read_numbers(fields),
        read_list(fields, _global),
        read_list(fields, lambda fields: SavedTable(fields.number(U32), read_numbers(fields))),
        read_numbers(fields),
        read_numbers(fields),
        read_list(fields, _memory_of),
        read_bytes(fields),
    )
    fields.end()
    return state


def _phase(number: int) -> Phase:
    if number not in tuple(Phase):
        raise broken()
    return Phase(number)


def broken() -> BadWorld:
    return BadWorld("the state is broken")


def read_list(fields: FieldReader, item: Callable[[FieldReader], T]) -> tuple[T, ...]:
    """Grows with what is there: a count that is too large ends with the bytes."""
    return tuple(item(fields) for _ in range(fields.number(U32)))


def read_bytes(fields: FieldReader) -> bytes:
    return fields.take(fields.number(U32))


def read_numbers(fields: FieldReader) -> tuple[int, ...]:
    count = fields.number(U32)
    return Struct(f"<{count}I").unpack(fields.take(4 * count))


def read_text(fields: FieldReader) -> str:
    try:
        return read_bytes(fields).decode()
    except UnicodeDecodeError:
        raise broken() from None


def _global(fields: FieldReader) -> SavedGlobal:
    number, kind = fields.number(U32), fields.number(_BYTE)
    if kind >= len(SIZES):
        raise broken()
    return SavedGlobal(number, kind, fields.take(SIZES[kind]))


def _memory_of(fields: FieldReader) -> SavedMemory:
    pages = fields.number(U32)
    return SavedMemory(pages, read_list(fields, lambda fields: (fields.number(U32), fields.take(PIECE))))
