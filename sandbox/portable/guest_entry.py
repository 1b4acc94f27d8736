"""Words: which exported function a program is entered by, and what its end means as a status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wasmtime

from sandbox.portable.guest_errno import GuestEnd

if TYPE_CHECKING:
    from sandbox.portable.import_table import Personality

STATUS_TRAP, STATUS_NO_FUNCTION, STATUS_SEGMENT, STATUS_INTERNAL, STATUS_MEMORY_LIMIT = 30, 73, 76, 70, 63
STATUS_STACK_NOT_SAVED = 78
START = "_start"
INITIALIZE = "_initialize"  # what a library-like WASI module wants to have called before anything else
NOT_EXPORTED = "function not exported or it cannot be used as entry function"
NOT_BESIDE_START = "entry function may not be specified for program with _start function"

TRAPS: dict[wasmtime.TrapCode, tuple[int, str]] = {
    wasmtime.TrapCode.UNREACHABLE: (23, "unreachable instruction"),
    wasmtime.TrapCode.STACK_OVERFLOW: (24, "call stack exhausted"),
    wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS: (25, "memory access out of bounds"),
    wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS: (26, "table index out of bounds"),
    wasmtime.TrapCode.INDIRECT_CALL_TO_NULL: (26, "indirect call of a null element"),
    wasmtime.TrapCode.BAD_SIGNATURE: (27, "indirect call of another signature"),
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: (28, "integer division by zero"),
    wasmtime.TrapCode.INTEGER_OVERFLOW: (29, "integer overflow"),
    wasmtime.TrapCode.BAD_CONVERSION_TO_INTEGER: (29, "invalid conversion to integer"),
}
# Of a program that is being left: nothing but the writing of frames runs then (native/runner/src/ending.rs).
UNSAVED: dict[wasmtime.TrapCode | None, str] = {
    wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS: "what is on its stack takes more than 64 MiB when it is stopped",
    wasmtime.TrapCode.UNREACHABLE: "what is on its stack holds more than 4,194,304 references to functions",
}
OUT_OF_BOUNDS = (wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS, wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS)
SEGMENT_TEXT = "a segment or the start function goes out of bounds"
MINIMUM_TEXT = "the initial memory or table is larger than the limit"


def no_such_function(text: str = NOT_EXPORTED) -> GuestEnd:
    return GuestEnd(STATUS_NO_FUNCTION, text=text)


def choose_entry(
    personality: Personality, wanted: str | None, exports: dict[str, wasmtime.Func]
) -> list[wasmtime.Func]:
    """What is called, in order; nothing: the start section was everything. `exports`: those that can be entered."""
    return _gate_entry(wanted, exports) if personality == "gate" else _wasi_entry(wanted or START, exports)


def _gate_entry(wanted: str | None, exports: dict[str, wasmtime.Func]) -> list[wasmtime.Func]:
    """A module with `_start` has no other entry; without one, no name means no entry."""
    if START in exports:
        if wanted is not None:
            raise no_such_function(NOT_BESIDE_START)
        return [exports[START]]
    if wanted in (None, START):
        return []
    if wanted not in exports:
        raise no_such_function()
    return [exports[wanted]]


def _wasi_entry(wanted: str, exports: dict[str, wasmtime.Func]) -> list[wasmtime.Func]:
    """`_start`, or a named function of a module that has been initialised."""
    if wanted == START and START in exports:
        return [exports[START]]
    if wanted != START and wanted not in exports:
        raise no_such_function()
    return [exports[name] for name in (INITIALIZE, wanted) if name in exports]


def is_entry(kind: wasmtime.FuncType) -> bool:
    """No parameters; nothing or one i32 comes back."""
    return not kind.params and (not kind.results or kind.results == [wasmtime.ValType.i32()])


def end_of_return(value: object) -> GuestEnd:
    """0 or nothing is success."""
    result = value if isinstance(value, int) else 0
    return GuestEnd(1 if result else 0, result)


def end_of_unsaved(trap: wasmtime.Trap) -> GuestEnd:
    """Of one that was being left."""
    text = UNSAVED.get(trap.trap_code)
    return end_of_trap(trap, instantiated=True) if text is None else GuestEnd(STATUS_STACK_NOT_SAVED, text=text)


def end_of_trap(trap: wasmtime.Trap, *, instantiated: bool) -> GuestEnd:
    """During instantiation an access out of bounds is a segment that does not fit."""
    code = trap.trap_code
    if not instantiated and code in OUT_OF_BOUNDS:
        return GuestEnd(STATUS_SEGMENT, text=SEGMENT_TEXT)
    if code is None:
        return GuestEnd(STATUS_TRAP, text="uncaught exception")
    if code in TRAPS:
        status, text = TRAPS[code]
        return GuestEnd(status, text=text)
    return GuestEnd(STATUS_TRAP, text=_engine_sentence(str(trap)))


def _engine_sentence(message: str) -> str:
    """`wasm trap: null reference` at the end of a backtrace -> `null reference`."""
    last = message.strip().splitlines()[-1].strip()
    return last.removeprefix("wasm trap: ")
