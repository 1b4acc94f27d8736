"""Words: give every memory of a module an export under a name of ours.

The engine's Python interface reaches a memory only through an export, and a program need not export any. Before:

    (module (memory 1) (export "_start" (func 0)))

after:

    (module (memory 1) (export "_start" (func 0)) (export "gatebus memory 0" (memory 0)))

Only the export section changes; the guest cannot see its own exports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.portable.wasm_bytes import ByteReader
from sandbox.portable.wasm_scan import EXPORT, KIND_MEMORY

if TYPE_CHECKING:
    from sandbox.portable.wasm_scan import Scan


def add_memory_exports(wasm: bytes, scan: Scan) -> tuple[bytes, tuple[str, ...]]:
    """The module, and the names in the order of the memories. `scan`: of a module that is valid."""
    names = tuple(_free_name(scan, index) for index in range(len(scan.memory_pages)))
    if not names:
        return wasm, ()
    added = b"".join(_export(name, index) for index, name in enumerate(names))
    start, end = scan.export_at or (scan.before_export, scan.before_export)
    old_count, old = _old_section(wasm, start, end) if scan.export_at else (0, b"")
    body = leb(old_count + len(names)) + old + added
    return b"".join((wasm[:start], bytes((EXPORT,)), leb(len(body)), body, wasm[end:])), names


def _old_section(wasm: bytes, start: int, end: int) -> tuple[int, bytes]:
    reader = ByteReader(wasm, start + 1, end)
    reader.u32()
    count = reader.u32()
    return count, wasm[reader.at : end]


def _free_name(scan: Scan, index: int) -> str:
    """A program may have taken any name; it cannot have taken as many as there are underscores."""
    name = f"gatebus memory {index}"
    while name.encode() in scan.export_names:
        name += "_"
    return name


def _export(name: str, index: int) -> bytes:
    return leb(len(name)) + name.encode() + bytes((KIND_MEMORY,)) + leb(index)


def leb(value: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)
