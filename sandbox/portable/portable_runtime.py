"""Wire: one guest in the engine, from its image to its end.

In: the image (checked by the parent), the setup, the packet pipe. Out: `GuestEnd`, always: every way in which a
guest can end is turned into one here. Order: limits of the store, imports, instantiation, limits that several memories
share, start function, entry. One that can be stopped is instantiated without its segments, too, which are loaded then,
or not at all when it goes on from a state (guest_capture.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import wasmtime

from sandbox.portable.guest_calls import bind
from sandbox.portable.guest_capture import Stopped, attach_control, capture, link, most_kept, restore, save_first_memory
from sandbox.portable.guest_entry import (
    START,
    STATUS_INTERNAL,
    choose_entry,
    end_of_return,
    end_of_trap,
    end_of_unsaved,
    is_entry,
    no_such_function,
)
from sandbox.portable.guest_errno import GuestEnd
from sandbox.portable.guest_limits import check_sizes_untrusted, limit_own, limit_shared, limit_store
from sandbox.portable.import_table import find_function_untrusted
from sandbox.portable.live_state import LiveState, Phase, encode_state, read_bytes, read_state
from sandbox.portable.portable_guest import Guest, make_worlds
from sandbox.portable.saved_gate import save_gate
from sandbox.portable.saved_wasi import save_wasi
from sandbox.portable.saved_world import BadWorld, FieldReader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.portable.child_orders import ProgramOrders
    from sandbox.portable.import_table import GuestFunction
    from sandbox.portable.state_checker import Going

STATUS_IMPORTS = 72
STATUS_SUSPENDED = 4
HIDDEN = "gatebus:"
LOAD, START_FUNCTION = "gatebus:load", "gatebus:start"


def run_guest(guest: Guest, module: wasmtime.Module, orders: ProgramOrders) -> GuestEnd:
    """Until its end."""
    try:
        restored = _restored(guest) if guest.setup.resumed else None
        limit_store(guest.store, guest.head, orders, most_kept(module))
        exports = _instantiate(guest, module, restored)
        limit_shared(guest.store, exports, guest.head, orders)
        if guest.control is None:
            return end_of_return(_enter(guest, exports))
        stopped = attach_control(guest.store, exports, guest.control)
        limit_own(guest.store, guest.head, orders)
        if restored is not None:
            return _go_on(guest, stopped, restored, orders)
        _call_if_there(stopped.store, stopped.exports, LOAD)
        return _begin(guest, stopped, orders)
    except GuestEnd as end:
        return end
    except wasmtime.Trap as trap:
        if guest.control is not None and guest.control.is_unwinding:
            return end_of_unsaved(trap)
        return end_of_trap(trap, instantiated=guest.instantiated)
    except wasmtime.WasmtimeError as error:
        return GuestEnd(STATUS_INTERNAL, text=f"engine: {error}".splitlines()[0])
    except Exception as error:
        return GuestEnd(STATUS_INTERNAL, text=type(error).__name__)


def _instantiate(guest: Guest, module: wasmtime.Module, restored: Restored | None) -> dict[str, object]:
    """What it exports."""
    linker = wasmtime.Linker(guest.store.engine)
    worlds = make_worlds(guest, None if restored is None else restored.state.world)
    unwind = None if guest.control is None else guest.control.unwind
    bound: set[tuple[str, str]] = set()
    for entry in module.imports:
        name = entry.name or ""
        if (entry.module, name) in bound:
            continue
        function = find_function_untrusted(guest.personality, entry.module, name)
        if function is None:
            raise GuestEnd(STATUS_IMPORTS, text="imports are missing")
        call = bind(function, worlds(entry.module), guest.personality, unwind)
        linker.define_func(entry.module, name, _type_of(function), call)
        bound.add((entry.module, name))
    exports: dict[str, object] = dict(linker.instantiate(guest.store, module).exports(guest.store).items())
    _find_memories(guest, exports)
    return exports


def _type_of(function: GuestFunction) -> wasmtime.FuncType:
    kinds = {"i": wasmtime.ValType.i32, "I": wasmtime.ValType.i64}
    results = [wasmtime.ValType.i32()] if function.has_result else []
    return wasmtime.FuncType([kinds[letter]() for letter in function.parameters], results)


def _find_memories(guest: Guest, exports: Mapping[str, object]) -> None:
    for name in guest.head.memory_exports:
        memory = exports[name]
        assert isinstance(memory, wasmtime.Memory)
        guest.memories.append(memory)


def _enter(guest: Guest, exports: dict[str, object]) -> object:
    _call_if_there(guest.store, exports, guest.head.start)
    guest.instantiated = True
    exports.pop(guest.head.start, None)
    result = None
    for function in choose_entry(guest.personality, _wanted(guest), _entries(guest, exports)):
        result = function(guest.store)
    return result


def _entries(guest: Guest, exports: Mapping[str, object]) -> dict[str, wasmtime.Func]:
    functions = {name: each for name, each in exports.items() if isinstance(each, wasmtime.Func)}
    return {name: each for name, each in functions.items() if is_entry(each.type(guest.store))}


def _wanted(guest: Guest) -> str | None:
    try:
        return guest.setup.function.decode() if guest.setup.function is not None else None
    except UnicodeDecodeError:
        raise no_such_function() from None


# -- of programs that can be stopped


@dataclass(frozen=True, slots=True)
class Restored:
    going: Going
    state: LiveState


def _restored(guest: Guest) -> Restored:
    """Raises BadWorld."""
    assert guest.checker is not None
    given, guest.setup.restore = bytes(guest.setup.restore), bytearray()
    going = guest.checker.check_untrusted(given)
    fields = FieldReader(given)
    read_bytes(fields)
    return Restored(going, read_state(fields.rest()))


def _call_if_there(store: wasmtime.Store, exports: Mapping[str, object], name: str) -> None:
    function = exports.get(name)
    if isinstance(function, wasmtime.Func):
        function(store)


def _parts(guest: Guest, stopped: Stopped, wanted: str | None) -> list[tuple[Phase, wasmtime.Func]]:
    """What is called, in order."""
    entries = _entries(guest, stopped.exports)
    own = {name: each for name, each in entries.items() if not name.startswith(HIDDEN)}
    chosen = choose_entry(guest.personality, wanted, own)
    before = len(chosen) - ((wanted or START) in own)
    parts = [(Phase.INITIALIZE if at < before else Phase.ENTRY, each) for at, each in enumerate(chosen)]
    start = entries.get(START_FUNCTION)
    return parts if start is None else [(Phase.START, start), *parts]


def _begin(guest: Guest, stopped: Stopped, orders: ProgramOrders) -> GuestEnd:
    wanted = _wanted(guest)
    return _call_all(guest, stopped, _parts(guest, stopped, wanted), wanted or START, orders)


def _call_all(
    guest: Guest, stopped: Stopped, parts: list[tuple[Phase, wasmtime.Func]], entry: str, orders: ProgramOrders
) -> GuestEnd:
    result = None
    for phase, function in parts:
        guest.instantiated = phase is not Phase.START
        given = function(guest.store)
        if stopped.control.is_unwinding:
            return _suspend(guest, stopped, phase, entry, orders)
        result = given if phase is Phase.ENTRY else None
    return end_of_return(result)


def _suspend(guest: Guest, stopped: Stopped, phase: Phase, entry: str, orders: ProgramOrders) -> GuestEnd:
    if guest.gate is not None:
        guest.gate.drain_until_suspend()
        world = save_gate(guest.gate)
    else:
        assert guest.wasi is not None
        guest.wasi.origin.drain_until_suspend()
        world = save_wasi(guest.wasi)
    guest.state = encode_state(capture(stopped, phase, entry, world))
    save_first_memory(stopped, orders.memory_file)
    return GuestEnd(STATUS_SUSPENDED)


def _go_on(guest: Guest, stopped: Stopped, restored: Restored, orders: ProgramOrders) -> GuestEnd:
    going, state = restored.going, restored.state
    check_sizes_untrusted(state, guest.head, orders)
    restore(stopped, state, orders.memory_file)
    stopped.control.put_frames(going.frames)
    assert guest.continuation is not None
    continued = link(stopped, guest.continuation)
    limit_shared(guest.store, continued, guest.head, orders)
    resume = continued.get(going.export)
    if not isinstance(resume, wasmtime.Func) or not is_entry(resume.type(guest.store)):
        raise BadWorld("the outermost frame is not of an entry function")
    parts = _parts(guest, stopped, None if state.entry == START else state.entry)
    phases = [phase for phase, _ in parts]
    later = parts[phases.index(state.phase) + 1 :] if state.phase in phases else []
    return _call_all(guest, stopped, [(state.phase, resume), *later], state.entry, orders)
