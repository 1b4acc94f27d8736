"""Assembly: the process of one program.

    parent --orders (command line), packets (descriptor 0)--> [main thread: limits, image, checker, watchdog]
                                                                     |
                                                              [guest thread: setup, instantiation, guest, files, report]

The orders and the setup are from our own host. The image is the engine's own output, checked by its SHA-256.
Everything that the guest does is untrusted. The exit status is the table of PROTOCOL.md; `os._exit` ends the
process, because a guest's objects are not worth an orderly end. The guest has a thread of its own because a limit
of time must be watched from outside of it, and its stack a known size.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import wasmtime

from sandbox.limits import RESTORE_MAX
from sandbox.portable.child_orders import ProgramOrders, decode_program_orders
from sandbox.portable.guest_control import Control
from sandbox.portable.guest_errno import GuestEnd
from sandbox.portable.guest_setup import GuestSetup, SetupReader, report_packet, state_packets, tree_left
from sandbox.portable.image_format import BadImage, ImageHead, load_image
from sandbox.portable.packet_pipe import PacketReader, PacketWriter
from sandbox.portable.portable_channel import SocketChannel
from sandbox.portable.portable_engine import make_engine
from sandbox.portable.portable_guest import Guest, make_guest
from sandbox.portable.portable_runtime import STATUS_SUSPENDED, run_guest
from sandbox.portable.portable_watchdog import Watchdog
from sandbox.portable.process_limits import limit_processes, limit_program
from sandbox.portable.state_checker import StateChecker

if TYPE_CHECKING:
    from sandbox.portable.packet_pipe import PacketPipe

STATUS_IMAGE, STATUS_INTERNAL = 71, 70
# Ends that are the guest's own doing and leave the packet stream whole: only then files and a report can follow.
BY_ITSELF = (0, 1, 2, 3)
SETUP_READ = 65536
# Python's own frames of a host function stand above the guest's on the same stack.
STACK_FOR_HOST = 4 << 20
SECOND = 1_000_000_000


class Life:
    """One program from its orders to its status. A class because two threads share it."""

    def __init__(self, orders: ProgramOrders, started: int) -> None:
        self.orders = orders
        self.wall_end = started + orders.wall_ms * 1_000_000 if orders.wall_ms else None
        self.engine = make_engine(orders.stack)
        self.continuation: wasmtime.Module | None = None
        self.checker: StateChecker | None = None
        self.watchdog = Watchdog(orders.cpu_ms, None if self.wall_end is None else self.wall_end / SECOND)
        self.status = STATUS_INTERNAL
        self.control = Control(orders.stop) if orders.stop >= 0 else None

    def run(self, pipe: PacketPipe) -> int:
        """The status of the process."""
        head, module = self._load(self.orders.image, self.orders.image_sha256)
        if self.orders.continuation:
            self.continuation = self._load(self.orders.continuation, self.orders.continuation_sha256)[1]
            self.checker = StateChecker(self.orders.checker)
        threading.stack_size(self.orders.stack + STACK_FOR_HOST)
        guest = threading.Thread(target=self._guest_thread, args=(pipe, head, module), daemon=True)
        guest.start()
        limit_processes()
        self.watchdog.watch(guest)
        return self.status

    def _load(self, path: str, sha256: str) -> tuple[ImageHead, wasmtime.Module]:
        """Raises BadImage, WasmtimeError."""
        data = Path(path).read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise BadImage
        head, code = load_image(data)
        return head, wasmtime.Module.deserialize(self.engine, code)

    def _guest_thread(self, pipe: PacketPipe, head: ImageHead, module: wasmtime.Module) -> None:
        try:
            self.status = self._guest(pipe, head, module)
        except GuestEnd as end:
            self.status = end.status
        except BaseException:
            self.status = STATUS_INTERNAL
            raise

    def _guest(self, pipe: PacketPipe, head: ImageHead, module: wasmtime.Module) -> int:
        reader, writer = PacketReader(), PacketWriter(pipe)
        setup = _read_setup(pipe, reader, RESTORE_MAX if self.continuation else 0)
        guest = make_guest(head, setup, pipe, reader, writer, self.engine)
        guest.control, guest.continuation, guest.checker = self.control, self.continuation, self.checker
        self.watchdog.start_counting()
        end = run_guest(guest, module, self.orders)
        if self.watchdog.cause is not None:
            return self.watchdog.cause
        _say_goodbye(guest, end)
        return end.status


def _read_setup(pipe: PacketPipe, reader: PacketReader, restore_max: int) -> GuestSetup:
    setup = SetupReader(restore_max)
    while not setup.done:
        pipe.wait(readable=True, writable=False, until=None)
        reader.feed(pipe.receive(SETUP_READ))
        while not setup.done and (packet := reader.next_packet()):
            setup.take(packet, time.time_ns())
    return setup.setup


def _say_goodbye(guest: Guest, end: GuestEnd) -> None:
    """The tree, if it is wanted, and the report; what there is of a packet that the guest has not finished instead."""
    if end.status == STATUS_SUSPENDED:
        # what is unfinished of a packet is in the state, and the host has seen nothing of it
        for packet in state_packets(guest.state):
            guest.last_words(packet)
    elif not guest.may_speak():
        guest.break_off()
        return
    if guest.setup.wants_files and end.status in BY_ITSELF:
        for packet in tree_left(guest.files):
            guest.last_words(packet)
    guest.last_words(report_packet(end, guest.memory_bytes(), guest.log.dropped))


def main(orders: str) -> int:
    started = time.monotonic_ns()
    decoded = decode_program_orders(orders)
    limit_program(decoded.data, decoded.cpu_ms)
    try:
        life = Life(decoded, started)
        return life.run(SocketChannel(socket.socket(fileno=0), life.wall_end))
    except GuestEnd as end:
        return end.status
    except (BadImage, wasmtime.WasmtimeError, OSError):
        return STATUS_IMAGE
