"""Wire: one guest in the engine, from its image to its end.

In: the image (checked by the parent), the setup, the packet pipe. Out: `GuestEnd`, always: every way in which a
guest can end is turned into one here. Order: limits of the store, imports, instantiation (which runs the start
section), entry.
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
from sandbox.portable.guest_entry import (
    MINIMUM_TEXT,
    STATUS_INTERNAL,
    STATUS_MEMORY_LIMIT,
    choose_entry,
    end_of_return,
    end_of_trap,
    is_entry,
    no_such_function,
)
from sandbox.portable.guest_errno import GuestEnd
from sandbox.portable.guest_memory import GuestMemory
from sandbox.portable.guest_time import GuestClock, gate_tick, wasi_tick
from sandbox.portable.import_table import UNSTABLE_MODULE, find_function_untrusted
from sandbox.portable.origin_stream import OriginStream
from sandbox.portable.wasi_layout import PREVIEW1, UNSTABLE
from sandbox.portable.wasi_world import WasiWorld

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.portable.child_orders import ProgramOrders
    from sandbox.portable.guest_setup import GuestSetup
    from sandbox.portable.image_format import ImageHead
    from sandbox.portable.import_table import GuestFunction, Personality
    from sandbox.portable.packet_pipe import PacketPipe, PacketReader, PacketWriter

STATUS_IMPORTS = 72


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

    @property
    def personality(self) -> Personality:
        return "gate" if self.head.personality == "gate" else "wasi"

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
        _limit_store(guest, orders)
        instance = _instantiate(guest, module)
        instantiated = True
        return end_of_return(_enter(guest, instance))
    except GuestEnd as end:
        return end
    except wasmtime.Trap as trap:
        return end_of_trap(trap, instantiated=instantiated)
    except wasmtime.WasmtimeError as error:
        return GuestEnd(STATUS_INTERNAL, text=f"engine: {error}".splitlines()[0])
    except Exception as error:
        return GuestEnd(STATUS_INTERNAL, text=type(error).__name__)


def _limit_store(guest: Guest, orders: ProgramOrders) -> None:
    """The engine limits each memory and table by itself, so several share the limit in equal parts, or as they
    begin.
    """
    memories, tables = guest.head.memory_bytes, guest.head.table_elements
    if sum(memories) > orders.memory or sum(tables) > orders.table:
        raise GuestEnd(STATUS_MEMORY_LIMIT, text=MINIMUM_TEXT)
    guest.store.set_limits(
        memory_size=max((orders.memory // max(1, len(memories)), *memories)),
        table_elements=max((orders.table // max(1, len(tables)), *tables)),
        instances=1,
        memories=max(1, len(memories)),
        tables=max(1, len(tables)),
    )


def _instantiate(guest: Guest, module: wasmtime.Module) -> wasmtime.Instance:
    linker = wasmtime.Linker(guest.store.engine)
    worlds = _make_worlds(guest)
    bound: set[tuple[str, str]] = set()
    for entry in module.imports:
        name = entry.name or ""
        if (entry.module, name) in bound:
            continue
        function = find_function_untrusted(guest.personality, entry.module, name)
        if function is None:
            raise GuestEnd(STATUS_IMPORTS, text="imports are missing")
        call = _with_memories(guest, bind(function, worlds(entry.module), guest.personality))
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
    functions = {name: each for name, each in exports.items() if isinstance(each, wasmtime.Func)}
    entries = {name: each for name, each in functions.items() if is_entry(each.type(guest.store))}
    try:
        wanted = guest.setup.function.decode() if guest.setup.function is not None else None
    except UnicodeDecodeError:
        raise no_such_function() from None
    result = None
    for function in choose_entry(guest.personality, wanted, entries):
        result = function(guest.store)
    return result


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


def _make_worlds(guest: Guest) -> Callable[[str], object]:
    """By the module that a function is imported from: `wasi_unstable` has other layouts, everything else is shared."""
    memory = GuestMemory(memory_view(guest))
    if guest.personality == "gate":
        gate = _gate_world(guest, memory)
        return lambda _module: gate
    preview1 = _wasi_world(guest, memory)
    unstable = WasiWorld(**{name: getattr(preview1, name) for name in WasiWorld.__slots__} | {"layout": UNSTABLE})
    return lambda module: unstable if module == UNSTABLE_MODULE else preview1


def _gate_world(guest: Guest, memory: GuestMemory) -> GateWorld:
    tick = gate_tick(guest.setup.begin.resolution)
    world = GateWorld(memory, guest.pipe, guest.log, _clock(tick, masked=True), os.urandom)
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
