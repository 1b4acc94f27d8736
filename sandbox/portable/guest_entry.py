"""Words: which exported function a program is entered by, and what its end means as a status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wasmtime

from sandbox.portable.guest_errno import GuestEnd

if TYPE_CHECKING:
    from sandbox.portable.import_table import Personality

STATUS_TRAP, STATUS_NO_FUNCTION, STATUS_SEGMENT, STATUS_INTERNAL, STATUS_MEMORY_LIMIT = 30, 73, 76, 70, 63
START = "_start"

TRAP_STATUS: dict[wasmtime.TrapCode, int] = {
    wasmtime.TrapCode.UNREACHABLE: 23,
    wasmtime.TrapCode.STACK_OVERFLOW: 24,
    wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS: 25,
    wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS: 26,
    wasmtime.TrapCode.INDIRECT_CALL_TO_NULL: 26,
    wasmtime.TrapCode.BAD_SIGNATURE: 27,
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: 28,
    wasmtime.TrapCode.INTEGER_OVERFLOW: 29,
    wasmtime.TrapCode.BAD_CONVERSION_TO_INTEGER: 29,
}


def no_such_function() -> GuestEnd:
    return GuestEnd(STATUS_NO_FUNCTION)


def choose_entry(
    personality: Personality, wanted: str | None, exports: dict[str, wasmtime.Func]
) -> wasmtime.Func | None:
    """None: there is nothing to enter (the start section was everything). `exports`: those with the signature of an
    entry.
    """
    if not wanted:
        return exports.get(START)
    if personality == "gate" and START in exports:
        raise no_such_function()
    if wanted not in exports:
        raise no_such_function()
    return exports[wanted]


def is_entry(kind: wasmtime.FuncType) -> bool:
    """No parameters; nothing or one i32 comes back."""
    return not kind.params and (not kind.results or kind.results == [wasmtime.ValType.i32()])


def end_of_return(value: object) -> GuestEnd:
    """0 or nothing is success."""
    result = value if isinstance(value, int) else 0
    return GuestEnd(1 if result else 0, result)


def end_of_trap(trap: wasmtime.Trap, *, instantiated: bool) -> GuestEnd:
    code = trap.trap_code
    if not instantiated and not trap.frames and code in (
        wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS,
        wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS,
    ):
        return GuestEnd(STATUS_SEGMENT)
    if code is None:
        return GuestEnd(STATUS_TRAP, text="uncaught exception")
    if code in TRAP_STATUS:
        return GuestEnd(TRAP_STATUS[code])
    return GuestEnd(STATUS_TRAP, text=code.name.lower().replace("_", " "))
