"""Words: how a program ended, and what it cost.

In:  what the kernel says of its process (EndRecord, trusted), what its runtime said last (Report, untrusted), what
the host wanted.
Out: Outcome. The decision is two tables (exit status, signal) and four rules, in this order: the host saw a
violation; the host asked for a kill; a limit of the kernel struck; the program's own status. A report is believed
only as far as it agrees with the exit status.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import NamedTuple

from sandbox.errors import public_text_untrusted


class State(enum.IntEnum):
    """Gate's numbers."""

    RUNNING = 1
    SUSPENDED = 2
    HALTED = 3
    TERMINATED = 4
    KILLED = 5


class Cause(enum.IntEnum):
    """Gate's numbers up to 30; ours from 64 on, where Gate has no word."""

    NORMAL = 0
    NO_FUNCTION = 1
    UNREACHABLE = 3
    CALL_STACK_EXHAUSTED = 4
    MEMORY_ACCESS_OUT_OF_BOUNDS = 5
    INDIRECT_CALL_INDEX_OUT_OF_BOUNDS = 6
    INDIRECT_CALL_SIGNATURE_MISMATCH = 7
    INTEGER_DIVIDE_BY_ZERO = 8
    INTEGER_OVERFLOW = 9
    ABI_DEFICIENCY = 27
    ABI_VIOLATION = 28
    INTERNAL = 29
    KILLED = 30
    TRAP = 64
    CPU_TIME = 65
    WALL_TIME = 66
    MEMORY_LIMIT = 67
    RUNTIME_MEMORY = 68
    FORBIDDEN_CALL = 69
    ORPHANED = 70
    BAD_STATE = 71
    STACK_NOT_SAVED = 72


class Why(enum.IntEnum):
    """Who ended the process (ENDED of PROTOCOL.md section A; LOST is the host's own)."""

    ITSELF = 0
    KILL = 1
    WALL = 2
    MEMORY = 3
    LOST = 4


CAUSE_TEXTS: dict[Cause, str] = {
    Cause.NORMAL: "",
    Cause.NO_FUNCTION: "The program has no such entry function.",
    Cause.UNREACHABLE: "The program executed `unreachable` (an abort, a failed assertion or a panic).",
    Cause.CALL_STACK_EXHAUSTED: "The program's call stack is exhausted; the limit `stack` can be raised to 8 MiB.",
    Cause.MEMORY_ACCESS_OUT_OF_BOUNDS: "The program accessed memory out of bounds.",
    Cause.INDIRECT_CALL_INDEX_OUT_OF_BOUNDS: "The program called through a table index that is out of bounds or empty.",
    Cause.INDIRECT_CALL_SIGNATURE_MISMATCH: "The program called a function with the wrong signature.",
    Cause.INTEGER_DIVIDE_BY_ZERO: "The program divided an integer by zero.",
    Cause.INTEGER_OVERFLOW: "The program overflowed an integer in a division or conversion.",
    Cause.ABI_DEFICIENCY: "The program asked for what its interface does not offer here.",
    Cause.ABI_VIOLATION: "The program broke the rules of its interface.",
    Cause.INTERNAL: "The sandbox failed while the program ran.",
    Cause.KILLED: "The program was killed on request.",
    Cause.TRAP: "The program trapped.",
    Cause.CPU_TIME: "The program used up its CPU time; raise the limit `cpu_time` if it needs more.",
    Cause.WALL_TIME: "The program ran longer than its wall time; raise the limit `wall_time` if it needs more.",
    Cause.MEMORY_LIMIT: "The program needs more memory than its limit; raise the limit `memory` if it may have it.",
    Cause.RUNTIME_MEMORY: "The program's files and buffers are larger than the sandbox's own memory.",
    Cause.FORBIDDEN_CALL: "The program's process made a system call that is forbidden; it was stopped.",
    Cause.ORPHANED: "The host closed the program's connection.",
    Cause.BAD_STATE: "The program cannot go on from this state: it is damaged, of another program, or over the limits.",
    Cause.STACK_NOT_SAVED: "The stop has ended the program: what is on its stack takes too much room.",
}

# PROTOCOL.md, "Exit status of the program's process". Statuses that are not here are INTERNAL.
EXIT_CAUSES: dict[int, Cause] = {
    23: Cause.UNREACHABLE,
    24: Cause.CALL_STACK_EXHAUSTED,
    25: Cause.MEMORY_ACCESS_OUT_OF_BOUNDS,
    26: Cause.INDIRECT_CALL_INDEX_OUT_OF_BOUNDS,
    27: Cause.INDIRECT_CALL_SIGNATURE_MISMATCH,
    28: Cause.INTEGER_DIVIDE_BY_ZERO,
    29: Cause.INTEGER_OVERFLOW,
    30: Cause.TRAP,
    47: Cause.ABI_DEFICIENCY,
    48: Cause.ABI_VIOLATION,
    60: Cause.CPU_TIME,
    61: Cause.WALL_TIME,
    62: Cause.RUNTIME_MEMORY,
    63: Cause.MEMORY_LIMIT,
    73: Cause.NO_FUNCTION,
    75: Cause.ORPHANED,
    76: Cause.MEMORY_ACCESS_OUT_OF_BOUNDS,
    77: Cause.BAD_STATE,
    78: Cause.STACK_NOT_SAVED,
}

# Stopped on request; its state came before the report.
STATUS_SUSPENDED = 4

# One trap each: what the runtime says of them is what the cause says.
_SAID_ALREADY = {23, 24, 25, 27, 28}

# The kernel's numbers, the same on x86-64 and arm64; the module `signal` lacks some of them on other systems.
SIGKILL, SIGXCPU, SIGSYS = 9, 24, 31

# INTERNAL is our fault: the text names the step, so that a report of it can be acted on.
INTERNAL_TEXTS: dict[int, str] = {
    70: "a bug in the runtime",
    71: "the compiled image was not usable",
    72: "its imports could not be satisfied",
    74: "its setup was malformed",
}


class EndRecord(NamedTuple):
    """What is known of an ended process. `exit_code` or `signal`, never both; neither when it was lost."""

    exit_code: int | None
    signal: int | None
    why: Why = Why.ITSELF
    user_us: int = 0
    system_us: int = 0
    max_rss: int = 0
    peak_memory: int = 0


class Report(NamedTuple):
    """The runtime's last packet (REPORT), decoded and not believed."""

    status: int
    result: int
    memory: int
    log_dropped: int
    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What a program cost.

    Seconds and bytes. `in` is towards the program. CPU and peaks are exact once it has ended.
    """

    cpu_user: float = 0.0
    cpu_system: float = 0.0
    peak_memory: int = 0
    max_rss: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    packets_out: int = 0
    log_dropped: int = 0
    wall: float = 0.0


_UNKNOWN = Usage()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended: `state`, `cause`, `result` (0..2**32-1), `text` (public), and what it cost."""

    state: State
    cause: Cause = Cause.NORMAL
    result: int = 0
    text: str = ""
    usage: Usage = field(default=_UNKNOWN, compare=False)

    @property
    def ok(self) -> bool:
        """It ended by itself and said success."""
        return self.state in (State.HALTED, State.TERMINATED) and self.result == 0


class Wish(NamedTuple):
    """What the host did or saw: the cause of its kill request, and the text of a violation it found."""

    cause: Cause | None = None
    text: str = ""


_LIMIT_CAUSES = {Why.WALL: Cause.WALL_TIME, Why.MEMORY: Cause.MEMORY_LIMIT}


def decide(end: EndRecord, report: Report | None, wish: Wish, cpu_limit: float | None) -> Outcome:
    """The one place where an outcome is made. The result carries no usage yet."""
    if wish.cause is Cause.ABI_VIOLATION:
        return killed(Cause.ABI_VIOLATION, wish.text)
    if end.why is Why.LOST:
        return killed(
            Cause.INTERNAL, "The keeper or spawner that held the program ended and took it along; start it again."
        )
    if end.exit_code is not None:
        return _by_status(end.exit_code, report)  # it had ended by itself before the kill came
    if end.why is Why.KILL:
        return killed(wish.cause or Cause.KILLED, wish.text)
    if end.why in _LIMIT_CAUSES:
        return killed(_LIMIT_CAUSES[end.why])
    return _by_signal(end, cpu_limit)


def killed(cause: Cause, text: str = "") -> Outcome:
    """KILLED with the cause's own text, unless there is a better one."""
    return Outcome(State.KILLED, cause, 0, text or CAUSE_TEXTS[cause])


def _by_signal(end: EndRecord, cpu_limit: float | None) -> Outcome:
    if end.signal == SIGSYS:
        return killed(Cause.FORBIDDEN_CALL)
    if end.signal == SIGXCPU:
        return killed(Cause.CPU_TIME)
    if end.signal == SIGKILL and cpu_limit is not None and (end.user_us + end.system_us) / 1e6 >= cpu_limit:
        return killed(Cause.CPU_TIME)
    return killed(Cause.INTERNAL, f"The program's process was stopped by signal {end.signal}.")


def _by_status(status: int, report: Report | None) -> Outcome:
    said = report if report is not None and report.status == status else None
    if status == STATUS_SUSPENDED:
        return Outcome(State.SUSPENDED)
    if status in (0, 1, 2, 3):
        state = State.HALTED if status < 2 else State.TERMINATED
        return Outcome(state, Cause.NORMAL, _result(status, said))
    cause = EXIT_CAUSES.get(status, Cause.INTERNAL)
    return killed(cause, _killed_text(cause, status, said))


def _result(status: int, said: Report | None) -> int:
    failed = status & 1
    if said is None or bool(said.result) is not bool(failed):
        return failed
    return said.result


def _killed_text(cause: Cause, status: int, said: Report | None) -> str:
    if cause is Cause.INTERNAL:
        return (
            f"The sandbox failed while the program ran: {_internal(status)}. Please report it with the number {status}."
        )
    detail = public_text_untrusted(said.text, 200) if said is not None else ""
    text = CAUSE_TEXTS[cause]
    if detail and cause in (Cause.BAD_STATE, Cause.STACK_NOT_SAVED):
        return f"{text.partition(':')[0]}: {detail}."
    return f"{text.rstrip('.')} ({detail})." if detail and status not in _SAID_ALREADY else text


def _internal(status: int) -> str:
    if 80 <= status < 100:
        return f"step {status - 80} of its jail failed"
    if status > 100:
        return f"its native code crashed with signal {status - 100}"
    return INTERNAL_TEXTS.get(status, "it ended with an unknown status")
