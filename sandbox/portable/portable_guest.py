"""Wire: everything that one guest consists of in this process, and the world that its imports reach.

In: the head of its image (checked by the parent), the setup or the state that it goes on from, the packet pipe. Out: a
`Guest`, which portable_runtime.py runs; its world, by the module that a function is imported from.
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
from sandbox.portable.guest_memory import GuestMemory
from sandbox.portable.guest_time import GuestClock, gate_tick, wasi_tick
from sandbox.portable.import_table import UNSTABLE_MODULE
from sandbox.portable.origin_stream import OriginStream
from sandbox.portable.saved_gate import restore_gate_untrusted
from sandbox.portable.saved_wasi import restore_wasi_untrusted
from sandbox.portable.wasi_layout import PREVIEW1, UNSTABLE
from sandbox.portable.wasi_world import WasiWorld

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.portable.guest_control import Control
    from sandbox.portable.guest_setup import GuestSetup
    from sandbox.portable.image_format import ImageHead
    from sandbox.portable.import_table import Personality
    from sandbox.portable.memory_files import MemoryFiles
    from sandbox.portable.packet_pipe import PacketPipe, PacketReader, PacketWriter
    from sandbox.portable.state_checker import StateChecker


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
    # its segments are loaded and its start function has come to its end
    instantiated: bool = False

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


def make_worlds(guest: Guest, saved: bytes | None) -> Callable[[str], object]:
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
