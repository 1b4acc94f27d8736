"""Files, environment and flags -> HostConfig; words: the caller has read the file.

In:  the text of a TOML file, variables, flags; all written by the owner of the machine, none believed unseen. Out:
HostConfig and where each value comes from; UsageError that names file and line, variable or flag, and what is meant.

Order: defaults, file, environment, flags; the later one wins. A key that does not exist is a fault and not a silence: a
misspelt limit would be no limit.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any

from gatebus.faults import UsageError
from gatebus.host.hostconfig import HostConfig
from gatebus.host.hostsettings import SETTINGS, Setting
from gatebus.tomltext import NoToml, toml_untrusted
from sandbox.errors import public_text_untrusted
from sandbox.limits import Limits

PREFIX = "GATEBUS_"
_TABLE = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_\"'.-]+)\s*=")
_SHOWN = 30  # characters of a wrong value that are repeated


@dataclass(frozen=True, slots=True)
class ConfigFile:
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Configured:
    config: HostConfig
    sources: Mapping[str, str]
    """Setting -> "file, line 3", a variable or a flag; what is not in it has its default."""


@dataclass(frozen=True, slots=True)
class _Given:
    setting: Setting
    value: object
    where: str


def configured(file: ConfigFile | None, variables: Mapping[str, str], flags: Mapping[str, str]) -> Configured:
    """`flags`: setting -> text. Raises UsageError."""
    config, sources = HostConfig(), {}
    for given in (*_from_file(file), *_from_variables(variables), *_from_flags(flags)):
        try:
            value = given.setting.parse(given.value)
        except ValueError as problem:
            text = public_text_untrusted(str(given.value), _SHOWN)
            raise UsageError(f"{given.where}: `{given.setting.name}` is {text!r}; it must be {problem}.") from None
        config = with_setting(config, given.setting.path, value)
        sources[given.setting.name] = given.where
    _check_together(config, sources)
    return Configured(config, sources)


def with_setting(part: Any, path: tuple[str, ...], value: object) -> Any:
    inner = value if len(path) == 1 else with_setting(getattr(part, path[0]), path[1:], value)
    return replace(part, **{path[0]: inner})


def setting_of(part: Any, path: tuple[str, ...]) -> object:
    for name in path:
        part = getattr(part, name)
    return part


# From a file.


def _from_file(file: ConfigFile | None) -> Iterator[_Given]:
    if file is None:
        return
    try:
        table = toml_untrusted(file.text)
    except NoToml as problem:
        raise UsageError(f"{file.name}: it {problem.reason}.") from None
    lines = key_lines(file.text)
    for path, value in _leaves(table, ()):
        where = f"{file.name}{_line(lines, path)}"
        name = ".".join(path)
        if name in _tables():
            raise UsageError(f"{where}: `{name}` is a part with settings of its own. Write [{name}].")
        if name not in SETTINGS:
            raise UsageError(f"{where}: there is no setting `{public_text_untrusted(name, 60)}`.{_meant(name)}")
        yield _Given(SETTINGS[name], value, where)


def _leaves(table: Mapping[str, object], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    for key, value in table.items():
        path = (*above, key)
        inside = any(setting.path[: len(path)] == path for setting in SETTINGS.values() if setting.path != path)
        if inside and isinstance(value, dict):
            yield from _leaves(value, path)
        else:
            yield path, value


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Key -> number of its line, for messages: tomllib does not tell. A text over several lines may mislead it."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE.match(line):
            table = _dotted(header[1])
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_dotted(key[1])), number)
    return found


def _dotted(text: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in text.split("."))


def _line(lines: Mapping[tuple[str, ...], int], path: tuple[str, ...]) -> str:
    """Of the key, or of the table that it stands in."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return f", line {lines[path[:length]]}"
    below = [number for key, number in lines.items() if key[: len(path)] == path]
    return f", line {min(below)}" if below else ""


def _tables() -> set[str]:
    return {".".join(each.path[:length]) for each in SETTINGS.values() for length in range(1, len(each.path))}


def _meant(name: str) -> str:
    near = get_close_matches(name, [*SETTINGS, *sorted(_tables())], 1, 0.6)
    last = name.rpartition(".")[2]
    same_end = [each for each in SETTINGS if each.rpartition(".")[2] == last]
    if near or same_end:
        return f" Did you mean `{(near or same_end)[0]}`?"
    return " `gatebus serve --print-config` shows all."


# From variables and flags.


def _from_variables(variables: Mapping[str, str]) -> Iterator[_Given]:
    known = {each.variable: each for each in SETTINGS.values()}
    for name, value in sorted(variables.items()):
        if name in known:
            yield _Given(known[name], value, name)
        elif name.startswith(PREFIX) and (near := get_close_matches(name, known, 1, 0.9)):
            # other commands have variables of their own; one that is nearly ours is a slip
            raise UsageError(f"{name}: there is no such variable. Did you mean {near[0]}?")


def _from_flags(flags: Mapping[str, str]) -> Iterator[_Given]:
    for name, value in flags.items():
        yield _Given(SETTINGS[name], value, SETTINGS[name].flag)


# Values that must fit each other.


def _check_together(config: HostConfig, sources: Mapping[str, str]) -> None:
    if (config.tls.certificate is None) != (config.tls.key is None):
        there, missing = ("certificate", "key") if config.tls.certificate else ("key", "certificate")
        where = sources.get(f"tls.{there}", "")
        raise UsageError(f"{where}: `tls.{there}` needs `tls.{missing}` too.")
    for each in fields(Limits):
        _check_most(each.name, config, sources)


def _check_most(name: str, config: HostConfig, sources: Mapping[str, str]) -> None:
    default, most = getattr(config.limits, name), getattr(config.most, name)
    if most is None or (default is not None and default <= most):
        return
    where = sources.get(f"most.{name}") or sources.get(f"limits.{name}", "")
    raise UsageError(f"{where}: `limits.{name}` ({default}) is more than `most.{name}` ({most}). Change one of them.")
