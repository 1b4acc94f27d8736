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
    """`sha256`: of the program. `state`: everything but memory 0 (bytes of STATE packets). `memory`: memory 0.

    `base`: the memory that it had gone on from, if it had, and `changed`: (offset, length) of what may be different
    from there; None: not known.
    """

    sha256: str
    state: bytes = field(repr=False)
    memory: Snapshot = field(repr=False, compare=False)
    base: Snapshot | None = field(default=None, repr=False, compare=False)
    changed: tuple[tuple[int, int], ...] | None = field(default=None, repr=False, compare=False)

    @property
    def memory_bytes(self) -> int:
        """Of memory 0. Raises BadState."""
        return look_untrusted(self.state).pages * PAGE

    @property
    def halted(self) -> bool:
        """It had come to its end: it stands nowhere, and goes on with another function. Raises BadState."""
        return not look_untrusted(self.state).frames
