"""Words: a stopped program: what a process has left for the next one. Frozen; it may be continued many times.

In:  what Program.suspend() found, or what a state file held (untrusted then). Out: the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.statewords import PAGE, look_untrusted

if TYPE_CHECKING:
    from sandbox.backend import Snapshot


@dataclass(frozen=True, slots=True)
class Suspended:
    """`sha256`: of the program. `state`: everything but memory 0 (bytes of STATE packets). `memory`: memory 0."""

    sha256: str
    state: bytes = field(repr=False)
    memory: Snapshot = field(repr=False, compare=False)

    @property
    def memory_bytes(self) -> int:
        """Of memory 0. Raises BadState."""
        return look_untrusted(self.state).pages * PAGE
