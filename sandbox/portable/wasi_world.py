"""Words: everything a WASI program can reach, in one value; the functions in wasi_*_calls.py get it as first argument.

Clocks are coarse (resolution from BEGIN) and randomness is fresh from the operating system: both are passed in, so that
tests decide them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.portable.guest_time import REALTIME
from sandbox.portable.saved_world import StoppedWait

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.portable.debug_log import DebugLog
    from sandbox.portable.descriptor_table import DescriptorTable
    from sandbox.portable.guest_memory import GuestMemory
    from sandbox.portable.guest_time import GuestClock
    from sandbox.portable.memory_files import MemoryFiles
    from sandbox.portable.origin_stream import OriginStream
    from sandbox.portable.packet_pipe import PacketPipe
    from sandbox.portable.wasi_layout import Layout


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
    stopped: StoppedWait = field(default_factory=StoppedWait)

    def now(self) -> int:
        """For the times of files: the guest's own clock, so that both agree."""
        return self.clock.now(REALTIME)
