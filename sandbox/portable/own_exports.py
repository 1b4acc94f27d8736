"""Words: give every memory of a module, and its start function, an export under a name of ours.

The engine's Python interface reaches a memory only through an export, and a program need not export any; and what the
making of an instance calls cannot be told from the making. Before:

    (module (memory 1) (start 0) (export "_start" (func 0)))

after:

    (module (memory 1) (export "_start" (func 0)) (export "gatebus memory 0" (memory 0))
      (export "gatebus start" (func 0)))

The guest cannot see its own exports; the start function is called first (portable_runtime.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.portable.wasm_bytes import leb
from sandbox.portable.wasm_scan import EXPORT, KIND_FUNCTION, KIND_MEMORY, START

if TYPE_CHECKING:
    from sandbox.portable.wasm_scan import Scan
    from sandbox.portable.wasm_sections import Sections

START_NAME = "gatebus start"


def export_memories(sections: Sections, scan: Scan) -> tuple[str, ...]:
    """The names, in the order of the memories. `scan`: of the module."""
    names = tuple(free_name(scan, f"gatebus memory {index}") for index in range(len(scan.memory_pages)))
    sections.add(EXPORT, [export(name, KIND_MEMORY, index) for index, name in enumerate(names)])
    return names


def export_start(sections: Sections, scan: Scan) -> str:
    """The name, nothing if there is no start function; there is no section of it any more."""
    reader = sections.read(START)
    if reader is None:
        return ""
    name = free_name(scan, START_NAME)
    sections.add(EXPORT, [export(name, KIND_FUNCTION, reader.u32())])
    sections.remove(START)
    return name


def free_name(scan: Scan, name: str) -> str:
    """A program may have taken any name; it cannot have taken as many as there are underscores."""
    while name.encode() in scan.export_names:
        name += "_"
    return name


def export(name: str, kind: int, index: int) -> bytes:
    return leb(len(name)) + name.encode() + bytes((kind,)) + leb(index)
