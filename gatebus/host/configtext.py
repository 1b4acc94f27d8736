"""HostConfig -> TOML with a comment on every line: what `gatebus serve --print-config` prints; words.

In:  a checked configuration and where its values come from. Out: a text that is itself a configuration file, and means
the same.
"""

import json
from collections.abc import Mapping
from typing import Any

from gatebus.host.hostconfig import Address, HostConfig
from gatebus.host.hostsettings import SETTINGS, Setting


def config_text(config: HostConfig, sources: Mapping[str, str]) -> str:
    """Tables in the order of the settings; values without a table first."""
    lines: list[str] = []
    table: tuple[str, ...] = ()
    for setting in SETTINGS.values():
        if setting.path[:-1] != table:
            table = setting.path[:-1]
            lines += ["", f"[{'.'.join(table)}]"]
        lines.append(_line(setting, config, sources))
    return "\n".join(lines) + "\n"


def _line(setting: Setting, config: HostConfig, sources: Mapping[str, str]) -> str:
    value: Any = config
    for part in setting.path:
        value = getattr(value, part)
    source = sources.get(setting.name)
    comment = f"# {setting.help}" + (f" ({source})" if source else "")
    written = toml_value(setting, value)
    name = setting.path[-1]
    return f"{name} = {written}  {comment}" if written else f"# {name} =  {comment}"


def toml_value(setting: Setting, value: object) -> str:
    """Empty: nothing is set, and nothing can be written for it."""
    match value:
        case None if setting.path[0] in ("limits", "most"):
            return '"none"'
        case None:
            return "" if setting.path[0] == "sandbox" else '""'
        case str():
            return toml_text(value)
        case bool():
            return str(value).lower()
        case int() | float():
            return f"{value:.12g}" if isinstance(value, float) else str(value)
        case frozenset():
            return json.dumps(sorted(map(str, value)))
        case tuple():
            return json.dumps([str(each) if isinstance(each, Address) else each for each in value])
        case _:
            raise TypeError(setting.name)


def toml_text(text: str) -> str:
    """As a basic string of TOML: JSON's, but for pairs of surrogates and DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
