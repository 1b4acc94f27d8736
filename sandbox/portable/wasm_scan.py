"""Words: one pass over a module that counts and measures everything, and believes nothing.

In: a stranger's binary. Out: `Scan`. Raises `Refusal` for what is too large or broken off, `Unreadable` for
encodings of proposals that are not accepted (the engine then says which). Function bodies are measured by
wasm_bodies.py. Sections of the binary format, in order: 1 type, 2 import, 3 function, 4 table, 5 memory, 13 tag, 6
global, 7 export, 8 start, 9 element, 12 data count, 10 code, 11 data.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sandbox.portable import admission_bounds as bounds
from sandbox.portable.refusal_texts import at_most
from sandbox.portable.wasm_bodies import check_body_untrusted, skip_constant_untrusted
from sandbox.portable.wasm_bytes import ByteReader, Malformed, Unreadable

HEADER_SIZE = 8
CUSTOM, TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT, START, ELEMENT, CODE, DATA, DATA_COUNT, TAG = range(14)
FUNCTION_FORM = 0x60
KIND_FUNCTION, KIND_TABLE, KIND_MEMORY, KIND_GLOBAL, KIND_TAG = range(5)
# i32 i64 f32 f64 v128 funcref externref exnref
VALUE_TYPES = {0x7F: "i", 0x7E: "I", 0x7D: "f", 0x7C: "F", 0x7B: "v", 0x70: "r", 0x6F: "e", 0x69: "x"}
HAS_MAXIMUM = 1
MEMORY_NAME = b"memory"


@dataclass(frozen=True, slots=True)
class FunctionType:
    """A letter per value: `i` = i32, `I` = i64, others as in VALUE_TYPES."""

    parameters: str
    results: str


@dataclass(frozen=True, slots=True)
class ScannedImport:
    """`function`: the index of its type; None: not a function."""

    module: bytes
    name: bytes
    function: int | None


@dataclass(slots=True)
class Scan:
    """What the pass found."""

    types: list[FunctionType] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    imports: list[ScannedImport] = field(default_factory=list)
    exported_functions: list[tuple[bytes, int]] = field(default_factory=list)
    export_names: set[bytes] = field(default_factory=set)
    has_start: bool = False
    memory_pages: list[int] = field(default_factory=list)
    memory_max_pages: int | None = None
    table_elements: list[int] = field(default_factory=list)
    # letters, as of values
    table_types: str = ""
    element_items: int = 0
    # memory 0, unless the module exports another one as `memory`
    argument_memory: int = 0

    @property
    def defined_functions(self) -> int:
        return len(self.functions) - sum(each.function is not None for each in self.imports)


def scan_untrusted(wasm: bytes) -> Scan:
    scan, reader = Scan(), ByteReader(wasm, HEADER_SIZE, len(wasm))
    while reader.more:
        kind = reader.byte()
        _section(scan, kind, reader.part(reader.u32()))
    return scan


def _section(scan: Scan, kind: int, section: ByteReader) -> None:
    if kind == CUSTOM:
        return
    if kind == START:
        scan.has_start = True
        return
    entry = _ENTRIES.get(kind)
    if entry is None:
        raise Unreadable
    what, limit, read = entry
    count = section.u32()
    at_most(what, count, limit)
    if read is not None:
        for _ in range(count):
            read(scan, section)


def _value_type(reader: ByteReader) -> str:
    letter = VALUE_TYPES.get(reader.byte())
    if letter is None:
        raise Unreadable
    return letter


def _type(scan: Scan, reader: ByteReader) -> None:
    if reader.byte() != FUNCTION_FORM:
        raise Unreadable
    lists = []
    for _ in range(2):
        count = reader.u32()
        at_most("parameters or results", count, bounds.TYPE_SIZE)
        lists.append("".join(_value_type(reader) for _ in range(count)))
    scan.types.append(FunctionType(lists[0], lists[1]))


def _limits(reader: ByteReader) -> tuple[int, int | None]:
    flags = reader.byte()
    if flags > HAS_MAXIMUM:
        raise Unreadable
    minimum = reader.u32()
    return minimum, reader.u32() if flags == HAS_MAXIMUM else None


def _import(scan: Scan, reader: ByteReader) -> None:
    module, name = reader.name(), reader.name()
    at_most("bytes in a name", max(len(module), len(name)), bounds.NAME)
    kind, function = reader.byte(), None
    if kind == KIND_FUNCTION:
        function = reader.u32()
        scan.functions.append(function)
    else:
        _skip_imported(kind, reader)
    scan.imports.append(ScannedImport(module, name, function))


def _skip_imported(kind: int, reader: ByteReader) -> None:
    """What is imported, behind its kind, and is no function."""
    if kind == KIND_TABLE:
        _value_type(reader)
        _limits(reader)
    elif kind == KIND_MEMORY:
        _limits(reader)
    elif kind == KIND_GLOBAL:
        _value_type(reader)
        reader.byte()
    elif kind == KIND_TAG:
        reader.byte()
        reader.u32()
    else:
        raise Unreadable


def count_imports(section: ByteReader | None) -> Counter[int]:
    """How many of each kind a valid module imports."""
    counts = Counter[int]()
    if section is None:
        return counts
    for _ in range(section.u32()):
        section.name()
        section.name()
        kind = section.byte()
        counts[kind] += 1
        if kind == KIND_FUNCTION:
            section.u32()
        else:
            _skip_imported(kind, section)
    return counts


def _function(scan: Scan, reader: ByteReader) -> None:
    scan.functions.append(reader.u32())


def _table(scan: Scan, reader: ByteReader) -> None:
    scan.table_types += _value_type(reader)
    scan.table_elements.append(_limits(reader)[0])
    at_most("table elements", sum(scan.table_elements), bounds.TABLE_ELEMENTS)


def _memory(scan: Scan, reader: ByteReader) -> None:
    minimum, maximum = _limits(reader)
    if not scan.memory_pages:
        scan.memory_max_pages = maximum
    scan.memory_pages.append(minimum)


def _global(_scan: Scan, reader: ByteReader) -> None:
    _value_type(reader)
    reader.byte()
    skip_constant_untrusted(reader)


def _export(scan: Scan, reader: ByteReader) -> None:
    name = reader.name()
    at_most("bytes in a name", len(name), bounds.NAME)
    scan.export_names.add(name)
    kind, index = reader.byte(), reader.u32()
    if kind == KIND_FUNCTION:
        scan.exported_functions.append((name, index))
    if kind == KIND_MEMORY and name == MEMORY_NAME:
        scan.argument_memory = index


def _element(scan: Scan, reader: ByteReader) -> None:
    """Flag bits: 1 = passive or declared, 2 = has a table index or is declared, 4 = items are expressions."""
    flags = reader.u32()
    if flags > 7:
        raise Malformed("invalid flags byte in element segment", reader.at)
    if not flags & 1:
        if flags & 2:
            reader.u32()
        skip_constant_untrusted(reader)
    if flags & 3:
        _value_type(reader) if flags & 4 else reader.byte()
    count = reader.u32()
    scan.element_items += count
    at_most("element segment items", scan.element_items, bounds.ELEMENT_ITEMS)
    for _ in range(count):
        skip_constant_untrusted(reader) if flags & 4 else reader.skip_leb(32)


def _code(_scan: Scan, reader: ByteReader) -> None:
    check_body_untrusted(reader.part(reader.u32()))


def _data(_scan: Scan, reader: ByteReader) -> None:
    flags = reader.u32()
    if flags > 2:
        raise Malformed("invalid flags byte in data segment", reader.at)
    if flags == 2:
        reader.u32()
    if flags != 1:
        skip_constant_untrusted(reader)
    reader.skip(reader.u32())


_ENTRIES = {
    TYPE: ("types", bounds.TYPES, _type),
    IMPORT: ("imports", bounds.IMPORTS, _import),
    FUNCTION: ("functions", bounds.FUNCTIONS, _function),
    TABLE: ("tables", bounds.TABLES, _table),
    MEMORY: ("memories", bounds.MEMORIES, _memory),
    TAG: ("tags", bounds.TAGS, None),
    GLOBAL: ("globals", bounds.GLOBALS, _global),
    EXPORT: ("exports", bounds.EXPORTS, _export),
    ELEMENT: ("element segments", bounds.ELEMENT_SEGMENTS, _element),
    CODE: ("functions", bounds.FUNCTIONS, _code),
    DATA: ("data segments", bounds.DATA_SEGMENTS, _data),
    DATA_COUNT: ("data segments", bounds.DATA_SEGMENTS, None),
}
