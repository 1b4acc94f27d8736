"""Wire: values of globals and tables bit by bit, and references to functions as numbers.

The package's own values lose the bits of a NaN and have no vectors; the engine's C interface below has them. The number
of a function is its place in the hidden table `gatebus:functions`, plus 1; 0 is null.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import wasmtime
from wasmtime import _ffi as ffi

from sandbox.portable.live_state import EXTERN, FUNCTION, SIZES
from sandbox.portable.saved_world import BadWorld

if TYPE_CHECKING:
    from collections.abc import Sequence

FUNCTIONS = "gatebus:functions"
NO_NUMBER = "it holds a reference that has no number"
NOT_ITS_OWN = "a reference is not to a function of the program"


class Values:
    """Of one instance."""

    def __init__(self, store: wasmtime.Store, functions: wasmtime.Table | None) -> None:
        self._store, self._functions = store, functions
        self._numbers: dict[int, int] | None = None

    def read_global(self, given: wasmtime.Global) -> tuple[int, bytes]:
        """Kind and bits, as a state has them. Raises BadWorld."""
        raw = ffi.wasmtime_val_t()
        ffi.wasmtime_global_get(self._store._context(), ctypes.byref(given._global), ctypes.byref(raw))
        return self._kind(raw), self._bits(raw)

    def write_global(self, given: wasmtime.Global, kind: int, bits: bytes) -> None:
        """Raises BadWorld."""
        raw = self._raw(kind, bits)
        error = ffi.wasmtime_global_set(self._store._context(), ctypes.byref(given._global), ctypes.byref(raw))
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)

    def read_table(self, table: wasmtime.Table, count: int) -> tuple[int, ...]:
        """Raises BadWorld."""
        return tuple(int.from_bytes(self._bits(self._entry(table, place)), "little") for place in range(count))

    def fill_table(self, table: wasmtime.Table, entries: Sequence[int]) -> None:
        """It may have to grow and cannot shrink. Raises BadWorld."""
        missing = len(entries) - table.size(self._store)
        if missing < 0:
            raise BadWorld(NOT_ITS_OWN)
        try:
            table.grow(self._store, missing, None)
        except wasmtime.WasmtimeError:
            raise BadWorld("a table is larger than the program may make it") from None
        self.put_entries(table, entries)

    def put_entries(self, table: wasmtime.Table, entries: Sequence[int]) -> None:
        """From its beginning on. Raises BadWorld."""
        if len(entries) > table.size(self._store):
            raise BadWorld(NOT_ITS_OWN)
        kind = EXTERN if table.type(self._store).element == wasmtime.ValType.externref() else FUNCTION
        for place, number in enumerate(entries):
            raw = self._raw(kind, number.to_bytes(4, "little"))
            ffi.wasmtime_table_set(self._store._context(), ctypes.byref(table._table), place, ctypes.byref(raw))

    def _entry(self, table: wasmtime.Table, place: int) -> Any:
        raw = ffi.wasmtime_val_t()
        if not ffi.wasmtime_table_get(self._store._context(), ctypes.byref(table._table), place, ctypes.byref(raw)):
            raise BadWorld(NOT_ITS_OWN)
        return raw

    def _kind(self, raw: Any) -> int:
        """Numbers and vectors have the engine's numbers; the engine's references do not."""
        if raw.kind == ffi.WASMTIME_FUNCREF.value:
            return FUNCTION
        if raw.kind == ffi.WASMTIME_EXTERNREF.value:
            return EXTERN
        if raw.kind >= FUNCTION:
            raise BadWorld(NO_NUMBER)
        return int(raw.kind)

    def _bits(self, raw: Any) -> bytes:
        kind = self._kind(raw)
        if kind == FUNCTION:
            return self._number(raw).to_bytes(4, "little")
        if kind == EXTERN:
            if raw.of.externref.store_id:
                raise BadWorld(NO_NUMBER)
            return bytes(4)
        return bytes(raw.of.v128)[: SIZES[kind]]

    def _number(self, raw: Any) -> int:
        if not raw.of.funcref.store_id:
            return 0
        if self._numbers is None:
            self._numbers = self._all_numbers()
        number = self._numbers.get(self._pointer(raw))
        if number is None:
            raise BadWorld(NO_NUMBER)
        return number

    def _all_numbers(self) -> dict[int, int]:
        table = self._functions
        if table is None:
            return {}
        entries = ((self._entry(table, place), place + 1) for place in range(table.size(self._store)))
        return {self._pointer(raw): number for raw, number in entries if raw.of.funcref.store_id}

    def _pointer(self, raw: Any) -> int:
        pointer: Any = ffi.wasmtime_func_to_raw(self._store._context(), ctypes.byref(raw.of.funcref))
        return int(pointer or 0)

    def _raw(self, kind: int, bits: bytes) -> Any:
        number = int.from_bytes(bits, "little")
        if kind == FUNCTION and number:
            if self._functions is None or number > self._functions.size(self._store):
                raise BadWorld(NOT_ITS_OWN)
            return self._entry(self._functions, number - 1)
        if kind == EXTERN and number:
            raise BadWorld("a reference to something of the host is alive")
        raw = ffi.wasmtime_val_t()
        kinds = {FUNCTION: ffi.WASMTIME_FUNCREF, EXTERN: ffi.WASMTIME_EXTERNREF}
        raw.kind = kinds.get(kind, ctypes.c_uint8(kind))
        ctypes.memmove(ctypes.byref(raw.of), bits, len(bits))  # a null reference is zeros
        return raw
