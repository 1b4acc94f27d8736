"""Words: everything a WASI program can reach, in one value; the functions in wasi_*_calls.py get it as first argument.

Clocks are coarse (resolution from BEGIN) and randomness is fresh from the operating system: both are passed in, so that
tests decide them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.portable.debug_log import DebugLog
    from sandbox.portable.descriptor_table import DescriptorTable
    from sandbox.portable.guest_memory import GuestMemory
    from sandbox.portable.memory_files import MemoryFiles
    from sandbox.portable.origin_stream import OriginStream
    from sandbox.portable.packet_pipe import PacketPipe
    from sandbox.portable.wasi_layout import Layout

SECOND = 1_000_000_000
REALTIME, MONOTONIC, PROCESS_TIME, THREAD_TIME = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class GuestClock:
    """The two clocks of a guest, never finer than the resolution. Monotonic time starts at one second: zero is no
    time.
    """

    resolution: int
    realtime_source: Callable[[], int]
    monotonic_source: Callable[[], int]
    started: int

    def realtime(self) -> int:
        return self._coarse(self.realtime_source())

    def monotonic(self) -> int:
        return self._coarse(self.monotonic_source() - self.started + SECOND)

    def _coarse(self, value: int) -> int:
        return value - value % self.resolution


@dataclass(frozen=True, slots=True)
class WasiWorld:
    memory: GuestMemory
    layout: Layout
    files: MemoryFiles
    table: DescriptorTable
    arguments: tuple[bytes, ...]
    environment: tuple[bytes, ...]
    clock: GuestClock
    random: Callable[[int], bytes]
    origin: OriginStream
    log: DebugLog
    pipe: PacketPipe

    def now(self) -> int:
        """For the times of files: the guest's own clock, so that both agree."""
        return self.clock.realtime()
