"""Words: a stop that is under way: what was ordered, what came of the state.

In:  pieces of the state (untrusted). Out: a Suspended, once the program's process is gone. program.py has the wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sandbox.errors import BadState, BrokenProgram, PacketViolation
from sandbox.limits import FRAME_BYTES, STATE_MAX
from sandbox.outcome import Cause, Outcome, State
from sandbox.statewords import PAGE, look_untrusted, named
from sandbox.suspended import Suspended

if TYPE_CHECKING:
    from sandbox.backend import Snapshot
    from sandbox.limits import Limits

# What no limit names: arguments, buffers, globals, lengths.
_FIXED = 12 << 20
# References to functions that frames hold, 4 bytes each (gatebus-module: layout.rs).
_REFERENCES = 4 << 22
# A node of the tree besides its content: path, times, the places that name it.
_NODE = 8_192

LATE = (
    "The program has not stopped within {:g} seconds: it is doing something that cannot be left, like filling a large "
    "memory. It stops when that is done; ask again, or kill it."
)


class Stoppable(NamedTuple):
    """What a program must have to be stopped. `patience`: seconds for which a stop is waited for."""

    sha256: str
    state_max: int
    patience: float


def state_max(limits: Limits) -> int:
    """Bytes of the largest state that a program with these limits can have. Further memories are within `memory`."""
    variable = limits.files + limits.nodes * _NODE + limits.memory + 16 * limits.table
    parts = variable + FRAME_BYTES + _REFERENCES + _FIXED
    return min(parts, STATE_MAX)


def private_bytes(limits: Limits) -> int:
    """What a process needs of private memory to tell its state: a second copy of its files, frames and references."""
    return limits.files + FRAME_BYTES + _REFERENCES + _FIXED


class Stop:
    """`told`: the word to stop is on its way; nothing may be sent after it."""

    __slots__ = ("_plan", "_state", "base", "changed", "memory", "reading", "told")

    def __init__(self, plan: Stoppable) -> None:
        self._plan = plan
        # Not a list of pieces: of a stranger's pieces of a byte each, a list would need thirty times as much.
        self._state = bytearray()
        self.told = self.reading = False
        self.memory: Snapshot | None = None
        self.base: Snapshot | None = None
        self.changed: tuple[tuple[int, int], ...] | None = None

    def add_untrusted(self, piece: bytes) -> None:
        """Raises PacketViolation."""
        if len(self._state) + len(piece) > self._plan.state_max:
            raise PacketViolation("packet-state", "The program's runtime sent a larger state than its limits allow.")
        self._state += piece

    def result_untrusted(self, outcome: Outcome) -> Suspended:
        """Raises BrokenProgram: it ended otherwise. BadState: its process was not what it should be."""
        if outcome.state is not State.SUSPENDED:
            raise BrokenProgram("program-ended", _ended(outcome))
        return self.kept_untrusted()

    def told_all(self, outcome: Outcome | None) -> bool:
        """It came to its end and told its state before."""
        return outcome is not None and outcome.state is State.HALTED and bool(self._state)

    def kept_untrusted(self) -> Suspended:
        """Raises BadState."""
        if self.memory is None:
            raise BadState("state-broken", "The program's process told no state.")
        look_untrusted(self._state)
        state = named(self._state, self._plan.sha256)
        return Suspended(self._plan.sha256, state, self.memory, self.base, self.changed)

    def memory_bytes_untrusted(self) -> int:
        """How much of memory 0 the state says that there is. Raises BadState."""
        return look_untrusted(self._state).pages * PAGE


def _ended(outcome: Outcome) -> str:
    if outcome.state is State.KILLED and outcome.cause is Cause.KILLED:
        return "The program was killed before it had stopped."
    why = f" {outcome.text}" if outcome.text else ""
    return f"The program ended before it had stopped.{why}"
