"""Words: several memories of a program grow up to one limit together, and so do several tables.

The engine's Python interface limits each memory and table by itself (the native runtime counts: runner/src/limiter.rs).
So the program does it: each operator that grows one of several becomes a call of a function of ours, which asks for
all their sizes first. Before, and after (the limit is set by the host before anything of the program runs):

    (memory $a 1) (memory $b 1)           (global $most (export "gatebus most pages") (mut i64) (i64.const 0))
    (memory.grow $b (i32.const 3))        (call $grow_b (i32.const 3))

    (func $grow_b (param i32) (result i32)
      (i64.le_u (i64.add (i64.add (i64.extend_i32_u (local.get 0)) (i64.extend_i32_u (memory.size $a)))
        (i64.extend_i32_u (memory.size $b))) (global.get $most))
      (if (result i32) (then (memory.grow $b (local.get 0))) (else (i32.const -1))))

In: what the engine gets, of a module that was admitted: as it came, made suspendable, or a continuation, which reaches
all memories and tables of its program under their own numbers. Nothing of this is in a state: sites are of the module
as it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.portable.own_exports import export
from sandbox.portable.wasm_bodies import MEMORY_GROW, PREFIX_NUMERIC, TABLE_GROW, skip_immediates, skip_numeric
from sandbox.portable.wasm_bytes import ByteReader, leb
from sandbox.portable.wasm_scan import (
    CODE,
    EXPORT,
    FUNCTION,
    FUNCTION_FORM,
    GLOBAL,
    IMPORT,
    KIND_FUNCTION,
    KIND_GLOBAL,
    TYPE,
    VALUE_TYPES,
    count_imports,
)

if TYPE_CHECKING:
    from sandbox.portable.wasm_sections import Sections

# Exports that are the limits: pages of all memories, elements of all tables.
MOST = ("gatebus most pages", "gatebus most elements")
# Offsets in bodies, which become others; this engine does not ask for them.
BRANCH_HINTS = b"metadata.code.branch_hint"
I32, I64, MUTABLE = 0x7F, 0x7E, 1
LETTERS = {letter: code for code, letter in VALUE_TYPES.items()}
LOCAL_0, LOCAL_1, CALL, END = b"\x20\x00", b"\x20\x01", b"\x10", b"\x0b"
EXTEND, ADD, AT_MOST, ZERO = b"\xad", b"\x7c", b"\x58", b"\x42\x00"
IF_I32, ELSE_MINUS_ONE = b"\x04\x7f", b"\x05\x41\x7f\x0b"
MEMORY_SIZE, TABLE_SIZE = b"\x3f", b"\xfc\x10"
OPERATORS = (bytes((MEMORY_GROW,)), bytes((PREFIX_NUMERIC, TABLE_GROW)))


@dataclass(frozen=True, slots=True)
class Growing:
    """What a program has: how many memories, and the type of each table, by its letter."""

    memories: int
    tables: str

    @property
    def several(self) -> bool:
        return self.memories > 1 or len(self.tables) > 1


def share_growth(sections: Sections, growing: Growing, names: tuple[str, str] = MOST) -> None:
    """`names`: those that are free for the limits."""
    imported = count_imports(sections.read(IMPORT))
    limits = sections.add(GLOBAL, [bytes((I64, MUTABLE)) + ZERO + END] * 2) + imported[KIND_GLOBAL]
    exports = [export(name, KIND_GLOBAL, limits + place) for place, name in enumerate(names)]
    sections.add(EXPORT, exports)
    memory_type = sections.add(TYPE, [_type(bytes((I32,)))])
    kinds = sorted(set(growing.tables))
    table_types = sections.add(TYPE, [_type(bytes((LETTERS[each], I32))) for each in kinds])
    types = [memory_type] * growing.memories + [table_types + kinds.index(each) for each in growing.tables]
    first = sections.add(FUNCTION, [leb(each) for each in types]) + imported[KIND_FUNCTION]
    _rewrite(sections, growing, first)
    memories = [_grow_memory(growing.memories, number, limits) for number in range(growing.memories)]
    tables = [_grow_table(len(growing.tables), number, limits + 1) for number in range(len(growing.tables))]
    sections.add(CODE, memories + tables)
    sections.remove_custom(BRANCH_HINTS)


def _type(parameters: bytes) -> bytes:
    return bytes((FUNCTION_FORM, len(parameters))) + parameters + bytes((1, I32))


def _grow_memory(count: int, number: int, limit: int) -> bytes:
    grow = LOCAL_0 + OPERATORS[0] + leb(number)
    return _grow(LOCAL_0, [MEMORY_SIZE + leb(each) for each in range(count)], limit, grow)


def _grow_table(count: int, number: int, limit: int) -> bytes:
    grow = LOCAL_0 + LOCAL_1 + OPERATORS[1] + leb(number)
    return _grow(LOCAL_1, [TABLE_SIZE + leb(each) for each in range(count)], limit, grow)


def _grow(wanted: bytes, sizes: list[bytes], limit: int, grow: bytes) -> bytes:
    """64 bits: the sum of sizes and what is wanted has no room in 32."""
    total = wanted + EXTEND + b"".join(size + EXTEND + ADD for size in sizes)
    body = b"".join((leb(0), total, b"\x23", leb(limit), AT_MOST, IF_I32, grow, ELSE_MINUS_ONE, END))
    return leb(len(body)) + body


def _rewrite(sections: Sections, growing: Growing, first: int) -> None:
    """`first`: the function that grows memory 0."""
    reader = sections.read(CODE)
    if reader is None:
        return
    count = reader.u32()
    out = [leb(count)]
    for _ in range(count):
        body = b"".join(_body(reader.part(reader.u32()), growing, first))
        out += (leb(len(body)), body)
    sections.put(CODE, b"".join(out))


def _body(body: ByteReader, growing: Growing, first: int) -> list[bytes]:
    """Its pieces, with calls for what grows."""
    data, kept, out = body.data, body.at, list[bytes]()
    for _ in range(body.u32()):
        body.u32()
        body.byte()
    while body.more:
        start = body.at
        grown = _grown(body, growing)
        if grown is not None:
            out += (bytes(data[kept:start]), CALL + leb(first + grown))
            kept = body.at
    return [*out, bytes(data[kept : body.end])]


def _grown(body: ByteReader, growing: Growing) -> int | None:
    """Past one operator. Which one of ours takes its place: memories first. Tables behind the program's are hidden."""
    opcode = body.byte()
    if opcode == MEMORY_GROW:
        return body.u32()
    if opcode != PREFIX_NUMERIC:
        skip_immediates(opcode, body)
        return None
    second = body.u32()
    if second != TABLE_GROW:
        skip_numeric(second, body)
        return None
    table = body.u32()
    return growing.memories + table if table < len(growing.tables) else None
