"""The host's log: `event(name, **fields)` is the only way in; a wire, of structlog's parts.

    log = open_log("auto", sys.stderr)
    log.event("instance-ended", instance=..., cause="EXIT")

In:  names and fields of the table below. Out: one line each, JSON unless a person watches.

What is not in the table is not written: no secrets, no argument, no environment, no file, no byte that a program or its
caller wrote. A field that nobody listed is dropped and the line says so; a test holds the code to the table.
"""

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TextIO

import structlog

_EVERY = frozenset({"principal", "instance", "module"})
LEVELS = ("debug", "info", "warning", "error")
_LONGEST = 300  # characters of one value: a text of ours with a number in it

# Name -> (level, fields besides those that every event may have)
EVENTS: Mapping[str, tuple[str, frozenset[str]]] = MappingProxyType(
    {
        "host-starting": ("info", frozenset({"version", "fingerprint", "data"})),
        "host-listening": ("info", frozenset({"address", "transport"})),
        "host-ready": ("info", frozenset({"layers", "missing"})),
        "host-signalled": ("info", frozenset({"signal"})),
        "host-stopping": ("info", frozenset({"within", "instances"})),
        "host-stopped": ("info", frozenset()),
        "layer-missing": ("warning", frozenset({"layer", "why", "advice"})),
        "layers-missing": ("warning", frozenset({"layers", "advice"})),
        "listening-without-tls": ("warning", frozenset({"address"})),
        "key-not-taken": ("warning", frozenset({"line", "reason"})),
        "keys-read": ("info", frozenset({"keys"})),
        "connection-opened": ("info", frozenset({"kind"})),
        "connection-dismissed": ("info", frozenset()),
        "connection-refused": ("warning", frozenset({"code"})),
        "connection-closed": ("info", frozenset({"why"})),
        "operation-refused": ("debug", frozenset({"code"})),
        "module-uploaded": ("info", frozenset({"size", "known"})),
        "content-offered": ("info", frozenset({"pins"})),
        "content-trouble": ("warning", frozenset({"text"})),
        "instance-launched": ("info", frozenset()),
        "instance-ended": ("info", frozenset({"cause"})),
        "instance-stored": ("info", frozenset()),
        "instance-not-woken": ("warning", frozenset({"code"})),
        "instance-not-stored": ("warning", frozenset({"code"})),
        "instance-not-kept": ("warning", frozenset({"code"})),
        "instance-recovered": ("info", frozenset({"state"})),
        "instance-not-prepared": ("warning", frozenset({"code"})),
        "streams-not-found": ("warning", frozenset({"code"})),
        "copy-not-ready": ("warning", frozenset({"code"})),
        "warm-program-lost": ("warning", frozenset({"code"})),
        "call-ended": ("debug", frozenset({"cause"})),
        "store-broken": ("error", frozenset({"code", "text"})),
        "internal-error": ("error", frozenset({"error", "where"})),
    }
)


class Log:
    """Made by open_log; the same one for all parts of a host."""

    def __init__(self, logger: Any, least: str = "info") -> None:
        self._logger = logger
        self._shown = LEVELS[LEVELS.index(least) :]

    def event(self, name: str, **fields: object) -> None:
        """Never raises for what is written; a closed stream is nobody's fault here."""
        level, listed = EVENTS.get(name, ("error", frozenset()))
        if level not in self._shown:
            return
        kept = {key: _value(value) for key, value in fields.items() if key in listed or key in _EVERY}
        if len(kept) < len(fields) or name not in EVENTS:
            kept["unlisted"] = True
        try:
            getattr(self._logger, level)(name, **kept)
        except (OSError, ValueError):
            return


def silent_log() -> Log:
    """Of a host that is embedded and whose owner did not ask for a log."""
    return Log(structlog.wrap_logger(None, processors=[_drop]))


def open_log(form: str, stream: TextIO | None, least: str = "info") -> Log:
    """`form`: "json", "text" or "auto": text for a terminal. `least`: the lowest level that is written."""
    if stream is None:  # closed by whoever started us
        return silent_log()
    text = form == "text" or (form == "auto" and stream.isatty())
    last: Any = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if text
        else structlog.processors.JSONRenderer(sort_keys=False)
    )
    stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S" if text else "iso", utc=not text)
    chain: list[Any] = [structlog.processors.add_log_level, stamp, last]
    return Log(structlog.wrap_logger(structlog.WriteLogger(stream), processors=chain), least)


def standard_log(form: str, least: str) -> Log:
    return open_log(form, sys.stderr, least)


def _value(value: object) -> object:
    """What JSON knows; texts on one line and of bounded length."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_value(each) for each in list(value)[:64]]
    text = value.hex() if isinstance(value, bytes) else str(value)
    return "".join(each if each.isprintable() else "?" for each in text[:_LONGEST])


def _drop(*_: object) -> Any:
    raise structlog.DropEvent
