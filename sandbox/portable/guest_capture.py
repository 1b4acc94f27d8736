"""Wire: what a program was doing when it was left, and back into a fresh instance (native/runner/src/{stop,go}.rs).

In:  an instance whose call has returned with frames in the control memory; or a state from anyone (untrusted: BadWorld,
or a run inside the sandbox). Memory 0 goes by a file of the parent's: this process may write none, so it is mapped.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import wasmtime

from sandbox.portable.guest_control import CONTROL_EXPORT, REFERENCES_WRITTEN
from sandbox.portable.guest_errno import GuestEnd
from sandbox.portable.guest_values import FUNCTIONS, Values
from sandbox.portable.live_state import (
    PAGE,
    PIECE,
    LiveState,
    Phase,
    SavedGlobal,
    SavedTable,
    save_memory,
)
from sandbox.portable.saved_world import BadWorld

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.portable.guest_control import Control

MEMORY, GLOBAL, TABLE, CHANGES = "gatebus:memory:", "gatebus:global:", "gatebus:table:", "gatebus:changes:"
DROPPED, REFERENCES = "gatebus:dropped:", "gatebus:references"
CHUNK = 65536
STATUS_IMAGE = 71


@dataclass(frozen=True, slots=True)
class Stopped:
    """An instance that can be stopped, with its hidden exports."""

    store: wasmtime.Store
    exports: Mapping[str, object]
    control: Control

    def values(self) -> Values:
        functions = self.exports.get(FUNCTIONS)
        return Values(self.store, functions if isinstance(functions, wasmtime.Table) else None)

    def numbered(self, prefix: str) -> list[tuple[int, object]]:
        """The exports that begin so, by their numbers."""
        found = ((name.removeprefix(prefix), each) for name, each in self.exports.items() if name.startswith(prefix))
        return sorted((int(number), each) for number, each in found if number.isdigit())

    def memories(self) -> list[wasmtime.Memory]:
        return [each for _, each in self.numbered(MEMORY) if isinstance(each, wasmtime.Memory)]

    def content(self, memory: wasmtime.Memory) -> memoryview:
        size = memory.data_len(self.store)
        if not size:
            return memoryview(b"")
        start = ctypes.addressof(memory.data_ptr(self.store).contents)
        return memoryview((ctypes.c_ubyte * size).from_address(start)).cast("B")


def most_kept(module: wasmtime.Module) -> int:
    """How many references to functions its frames may hold."""
    types = (each.type for each in module.exports if each.name == REFERENCES)
    return max((each.limits.max or 0 for each in types if isinstance(each, wasmtime.TableType)), default=0)


def attach_control(store: wasmtime.Store, exports: Mapping[str, object], control: Control) -> Stopped:
    """The table of references is made as large as it may become: the engine would count its growth as the program's."""
    memory, references = exports[CONTROL_EXPORT], exports.get(REFERENCES)
    assert isinstance(memory, wasmtime.Memory)
    if isinstance(references, wasmtime.Table):
        references.grow(store, references.type(store).limits.max or 0, None)
    control.attach(ctypes.addressof(memory.data_ptr(store).contents))
    return Stopped(store, exports, control)


def capture(left: Stopped, phase: Phase, entry: str, world: bytes) -> LiveState:
    """Raises BadWorld."""
    values, memories = left.values(), left.memories()
    kept, references = left.control.word(REFERENCES_WRITTEN), left.exports.get(REFERENCES)
    return LiveState(
        phase,
        entry,
        memories[0].size(left.store) if memories else 0,
        left.control.frames(),
        values.read_table(references, kept) if kept and isinstance(references, wasmtime.Table) else (),
        tuple(_globals(left, values)),
        tuple(_tables(left, values)),
        _dropped(left, "data.drop:"),
        _dropped(left, "elem.drop:"),
        tuple(save_memory(left.content(each)) for each in memories[1:]),
        world,
    )


def _globals(left: Stopped, values: Values) -> list[SavedGlobal]:
    found = left.numbered(GLOBAL)
    return [
        SavedGlobal(number, *values.read_global(each))
        for number, each in found
        if isinstance(each, wasmtime.Global) and each.type(left.store).mutable
    ]


def _tables(left: Stopped, values: Values) -> list[SavedTable]:
    found = left.numbered(CHANGES)
    return [
        SavedTable(number, values.read_table(each, each.size(left.store)))
        for number, each in found
        if isinstance(each, wasmtime.Table)
    ]


def _dropped(left: Stopped, kind: str) -> tuple[int, ...]:
    found = left.numbered(DROPPED + kind)
    return tuple(n for n, each in found if isinstance(each, wasmtime.Global) and each.value(left.store) == 1)


def save_first_memory(left: Stopped, path: str) -> None:
    """Only what differs from the file is written: holes stay holes."""
    memories = left.memories()
    content = left.content(memories[0]) if memories else memoryview(b"")
    if not content:
        return
    with Path(path).open("r+b") as file, mmap.mmap(file.fileno(), len(content)) as mapped:
        for at in range(0, len(content), CHUNK):
            piece = bytes(content[at : at + CHUNK])
            if os.pread(file.fileno(), CHUNK, at) != piece:
                mapped[at : at + CHUNK] = piece


def restore(into: Stopped, state: LiveState, path: str) -> None:
    """Everything but the frames. Raises BadWorld."""
    _restore_memories(into, state, path)
    values, exports = into.values(), into.exports
    for saved in state.globals:
        found = exports.get(f"{GLOBAL}{saved.number}")
        if not isinstance(found, wasmtime.Global) or not found.type(into.store).mutable:
            raise BadWorld("a global is not one of the program's")
        if values.read_global(found)[0] != saved.kind:
            raise BadWorld("a global is not one of the program's")
        values.write_global(found, saved.kind, saved.bits)
    for table in state.tables:
        _restore_table(into, values, table)
    if state.references:
        references = exports.get(REFERENCES)
        if not isinstance(references, wasmtime.Table):
            raise BadWorld("a table is not one that the program can change")
        values.put_entries(references, state.references)
    _drop(into, "data", state.dropped_data)
    _drop(into, "elem", state.dropped_elements)


def _restore_table(into: Stopped, values: Values, saved: SavedTable) -> None:
    table = into.exports.get(f"{TABLE}{saved.number}")
    if f"{CHANGES}{saved.number}" not in into.exports or not isinstance(table, wasmtime.Table):
        raise BadWorld("a table is not one that the program can change")
    values.fill_table(table, saved.entries)


def _drop(into: Stopped, kind: str, numbers: tuple[int, ...]) -> None:
    for number in numbers:
        drop = into.exports.get(f"gatebus:{kind}.drop:{number}")
        if not isinstance(drop, wasmtime.Func):
            raise BadWorld("a dropped segment is not one of the program's")
        drop(into.store)


def _restore_memories(into: Stopped, state: LiveState, path: str) -> None:
    memories = into.memories()
    wanted = [state.pages, *(each.pages for each in state.memories)] if memories or state.pages else []
    if len(wanted) > len(memories):
        raise BadWorld("it has more memories than the program")
    for memory, pages in zip(memories, wanted, strict=False):
        missing = pages - memory.size(into.store)
        if missing < 0:
            raise BadWorld("a memory is too small")
        try:
            memory.grow(into.store, missing)
        except wasmtime.WasmtimeError:
            raise BadWorld("a memory is larger than the program may make it") from None
    for memory, saved in zip(memories[1:], state.memories, strict=False):
        content = into.content(memory)
        for place, piece in saved.pieces:
            content[place * PIECE : (place + 1) * PIECE] = piece
    if memories:
        _load_first(into.content(memories[0]), state.pages * PAGE, path)


def _load_first(content: memoryview, size: int, path: str) -> None:
    zeros = bytes(CHUNK)
    with Path(path).open("rb") as file:
        for at in range(0, size, CHUNK):
            piece = os.pread(file.fileno(), CHUNK, at)
            if piece != zeros[: len(piece)]:
                content[at : at + len(piece)] = piece


def link(into: Stopped, continuation: wasmtime.Module) -> dict[str, object]:
    """The exports of what goes on, which runs the program's own functions."""
    linker = wasmtime.Linker(into.store.engine)
    for name in {entry.name or "" for entry in continuation.imports}:
        item = into.exports.get(name)
        if item is None:
            raise GuestEnd(STATUS_IMAGE, text="the continuation is not of this program")
        linker.define(into.store, "program", name, cast("Any", item))
    made = linker.instantiate(into.store, continuation)
    return dict(made.exports(into.store).items())
