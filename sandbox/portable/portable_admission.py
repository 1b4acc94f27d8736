"""Wire: what a module must be before the compiler sees it, and its compilation. Runs in the compile worker only.

Order, cheapest first, as in the native worker: size; text becomes binary; a component is refused by name; one pass
counts and measures everything; imports are looked up; then validation by the engine, whose work is linear in what
the counts have bounded. Then it is compiled, with a few exports of our own (own_exports.py, shared_growth.py).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import wasmtime

from sandbox.portable import admission_bounds as bounds
from sandbox.portable.import_table import GuestFunction, Personality, find_function_untrusted, personality_of
from sandbox.portable.portable_engine import make_config
from sandbox.portable.refusal_texts import (
    REASON_MAX,
    Refusal,
    at_most,
    bad_import,
    engine_reason_untrusted,
    malformed,
    of_engine_untrusted,
    unsupported,
)
from sandbox.portable.wasm_bytes import Malformed, Unreadable
from sandbox.portable.wasm_scan import FunctionType, Scan, scan_untrusted

MAGIC = b"\0asm"
VERSION = b"\1\0\0\0"
COMPONENT_LAYER = b"\1\0"
SHOWN_ENTRY = 150

# Refused by name: what must be switched on in the engine to accept it, what it is called, what the author can do.
FEATURES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("wasm_threads", "shared_memory"), "threads and atomics are", "build without -pthread or shared memory"),
    (("wasm_memory64",), "64-bit memory is", "build for wasm32"),
    (("wasm_function_references",), "typed function references are", "build without them"),
    (("wasm_gc", "wasm_function_references"), "garbage collection (GC) is", "build for linear memory"),
    (("wasm_custom_page_sizes",), "custom page sizes are", "build with pages of 64 KiB"),
    (("wasm_wide_arithmetic",), "wide arithmetic is", "build without -mwide-arithmetic"),
)
# Features that the engine has no switch for (or cannot be made with): known by what it says.
NAMED_BY_ENGINE: tuple[tuple[str, str, str], ...] = (
    ("legacy_exceptions", "the legacy form of exceptions is", "build with -mllvm -wasm-use-legacy-eh=false"),
    ("legacy exceptions", "the legacy form of exceptions is", "build with -mllvm -wasm-use-legacy-eh=false"),
    ("stack switching", "stack switching is", "build without it"),
    ("shared-everything", "shared-everything threads are", "build without threads"),
)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A module that may be compiled."""

    wasm: bytes
    scan: Scan
    personality: Personality

    def entries(self) -> list[str]:
        """Names of exported functions without parameters whose result is nothing or one i32."""
        names = [name for name, index in self.scan.exported_functions if self._enterable(index)]
        return [name.decode() for name in names[: bounds.ENTRIES] if len(name) <= SHOWN_ENTRY]

    def _enterable(self, index: int) -> bool:
        found = _type_at(self.scan, self.scan.functions[index]) if index < len(self.scan.functions) else None
        return found is not None and not found.parameters and found.results in ("", "i")


def admit_untrusted(given: bytes) -> Admitted:
    """Raises Refusal."""
    wasm = _binary_untrusted(given)
    _refuse_other_kinds(wasm)
    try:
        scan = scan_untrusted(wasm)
    except Malformed as error:
        raise malformed(f"{error.what} (at byte {error.at})") from None
    except Unreadable:
        _validate_untrusted(wasm)
        raise unsupported("this combination of features is", "build for wasm32-wasip1") from None
    personality = _imports_untrusted(scan)
    _validate_untrusted(wasm)
    return Admitted(wasm, scan, personality)


def compile_module(engine: wasmtime.Engine, wasm: bytes) -> wasmtime.Module:
    """Raises Refusal for the compiler's own limits."""
    try:
        return wasmtime.Module(engine, wasm)
    except wasmtime.WasmtimeError as error:
        reason = engine_reason_untrusted(str(error))[:REASON_MAX]
        raise Refusal("too-large", f"the module cannot be compiled: {reason}") from None


def facts_of(admitted: Admitted, given: bytes) -> dict[str, Any]:
    """PROTOCOL.md section A. `given`: the bytes that came in, text or binary."""
    scan = admitted.scan
    return {
        "ok": True,
        "personality": admitted.personality,
        "functions": scan.defined_functions,
        "memory_pages": sum(scan.memory_pages),
        "memory_max_pages": scan.memory_max_pages,
        "table_elements": sum(scan.table_elements),
        "exports": admitted.entries(),
        "has_start": scan.has_start,
        "imports": len(scan.imports),
        "wasm_sha256": hashlib.sha256(given).hexdigest(),
    }


def facts_of_refusal(refusal: Refusal) -> dict[str, Any]:
    return {"ok": False, "code": refusal.code, "text": refusal.text}


def _text_problem(said: str) -> str:
    """What is wrong, and where: the parser says `what`, then `--> <anon>:line:column`, then shows the line itself."""
    what, place = (*said.splitlines(), "", "")[:2]
    found = re.search(r":(\d+):(\d+)$", place)
    return f"{what[:REASON_MAX]} (line {found[1]}, column {found[2]})" if found else what[:REASON_MAX]


def _binary_untrusted(given: bytes) -> bytes:
    at_most("bytes", len(given), bounds.MODULE)
    if not given.lstrip(b" \t\r\n\f").startswith((b"(", b";;")):
        return given
    at_most("bytes of text", len(given), bounds.TEXT)
    try:
        wasm = bytes(wasmtime.wat2wasm(given))
    except wasmtime.WasmtimeError as error:
        raise Refusal("malformed", f"malformed text: {_text_problem(str(error))}") from None
    at_most("bytes", len(wasm), bounds.MODULE)
    return wasm


def _refuse_other_kinds(wasm: bytes) -> None:
    """Modules of another kind have the same first four bytes."""
    if len(wasm) < len(MAGIC) + len(VERSION) or not wasm.startswith(MAGIC):
        raise Refusal("malformed", "not a WebAssembly module")
    if wasm.startswith(MAGIC + VERSION):
        return
    if wasm[6:8] == COMPONENT_LAYER:
        raise unsupported("a component is", "build for wasm32-wasip1")
    raise Refusal("malformed", "malformed module: unknown version")


def _imports_untrusted(scan: Scan) -> Personality:
    """Every import must be a function that the chosen personality has."""
    personality = personality_of(each.module.decode(errors="replace") for each in scan.imports)
    for each in scan.imports:
        if each.function is None:
            raise bad_import(each.module, each.name, "is not a function: only functions are provided")
        names = each.module.decode(errors="replace"), each.name.decode(errors="replace")
        function = find_function_untrusted(personality, *names)
        if function is None:
            why = "is not provided: programs may import WASI preview 1 and Gate's functions"
            raise bad_import(each.module, each.name, why)
        if _type_at(scan, each.function) != _type_of(function):
            raise bad_import(each.module, each.name, "has another signature than the one provided")
    return personality


def _type_at(scan: Scan, index: int) -> FunctionType | None:
    return scan.types[index] if index < len(scan.types) else None


def _type_of(function: GuestFunction) -> FunctionType:
    return FunctionType(function.parameters, "i" if function.has_result else "")


def _validate_untrusted(wasm: bytes) -> None:
    """With the accepted features; a failure is told apart by trying the refused ones."""
    problem = _problem_untrusted(wasm)
    if problem is None:
        return
    for switches, name, advice in FEATURES:
        if _problem_untrusted(wasm, *switches) is None:
            raise unsupported(name, advice)
    for sign, name, advice in NAMED_BY_ENGINE:
        if sign in problem:
            raise unsupported(name, advice)
    everything = {switch for switches, _, _ in FEATURES for switch in switches}
    if _problem_untrusted(wasm, *everything) is None:
        raise unsupported("this combination of features is", "build for wasm32-wasip1")
    raise of_engine_untrusted(problem)


def _problem_untrusted(wasm: bytes, *switches: str) -> str | None:
    try:
        wasmtime.Module.validate(wasmtime.Engine(make_config(*switches)), wasm)
    except wasmtime.WasmtimeError as error:
        return str(error)
    return None
