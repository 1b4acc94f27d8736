"""What a host said, for a person or as JSON; words: nothing is printed here.

In:  frozen answers of a host (gatebus.client.answers; their texts are untrusted: the host, and strangers through it,
wrote them). Out: lines, tables, JSON, exit codes.

Nothing that a host sends moves a person's cursor: every text goes through public_text_untrusted.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any
from uuid import UUID

from gatebus.cli.bus_options import digest, instance_id, value_text
from gatebus.cli.options import flag
from gatebus.cli.wording import KILLED, LARGEST, OURS, Result, size_text
from gatebus.client.answers import Clients, Event, Live, Module, Outcome, Status, Usage
from sandbox.errors import public_text_untrusted

_ID_SHOWN, _DIGEST_SHOWN = 8, 12  # enough to know one again among a thousand
_TEXT_SHOWN, _WHY_SHOWN = 60, 200
_OVER = ("HALTED", "TERMINATED", "KILLED")
# Cause -> the limit that allows more.
_MORE = {
    "CPU_TIME": "cpu_time",
    "WALL_TIME": "wall_time",
    "MEMORY_LIMIT": "memory",
    "RUNTIME_MEMORY": "files",
    "CALL_STACK_EXHAUSTED": "stack",
}
_OUR_FAULT = ("INTERNAL", "ORPHANED", "NO_FUNCTION")
_SIZES = ("memory", "stored")


def text(value: object, longest: int = _TEXT_SHOWN) -> str:
    """`-` for what is not there, or is no text."""
    return public_text_untrusted(value, longest) if isinstance(value, str) and value else "-"


def words(value: object) -> str:
    if not isinstance(value, list | tuple):
        return "-"
    return " ".join(text(each) for each in value[:64]) or "-"


# How a program ended.


def ended(file: str, outcome: Outcome | Status, asked: Mapping[str, float | None]) -> Result:
    """The exit code and the line, as `gatebus run` has them. `asked`: limits that the person named."""
    if outcome.state in ("HALTED", "TERMINATED"):
        return Result(min(max(outcome.result or 0, 0), LARGEST))
    cause = text(outcome.cause)
    why = text(outcome.text, _WHY_SHOWN) if outcome.text else "the host does not say why"
    why = (why.partition(";")[0] if cause in _MORE else why).rstrip(".")
    line = f"gatebus: {text(file)} was killed: {why}.{_advice(cause, asked)}"
    code = OURS if cause in _OUR_FAULT or outcome.state != "KILLED" else KILLED
    return Result(code, line, cause.lower().replace("_", "-"))


def no_file_either(result: Result, name: str) -> Result:
    """Of a command that is about a file where there is one: perhaps one was meant. A whole id or hash is none."""
    if instance_id(name) or digest(name) or not result.line:
        return result
    return result._replace(line=f"{result.line} There is no file {text(name)} here, either.")


def _advice(cause: str, asked: Mapping[str, float | None]) -> str:
    if cause not in _MORE:
        return ""
    name = _MORE[cause]
    had = f" than {value_text(name, asked[name])}" if name in asked else ""
    return f" Try a larger {flag(name)}{had}."


def result_json(file: str, host: str, result: Result, outcome: Outcome | Status | None, instance: UUID | None) -> str:
    """One line. Fields that are not known are null."""
    return json.dumps(
        {
            "file": file or None,
            "host": host or None,
            "exit": result.code,
            "error": result.error or None,
            "text": result.line.removeprefix("gatebus: ") or None,
            "instance": str(instance) if instance else None,
            "state": outcome.state if outcome else None,
            "cause": (outcome.cause or None) if outcome else None,
            "result": outcome.result if outcome else None,
            "usage": plain(outcome.usage) if outcome else None,
        }
    )


def usage_lines(usage: Usage) -> str:
    rows = [
        ("CPU time", milliseconds(usage.cpu_ms)),
        ("wall time", milliseconds(usage.wall_ms)),
        ("memory", size_text(usage.peak_memory)),
        ("to it", size_text(usage.bytes_in)),
        ("from it", size_text(usage.bytes_out)),
    ]
    if usage.log_dropped:
        rows.append(("log", f"{size_text(usage.log_dropped)} were too much and dropped"))
    return pairs(rows)


def milliseconds(value: float) -> str:
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms"


# Tables.


def instances_table(instances: Iterable[Status], now: float) -> str:
    heads = ("INSTANCE", "STATE", "CAUSE", "RESULT", "AGE", "CPU", "MEMORY", "MODULE", "TAGS")
    return table(heads, [_instance_row(each, now) for each in instances])


def _instance_row(status: Status, now: float) -> tuple[str, ...]:
    over = status.state in _OVER
    return (
        str(status.instance)[:_ID_SHOWN],
        _state(status),
        text(status.cause) if over else "-",
        "-" if status.result is None else str(status.result),
        age(status.created, now),
        milliseconds(status.usage.cpu_ms) if over else "-",
        size_text(status.usage.peak_memory) if over else "-",
        text(status.module)[:_DIGEST_SHOWN],
        words(status.tags),
    )


def status_lines(status: Status, now: float) -> str:
    rows = [
        ("instance", str(status.instance)),
        ("state", _state(status)),
        ("module", text(status.module, 100)),
        ("age", age(status.created, now)),
        ("tags", words(status.tags)),
    ]
    if status.state in _OVER:
        result = "-" if status.result is None else str(status.result)
        rows += [("cause", text(status.cause)), ("result", result), ("why", text(status.text, _WHY_SHOWN))]
    rows += [("clients", clients_text(status.clients))] if status.clients is not None else []
    rows += _life_rows(status.live, now) if status.live is not None else []
    rows += _limit_rows(status, status.limits) if status.limits is not None else []
    lines = pairs([(name, value) for name, value in rows if value != "-"])
    return f"{lines}\n{usage_lines(status.usage)}" if status.state in _OVER else lines


def _limit_rows(status: Status, limits: Mapping[str, float | None]) -> list[tuple[str, str]]:
    """What a process has used of a processor is known when it has stopped."""
    cpu, wall = milliseconds(status.usage.cpu_ms), milliseconds(status.usage.wall_ms)
    unbounded = limits.get("wall_time", 0) is None
    used = f"{cpu} until it last stopped, of" if status.usage.cpu_ms else "of at most"
    used = f"{cpu} of" if status.state == "SUSPENDED" else used
    return [
        ("CPU time", f"{used} {_limit_text(limits, 'cpu_time')}"),
        ("wall time", f"{wall}, without a limit" if unbounded else f"{wall} of {_limit_text(limits, 'wall_time')}"),
        ("memory", f"at most {_limit_text(limits, 'memory')}"),
    ]


def _limit_text(limits: Mapping[str, float | None], name: str) -> str:
    """A host may have limits that we do not know, and lack some of ours."""
    return value_text(name, limits[name]) if name in limits else "what it does not say"


def _state(status: Status) -> str:
    """With how deep it sleeps."""
    depth = f" {text(status.live.depth)}" if status.live is not None and status.live.depth else ""
    return f"{text(status.state)}{depth}"


def _life_rows(live: Live, now: float) -> list[tuple[str, str]]:
    why = "; ".join(text(each, _WHY_SHOWN) for each in live.unsuspendable) or "launched as one that cannot"
    return [
        ("stops", "anywhere" if live.suspendable else f"never: {why}"),
        ("went on", f"{live.lives} times" if live.lives else "-"),
        ("snapshot", live.snapshot.hex() if live.snapshot is not None else "-"),
        ("recovered", "from an older state: the host had lost what came later" if live.recovered is not None else "-"),
        ("due", "it goes on as soon as it can" if live.due else "-"),
        ("not woken", text(live.failure, _WHY_SHOWN)),
        ("not kept", "-" if live.unkept_since is None else _unkept(live.unkept_since, live.unkept, now)),
    ]


def clients_text(clients: Clients) -> str:
    """Of a program with one connection the owner's next `io` takes a lost one's place."""
    if clients.over:
        return "none, and nobody gets another connection"
    found = [f"{clients.attached} connected"] if clients.attached else []
    if clients.lost:
        found.append(f"{clients.lost} whose link is lost: it may come back")
    return ", ".join(found) or "none"


def _unkept(since: int, why: str, now: float) -> str:
    return f"for {age(since // 1000, now)}: {text(why, _WHY_SHOWN)}"


def modules_table(modules: Iterable[Module]) -> str:
    rows = [
        (each.sha256.hex()[:_DIGEST_SHOWN], size_text(each.size), "yes" if each.pinned else "no", words(each.tags))
        for each in modules
    ]
    return table(("MODULE", "SIZE", "PINNED", "TAGS"), rows)


def usage_table(usage: Mapping[str, Any]) -> str:
    rows = [
        (text(name), _amount(name, each.get("used")), _amount(name, each.get("limit")))
        for name, each in usage.items()
        if isinstance(each, Mapping)
    ]
    return table(("WHAT", "USED", "LIMIT"), rows)


def _amount(name: str, value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        return "-"
    return size_text(value) if name in _SIZES else str(value)


def features_lines(features: Mapping[str, Any]) -> str:
    layers = features.get("layers")
    layers = layers if isinstance(layers, Mapping) else {}
    rows = [
        ("host", text(features.get("agent"))),
        ("back-end", text(features.get("backend"))),
        ("layers", words(layers.get("on"))),
        ("missing", words(layers.get("missing"))),
        ("you may", words(features.get("operations"))),
    ]
    return pairs(rows)


def event_line(event: Event) -> str:
    instance = event.about.get("instance")
    names = ("state", "cause") if event.about.get("state") in _OVER else ("state",)
    about = [text(event.about[name]) for name in names if event.about.get(name)]
    shown = id_text(instance) if isinstance(instance, bytes) else "-"
    return " ".join((f"{event.number:>6} {text(event.event):<8} {shown}", *about))


def id_text(value: bytes) -> str:
    return str(UUID(bytes=value)) if len(value) == 16 else value.hex()


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (heads, *rows))
    return "\n".join(line.rstrip() for line in lines)


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{name:<10} {value}" for name, value in rows)


def age(created: float, now: float) -> str:
    seconds = max(0, int(now - created))
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def progress_line(name: str, done: int, size: int, width: int) -> str:
    """A bar that fits a terminal of `width` columns; the file's name gives way first."""
    share = done / size if size else 1.0
    numbers = f" {share:4.0%} of {size_text(size)}"
    shown = public_text_untrusted(name, max(8, width - len(numbers) - 14))
    room = max(0, min(30, width - len(shown) - len(numbers) - 4))
    full = round(room * share)
    return f"{shown} [{'#' * full}{' ' * (room - full)}]{numbers}"[: max(0, width - 1)]


# JSON.


def plain(value: object) -> Any:
    """What JSON knows: ids and hashes as people write them."""
    if isinstance(value, bytes):
        return id_text(value)
    if isinstance(value, UUID):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def status_map(status: Status) -> dict[str, object]:
    """What is not known is null, as everywhere."""
    return {**asdict(status), "cause": status.cause or None, "text": status.text or None}


def event_map(event: Event) -> dict[str, object]:
    return {**({"cause": None, "result": None} if "state" in event.about else {}), **event.about}


def as_json(value: object) -> str:
    return json.dumps(plain(value))
