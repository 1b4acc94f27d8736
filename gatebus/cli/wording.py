"""What a person is told: exit codes, the one line of an error, the table of costs, the JSON of a result; words.

In:  outcomes and errors of the sandbox. Out: numbers and texts; nothing is printed here.
"""

import json
from dataclasses import asdict
from shlex import quote
from typing import NamedTuple

from gatebus.cli.naming import as_content
from gatebus.cli.options import flag, range_of
from sandbox.errors import public_text_untrusted
from sandbox.image import Image
from sandbox.limits import STACK_LARGE, Limits, written
from sandbox.outcome import Cause, Outcome, State, Usage

# As timeout(1) has it: its time was over, and it had not ended.
SUSPENDED = TIMED_OUT = 124
OURS, KILLED, NOT_FOUND = 125, 126, 127
# As shells count a command that a signal ended; nothing is said about it, like there.
BY_SIGNAL = 128
LARGEST = 255
# Longer than every text of ours; lists of a program's names end here.
LINE_MAX = 2_000

# Kills that say that something of ours failed, or that the command line asked for what is not there.
_OUR_FAULT = {Cause.INTERNAL, Cause.ORPHANED, Cause.NO_FUNCTION}

_AUTHOR = "Tell its author."
_STATE_OR_AUTHOR = (
    "It went on from a state, which may be at fault: "
    "ask whoever gave it for another copy, or tell the program's author."
)


class Result(NamedTuple):
    """How the command ends: its exit code, and the line for stderr if there is something to say."""

    code: int
    line: str = ""
    error: str = ""  # a stable code for programs that read the JSON
    outcome: Outcome | None = None


def ended(file: str, outcome: Outcome, limits: Limits, image: Image | None = None) -> Result:
    """Of a program that ended by itself, or was stopped for what it did. `image`: what it needs at the least."""
    if outcome.state is not State.KILLED:
        return Result(min(outcome.result, LARGEST), outcome=outcome)
    if outcome.cause is Cause.BAD_STATE:
        return state_refused(file, "bad-state", outcome.text)._replace(outcome=outcome)
    code = OURS if outcome.cause in _OUR_FAULT else KILLED
    advice = _advice(outcome.cause, limits, image)
    why = f"{outcome.text.partition(';')[0].rstrip('.')}." if advice.startswith(("It had", "Try")) else outcome.text
    line = f"gatebus: {_named(file)} was killed: {why} {advice}".rstrip()
    return Result(code, line, outcome.cause.name.lower().replace("_", "-"), outcome)


def ended_again(file: str, outcome: Outcome, limits: Limits, image: Image | None = None) -> Result:
    """Of a program that went on from a state, which may be as much at fault as its author."""
    result = ended(file, outcome, limits, image)
    if not result.line.endswith(_AUTHOR):
        return result
    return result._replace(line=f"{result.line.removesuffix(_AUTHOR)}{_STATE_OR_AUTHOR}")


def failed(file: str, code: str, text: str) -> Result:
    """Of a program that was not started, or of an error of ours. The text may quote the program, and nothing that a
    stranger chose may move a person's cursor.
    """
    text = public_text_untrusted(text, LINE_MAX)
    return Result(OURS, f"gatebus: {_named(file)}: {text}" if file else f"gatebus: {text}", code)


# What to do about a program that is refused, where the text does not say it itself.
_REFUSED_ADVICE = {
    "malformed": "Build it again for wasm32-wasip1, or tell its author.",
    "invalid": "Build it again for wasm32-wasip1, or tell its author.",
    "bad-import": "Build it for wasm32-wasip1.",
    "too-large": "Make it smaller: strip it, or split it.",
    "code-too-large": "Make it smaller: strip it, or split it.",
}


def refused(file: str, code: str, text: str) -> Result:
    """Of a program that the sandbox does not take. A fault in a text has its place instead of advice."""
    advice = "" if text.startswith("malformed text") else _REFUSED_ADVICE.get(code, "")
    return failed(file, code, f"{text.rstrip('.')}. {advice}" if advice else text)


# What to do about a state that is refused, where the text does not say it itself.
_GIVER = "Ask whoever gave you the state for another copy."
_STATE_ADVICE = {
    "state-damaged": "",
    "state-other-module": "",
    "state-sections": "",
    "state-sites": "",
    "state-stack": "",
    "state-memory": "Try a higher --memory.",
    "state-size": "Try a higher --files.",
}


# Said by the process in which it was to go on, of what all memories or all tables have.
_STATE_LIMITS = {"larger than the limit `memory`": "--memory", "larger than the limit `table`": "--table"}


def state_refused(file: str, code: str, text: str) -> Result:
    """Of a state from which no program goes on: nothing ran, and its program's author is not to blame."""
    options = [option for sign, option in _STATE_LIMITS.items() if sign in text]
    advice = f"Try a higher {options[0]}." if options else _STATE_ADVICE.get(code, _GIVER)
    return failed(file, code, f"{text.rstrip('.')}. {advice}".rstrip())


def not_found(file: str, elsewhere: str = "") -> Result:
    """`elsewhere`: where else it was looked for."""
    more = f", {public_text_untrusted(elsewhere, LINE_MAX)}" if elsewhere else ""
    advice = as_content(file) or " Check the name."
    return Result(NOT_FOUND, f"gatebus: {_named(file)}: there is no such file{more}.{advice}", "not-found")


def put_aside(state: str, outcome: Outcome, but: str = "") -> Result:
    """Of a program that was stopped and whose state is in that file. The line can be pasted into a shell. `but`: why
    it does not go on from there as it is, and what does.
    """
    line = (
        f"stopped; its state is in {quote(state)}. {but}"
        if but
        else f"stopped; `gatebus run --resume {quote(state)}` goes on."
    )
    return Result(SUSPENDED, f"gatebus: {line}", outcome=outcome)


def stopped(number: int, outcome: Outcome | None) -> Result:
    """By a signal to us: Ctrl-C, a terminating one, or a pipe that nobody reads."""
    return Result(BY_SIGNAL + number, error=f"signal-{number}", outcome=outcome)


def _named(file: str) -> str:
    return public_text_untrusted(file)


def _advice(cause: Cause, limits: Limits, image: Image | None) -> str:
    """What to write to let it run, or whom to tell."""
    match cause:
        case Cause.CPU_TIME:
            return _more("cpu_time", limits)
        case Cause.WALL_TIME if limits.wall_time is not None:
            return _more("wall_time", limits)
        case Cause.MEMORY_LIMIT if image is not None and image.table_minimum > limits.table:
            return _more("table", limits, image.table_minimum)
        case Cause.MEMORY_LIMIT:
            return _more("memory", limits, image.memory_minimum if image is not None else 0)
        case Cause.RUNTIME_MEMORY:
            return _more("files", limits)
        case Cause.CALL_STACK_EXHAUSTED if limits.stack < STACK_LARGE:
            return f"Try --stack {written(STACK_LARGE, 'bytes')}."
        case Cause.CALL_STACK_EXHAUSTED:
            return _more("stack", limits)
        case Cause.STACK_NOT_SAVED:
            return "Nothing of it is kept: start it again."
        case Cause.INTERNAL | Cause.NO_FUNCTION | Cause.KILLED | Cause.ORPHANED:
            return ""
    return _AUTHOR


def _more(name: str, limits: Limits, need: int = 0) -> str:
    """Four times as much, or as often four times as it needs; never more than there is."""
    bounds, limit = range_of(name), getattr(limits, name)
    if max(limit, need - 1) >= bounds.maximum:
        return f"It had {written(limit, bounds.unit)}, and {flag(name)} goes no further."
    more = 4 * limit or getattr(Limits(), name)
    while more < need:
        more *= 4
    return f"It had {written(limit, bounds.unit)}: try {flag(name)} {written(min(more, bounds.maximum), bounds.unit)}."


def usage_lines(usage: Usage, limits: Limits) -> str:
    """A table for a person."""
    cpu = usage.cpu_user + usage.cpu_system
    rows = [
        ("CPU time", f"{_time(cpu)} of {written(limits.cpu_time, 'seconds')} (kernel: {_time(usage.cpu_system)})"),
        ("wall time", f"{_time(usage.wall)} of {written(limits.wall_time, 'seconds')}"),
        ("memory", f"{size_text(usage.peak_memory)} of {written(limits.memory, 'bytes')}"),
        ("process", f"{size_text(usage.max_rss)} with everything"),
        ("to it", f"{size_text(usage.bytes_in)} in {_packets(usage.packets_in)}"),
        ("from it", f"{size_text(usage.bytes_out)} in {_packets(usage.packets_out)}"),
    ]
    lines = [f"{name:<10} {text}" for name, text in rows]
    dropped = [f"{'log':<10} {size_text(usage.log_dropped)} were too much and dropped"] if usage.log_dropped else []
    return "\n".join(lines + dropped)


def _packets(count: int) -> str:
    return "1 packet" if count == 1 else f"{count} packets"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def size_text(size: int) -> str:
    for name, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:.1f} {name}"
    return f"{size} B"


def progress_text(done: int, whole: int | None, verb: str) -> str:
    """`whole` is what somebody says: it may be wrong, and more than all of it is all of it."""
    if not whole:
        return f"{size_text(done)} {verb}"
    return f"{min(100, done * 100 // whole)} % of {size_text(whole)} {verb}"


def result_json(file: str, backend: str, result: Result) -> str:
    """One line. `exit` is the exit code of the command; the other fields are null when there was no program, or not
    even a file that was named.
    """
    outcome = result.outcome
    return json.dumps(
        {
            "file": file or None,
            "backend": backend or None,
            "exit": result.code,
            "error": result.error or None,
            "text": result.line.removeprefix("gatebus: ") or None,
            "state": outcome.state.name if outcome else None,
            "cause": outcome.cause.name if outcome else None,
            "result": outcome.result if outcome and outcome.state is not State.KILLED else None,
            "usage": asdict(outcome.usage) if outcome else None,
        }
    )
