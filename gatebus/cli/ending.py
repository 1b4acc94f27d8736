"""What ends a command with a program at its other end before the program does: a signal, or output that nobody takes; a
wire.

Where it stands: between the signals and sinks of `gatebus run`, `call` and `io`, and the scope that each of them runs
in. In: a signal's number, an OSError of a write. Out: the scope is cancelled, and it is known why.
"""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from gatebus.cli.surroundings import reason

_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_SIGPIPE = 13  # POSIX; the module `signal` has no name for it on Windows


@dataclass(slots=True, kw_only=True)
class Ending:
    """`signal`: the number of the first one, 0 for none. `problem`: why the output cannot be written, or nothing."""

    signal: int = 0
    problem: str = ""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    def stop(self, number: int) -> None:
        """By a signal. The first one counts."""
        self.signal = self.signal or number
        self.scope.cancel()

    def cannot_write(self, problem: OSError) -> None:
        """`gatebus run ... | head` ends as SIGPIPE would have done it; a full disk is told."""
        if isinstance(problem, BrokenPipeError):
            self.stop(_SIGPIPE)
        else:
            self.problem = f"Its output cannot be written: {reason(problem)}."
            self.scope.cancel()


@asynccontextmanager
async def until_signal() -> AsyncIterator[Ending]:
    """What stands inside is cancelled by a signal that asks a process to end, and can tidy up. What whoever started us
    wants ignored (nohup) stays so; Ctrl-C is Python's own.
    """
    ending = Ending()
    heard = [each for each in _ENDING if signal.getsignal(each) is not signal.SIG_IGN]
    with trio.open_signal_receiver(*heard) as arrived:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_listen, arrived, ending)
            with ending.scope:
                yield ending
            nursery.cancel_scope.cancel()


async def _listen(arrived: AsyncIterator[int], ending: Ending) -> None:
    async for number in arrived:
        ending.stop(number)


def alone(raised: Exception) -> Exception:
    """Nurseries wrap what they raise; here one thing goes wrong at a time."""
    while isinstance(raised, ExceptionGroup) and len(raised.exceptions) == 1:
        raised = raised.exceptions[0]
    return raised
