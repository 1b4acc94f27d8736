"""The life of an instance as a table: what it is now, what happens to it, what it is then; words.

Where it stands: in every instance's hand. Whoever wants to do something to an instance asks the table first, and
whoever has done it tells the table; what is not in it cannot happen, so that nothing ever runs twice.

    STARTING -> RUNNING <-> PARKED        the process waits, stopped
                  |            |
                  +-> STOPPING <-         it was told to stop: for a store, a snapshot or copies
                         |
                         +-> SAVING       the process is gone, its state is here and not yet durable
                         |      |
                         |      +-> STORED -> RESUMING -> RUNNING
                         |      +-----------> RESUMING    it was only for a copy, or the disk was full
                         +-> ENDED        it ended before it had stopped

A program that does not stop in time stays STOPPING: it stops later. One whose return to life is refused (a quota, a
machine that is full) is STORED as before. ENDED is the end of everything, from wherever. FOLDED is the end of what
stood for it here: it is a line now (gatebus.host.lives.folding), and whoever asks for it gets another STORED one.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Life(Enum):
    """What an instance is."""

    STARTING = "starting"
    RUNNING = "running"
    PARKED = "parked"
    STOPPING = "stopping"
    SAVING = "saving"
    STORED = "stored"
    FOLDED = "folded"
    RESUMING = "resuming"
    ENDED = "ended"


class Step(Enum):
    """What happens to it."""

    BEGIN = "begin"  # its process runs
    PARK = "park"
    UNPARK = "unpark"
    STOP = "stop"  # its process is told to stop
    STOPPED = "stopped"  # its process is gone and has left its state
    STORE = "store"  # the state is durable, and it is to stay there
    GO_ON = "go on"  # a process for it is wanted
    FAIL = "fail"  # there is none to be had now
    FOLD = "fold"  # it is a line now, and this is nobody's any more
    END = "end"


_TABLE: Mapping[tuple[Life, Step], Life] = MappingProxyType(
    {
        (Life.STARTING, Step.BEGIN): Life.RUNNING,
        (Life.RUNNING, Step.PARK): Life.PARKED,
        (Life.PARKED, Step.UNPARK): Life.RUNNING,
        (Life.RUNNING, Step.STOP): Life.STOPPING,
        (Life.PARKED, Step.STOP): Life.STOPPING,
        (Life.STOPPING, Step.STOPPED): Life.SAVING,
        (Life.SAVING, Step.STORE): Life.STORED,
        (Life.SAVING, Step.GO_ON): Life.RESUMING,
        (Life.STORED, Step.GO_ON): Life.RESUMING,
        (Life.RESUMING, Step.BEGIN): Life.RUNNING,
        (Life.RESUMING, Step.FAIL): Life.STORED,
        (Life.STORED, Step.FOLD): Life.FOLDED,
    }
    | {(life, Step.END): Life.ENDED for life in Life if life not in (Life.ENDED, Life.FOLDED)}
)

HAS_PROCESS = frozenset({Life.RUNNING, Life.PARKED, Life.STOPPING})
SUSPENDED = frozenset({Life.PARKED, Life.STORED})
"""What a client is told is SUSPENDED; what is on its way is RUNNING to it."""
ON_ITS_WAY = frozenset({Life.STARTING, Life.STOPPING, Life.SAVING, Life.RESUMING})
"""Something is under way; whoever wants something else waits for it."""


class WrongStep(Exception):
    """A bug of ours: something was done to an instance that cannot be done to it now."""


def can(life: Life, step: Step) -> bool:
    return (life, step) in _TABLE


def after(life: Life, step: Step) -> Life:
    """Raises WrongStep."""
    try:
        return _TABLE[life, step]
    except KeyError:
        raise WrongStep(f"{step.value}: an instance that is {life.value} cannot") from None
