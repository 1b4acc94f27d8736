"""Wire: one guest in the engine, from its image to its end.

In: the image (checked by the parent), the setup, the packet pipe. Out: `GuestEnd`, always: every way in which a
guest can end is turned into one here. Order: limits of the store, imports, instantiation (which runs the start
section), entry. One that can be stopped is instantiated without its segments and start function, which are called then,
or not at all when it goes on from a state (guest_capture.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import wasmtime

from sandbox.portable.guest_calls import bind
from sandbox.portable.guest_capture import Stopped, attach_control, capture, link, most_kept, restore, save_first_memory
from sandbox.portable.guest_control import CONTROL_BYTES
from sandbox.portable.guest_entry import (
    MINIMUM_TEXT,
    START,
    STATUS_INTERNAL,
    STATUS_MEMORY_LIMIT,
    choose_entry,
    end_of_return,
    end_of_trap,
    end_of_unsaved,
    is_entry,
    no_such_function,
)
from sandbox.portable.guest_errno import GuestEnd
from sandbox.portable.import_table import find_function_untrusted
from sandbox.portable.live_state import LiveState, Phase, encode_state, read_bytes, read_state
from sandbox.portable.portable_guest import Guest, make_worlds
from sandbox.portable.saved_gate import save_gate
from sandbox.portable.saved_wasi import save_wasi
from sandbox.portable.saved_world import BadWorld, FieldReader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.portable.child_orders import ProgramOrders
    from sandbox.portable.import_table import GuestFunction
    from sandbox.portable.state_checker import Going

STATUS_IMPORTS = 72
STATUS_SUSPENDED = 4
HIDDEN = "gatebus:"
LOAD, START_FUNCTION = "gatebus:load", "gatebus:start"
# Tables that the rewritten form has besides the program's: functions, references.
HIDDEN_TABLES = 2


def run_guest(guest: Guest, module: wasmtime.Module, orders: ProgramOrders) -> GuestEnd:
    """Until its end."""
    instantiated = False
    try:
        restored = _restored(guest) if guest.setup.resumed else None
        _limit_store(guest, orders, most_kept(module))
        instance = _instantiate(guest, module, restored)
        if guest.control is None:
            instantiated = True
            return end_of_return(_enter(guest, instance))
        stopped = attach_control(guest.store, dict(instance.exports(guest.store).items()), guest.control)
        _limit_own(guest, orders)
        if restored is not None:
            return _go_on(guest, stopped, restored, orders)
        _call_if_there(stopped, LOAD)
        instantiated = True
        return _begin(guest, stopped, orders)
    except GuestEnd as end:
        return end
    except wasmtime.Trap as trap:
        if guest.control is not None and guest.control.is_unwinding:
            return end_of_unsaved(trap)
        return end_of_trap(trap, instantiated=instantiated)
    except wasmtime.WasmtimeError as error:
        return GuestEnd(STATUS_INTERNAL, text=f"engine: {error}".splitlines()[0])
    except Exception as error:
        return GuestEnd(STATUS_INTERNAL, text=type(error).__name__)


def _limit_store(guest: Guest, orders: ProgramOrders, references: int) -> None:
    """The engine limits each memory and table by itself, so several share the limit in equal parts, or as they
    begin. `references`: that may be in frames, in a table that the rewritten form has.
    """
    memories, tables = guest.head.memory_bytes, guest.head.table_elements
    if sum(memories) > orders.memory or sum(tables) > orders.table:
        raise GuestEnd(STATUS_MEMORY_LIMIT, text=MINIMUM_TEXT)
    hidden = guest.head.hidden_tables
    guest.store.set_limits(
        memory_size=max((orders.memory // max(1, len(memories)), CONTROL_BYTES * (hidden is not None), *memories)),
        table_elements=max((orders.table // max(1, len(tables)), hidden or 0, references, *tables)),
        instances=1 if hidden is None else 2,
        memories=max(1, len(memories)) + (hidden is not None),
        tables=max(1, len(tables)) + HIDDEN_TABLES * (hidden is not None),
    )


def _limit_own(guest: Guest, orders: ProgramOrders) -> None:
    """What was made for a stop is there; what grows from now on is the program's."""
    memories, tables = guest.head.memory_bytes, guest.head.table_elements
    guest.store.set_limits(
        memory_size=max((orders.memory // max(1, len(memories)), *memories)),
        table_elements=max((orders.table // max(1, len(tables)), *tables)),
        instances=2,
        memories=len(memories) + 1,
        tables=len(tables) + HIDDEN_TABLES,
    )


def _instantiate(guest: Guest, module: wasmtime.Module, restored: Restored | None) -> wasmtime.Instance:
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
        call = _with_memories(guest, bind(function, worlds(entry.module), guest.personality, unwind))
        linker.define_func(entry.module, name, _type_of(function), call, access_caller=True)
        bound.add((entry.module, name))
    instance = linker.instantiate(guest.store, module)
    if not guest.memories:
        _find_memories(guest, instance.exports(guest.store).__getitem__)
    return instance


def _with_memories(guest: Guest, call: Callable[..., int | None]) -> Callable[..., int | None]:
    """A start section calls imports before instantiation has returned: then the caller says where its memories are."""

    def checked(caller: wasmtime.Caller, *given: int) -> int | None:
        if not guest.memories:
            _find_memories(guest, caller.__getitem__)
        return call(*given)

    return checked


def _type_of(function: GuestFunction) -> wasmtime.FuncType:
    kinds = {"i": wasmtime.ValType.i32, "I": wasmtime.ValType.i64}
    results = [wasmtime.ValType.i32()] if function.has_result else []
    return wasmtime.FuncType([kinds[letter]() for letter in function.parameters], results)


def _find_memories(guest: Guest, export: Callable[[str], object]) -> None:
    for name in guest.head.memory_exports:
        memory = export(name)
        assert isinstance(memory, wasmtime.Memory)
        guest.memories.append(memory)


def _enter(guest: Guest, instance: wasmtime.Instance) -> object:
    exports = instance.exports(guest.store)
    result = None
    for function in choose_entry(guest.personality, _wanted(guest), _entries(guest, dict(exports.items()))):
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


def _call_if_there(stopped: Stopped, name: str) -> None:
    function = stopped.exports.get(name)
    if isinstance(function, wasmtime.Func):
        function(stopped.store)


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
    restore(stopped, state, orders.memory_file)
    stopped.control.put_frames(going.frames)
    assert guest.continuation is not None
    resume = link(stopped, guest.continuation).get(going.export)
    if not isinstance(resume, wasmtime.Func) or not is_entry(resume.type(guest.store)):
        raise BadWorld("the outermost frame is not of an entry function")
    parts = _parts(guest, stopped, None if state.entry == START else state.entry)
    phases = [phase for phase, _ in parts]
    later = parts[phases.index(state.phase) + 1 :] if state.phase in phases else []
    return _call_all(guest, stopped, [(state.phase, resume), *later], state.entry, orders)
