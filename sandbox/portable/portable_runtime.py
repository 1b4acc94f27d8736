"""Wire: one guest in the engine, from its image to its end.

In: the image (checked by the parent), the setup, the packet pipe. Out: `GuestEnd`, always: every way in which a
guest can end is turned into one here. Order: limits of the store, imports, instantiation (which runs the start
section), entry. One that can be stopped is instantiated without its segments and start function, which are called then,
or not at all when it goes on from a state (guest_capture.py).
"""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import wasmtime

from sandbox.portable.debug_log import DebugLog
from sandbox.portable.descriptor_table import DescriptorTable
from sandbox.portable.gate_world import GateWorld
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
from sandbox.portable.guest_memory import GuestMemory
from sandbox.portable.guest_time import GuestClock, gate_tick, wasi_tick
from sandbox.portable.import_table import UNSTABLE_MODULE, find_function_untrusted
from sandbox.portable.live_state import LiveState, Phase, encode_state, read_bytes, read_state
from sandbox.portable.origin_stream import OriginStream
from sandbox.portable.saved_gate import restore_gate_untrusted, save_gate
from sandbox.portable.saved_wasi import restore_wasi_untrusted, save_wasi
from sandbox.portable.saved_world import BadWorld, FieldReader
from sandbox.portable.wasi_layout import PREVIEW1, UNSTABLE
from sandbox.portable.wasi_world import WasiWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.portable.child_orders import ProgramOrders
    from sandbox.portable.guest_control import Control
    from sandbox.portable.guest_setup import GuestSetup
    from sandbox.portable.image_format import ImageHead
    from sandbox.portable.import_table import GuestFunction, Personality
    from sandbox.portable.memory_files import MemoryFiles
    from sandbox.portable.packet_pipe import PacketPipe, PacketReader, PacketWriter
    from sandbox.portable.state_checker import Going, StateChecker

STATUS_IMPORTS = 72
STATUS_SUSPENDED = 4
HIDDEN = "gatebus:"
LOAD, START_FUNCTION = "gatebus:load", "gatebus:start"
# Tables that the rewritten form has besides the program's: functions, references.
HIDDEN_TABLES = 2


@dataclass(slots=True)
class Guest:
    """Everything that one guest consists of in this process."""

    head: ImageHead
    setup: GuestSetup
    pipe: PacketPipe
    reader: PacketReader
    writer: PacketWriter
    log: DebugLog
    store: wasmtime.Store
    memories: list[wasmtime.Memory]
    # a Gate program writes its packets itself: this knows where it is in them
    gate: GateWorld | None = None
    wasi: WasiWorld | None = None
    # of a program that can be stopped, and of one that goes on
    control: Control | None = None
    continuation: wasmtime.Module | None = None
    checker: StateChecker | None = None
    state: bytes = b""

    @property
    def personality(self) -> Personality:
        return "gate" if self.head.personality == "gate" else "wasi"

    @property
    def files(self) -> MemoryFiles:
        """Those of the setup, or of the state that it went on from."""
        return self.setup.files if self.wasi is None else self.wasi.files

    def may_speak(self) -> bool:
        """Between packets: what the runtime sends now will be understood."""
        if self.gate is not None:
            return not self.gate.outbox.unfinished
        return not self.writer.broken

    def last_words(self, packet: bytes) -> None:
        """Send one more packet of the runtime's own, behind what waits of the log. Nobody reads what still comes in."""
        if self.gate is not None:
            packet = bytes(self.gate.outbox.ready) + packet
            self.gate.outbox.ready.clear()
        self.writer.send(packet)

    def break_off(self) -> None:
        """What is unfinished stays so, and goes out as it is."""
        if self.gate is not None:
            self.writer.send(bytes(self.gate.outbox.ready + self.gate.outbox.unfinished))

    def memory_bytes(self) -> int:
        return sum(memory.data_len(self.store) for memory in self.memories)


def make_guest(
    head: ImageHead,
    setup: GuestSetup,
    pipe: PacketPipe,
    reader: PacketReader,
    writer: PacketWriter,
    engine: wasmtime.Engine,
) -> Guest:
    log = DebugLog(wanted=setup.debug_log, limit=setup.begin.log_limit)
    return Guest(head, setup, pipe, reader, writer, log, wasmtime.Store(engine), [])


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
    worlds = _make_worlds(guest, None if restored is None else restored.state.world)
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


def memory_view(guest: Guest) -> Callable[[], memoryview]:
    """The memory that arguments point into, as it is now. It never moves (portable_engine.py), so a view of the
    same size is still right.
    """
    known = [memoryview(b"")]

    def view() -> memoryview:
        if not guest.memories:
            return known[0]
        memory = guest.memories[guest.head.argument_memory]
        size = memory.data_len(guest.store)
        if size != len(known[0]):
            start = ctypes.addressof(memory.data_ptr(guest.store).contents)
            known[0] = memoryview((ctypes.c_ubyte * size).from_address(start)).cast("B")
        return known[0]

    return view


def _make_worlds(guest: Guest, saved: bytes | None) -> Callable[[str], object]:
    """By the module that a function is imported from: `wasi_unstable` has other layouts, everything else is shared."""
    memory = GuestMemory(memory_view(guest))
    if guest.personality == "gate":
        gate = _gate_world(guest, memory)
        if saved is not None:
            restore_gate_untrusted(gate, saved)
        return lambda _module: gate
    preview1 = _wasi_world(guest, memory)
    if saved is not None:
        preview1 = restore_wasi_untrusted(preview1, saved)
    guest.wasi = preview1
    unstable = WasiWorld(**{name: getattr(preview1, name) for name in WasiWorld.__slots__} | {"layout": UNSTABLE})
    return lambda module: unstable if module == UNSTABLE_MODULE else preview1


def _gate_world(guest: Guest, memory: GuestMemory) -> GateWorld:
    tick = gate_tick(guest.setup.begin.resolution)
    world = GateWorld(memory, guest.pipe, guest.log, _clock(tick, masked=True), os.urandom)
    world.lifecycle = guest.setup.lifecycle
    world.inbox.push(guest.reader.rest())
    guest.gate = world
    return world


def _clock(tick: int, *, masked: bool) -> GuestClock:
    return GuestClock(tick, masked, time.time_ns, time.monotonic_ns, time.monotonic_ns())


def _wasi_world(guest: Guest, memory: GuestMemory) -> WasiWorld:
    origin = OriginStream(guest.pipe, guest.reader, guest.writer, guest.setup.begin.origin_credit)
    return WasiWorld(
        memory=memory,
        layout=PREVIEW1,
        files=guest.setup.files,
        table=DescriptorTable(guest.setup.files, plain_output=guest.setup.plain_output),
        arguments=tuple(guest.setup.arguments),
        environment=tuple(guest.setup.environment),
        clock=_clock(wasi_tick(guest.setup.begin.resolution), masked=False),
        random=os.urandom,
        origin=origin,
        log=guest.log,
        pipe=guest.pipe,
    )
