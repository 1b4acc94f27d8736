"""Limits that whoever started the command has set (`ulimit`): a sentence beside an error that may come of them; words.

In:  values as the system says them, None for unlimited. Out: one sentence, or nothing.

They are looked at after something failed, never before: what is enough differs between machines, and a limit that does
no harm is nobody's business.
"""

from collections.abc import Mapping
from typing import NamedTuple

from gatebus.cli.wording import size_text
from sandbox.limits import GIB, MIB, Limits


class Shortage(NamedTuple):
    """One limit of the system: its letter for `ulimit`, its name, and what was seen to be enough with any program."""

    letter: str
    name: str
    enough: int
    unit: str = ""


# What failed when it was lower, tried with both back-ends; generous, because it is only named beside an error.
_LIMITS: Mapping[str, Shortage] = {
    "RLIMIT_NOFILE": Shortage("n", "open files", 1024),
    "RLIMIT_NPROC": Shortage("u", "processes", 256),
    "RLIMIT_AS": Shortage("v", "address space", 64 * GIB, "bytes"),
    "RLIMIT_DATA": Shortage("d", "data", 2 * GIB, "bytes"),
    "RLIMIT_FSIZE": Shortage("f", "size of a file", 4 * GIB, "bytes"),
    "RLIMIT_STACK": Shortage("s", "stack", 1 * MIB, "bytes"),
}
_CPU = Shortage("t", "CPU time", 0, "seconds")

NAMES = (*_LIMITS, "RLIMIT_CPU")


def why_it_may_have_failed(values: Mapping[str, int | None], limits: Limits, *, has_proc: bool) -> str:
    """What to raise or mount before it is tried again."""
    finite = {name: value for name, value in values.items() if value is not None}
    low = [
        _shown(_LIMITS[name], value)
        for name, value in finite.items()
        if name in _LIMITS and value < _LIMITS[name].enough
    ]
    cpu = finite.get("RLIMIT_CPU")
    if cpu is not None and cpu <= limits.cpu_time:
        low.append(_shown(_CPU, cpu))
    if low:
        return f"Your shell allows little: {', '.join(low)}. Raise that and try again."
    return "" if has_proc else "There is no /proc here. Mount it: mount -t proc proc /proc."


def _shown(limit: Shortage, value: int) -> str:
    amount = {"bytes": size_text(value), "seconds": f"{value} s"}.get(limit.unit, str(value))
    return f"{limit.name} {amount} (ulimit -{limit.letter})"
