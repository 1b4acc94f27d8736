"""The table of everything that can be configured: name, how its value is written, what it means; words.

In:  a value as TOML has it (untrusted by type) or as text from the environment or a flag. Out: a checked value, or
ValueError that ends the sentence "it must be ...".

One table for files, environment, flags, `--help`, `--print-config` and docs/operations.md: what is not here cannot be
set, and what is here is documented.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

from gatebus.host.hostconfig import Address
from gatebus.host.policy import OPERATIONS
from gatebus.host.quotas import Amounts
from gatebus.snapshots.snapshotbounds import SIGNERS
from sandbox.errors import BadSetup
from sandbox.layers import LAYER_NAMES, REQUIRED
from sandbox.limits import Limits, Range, parse, parse_size, parse_time
from sandbox.settings import POOL_MAX, SPIN_MAX

_DAY = 86_400.0
_ORIGIN = re.compile(r"https?://[^/\s*]+")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Setting:
    """`path`: where it stands in HostConfig, and in the file with dots between."""

    path: tuple[str, ...]
    parse: Callable[[object], Any]
    help: str

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        return "GATEBUS_" + "_".join(self.path).upper()

    @property
    def flag(self) -> str:
        return "--" + "-".join(self.path).replace("_", "-")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("a text")
    return value


def _path(value: object) -> str | None:
    """An empty text: none."""
    return None if value == "" else _text(value)


def _list(value: object) -> list[str]:
    """Of texts; written with commas where there are no lists."""
    if isinstance(value, str):
        return [each.strip() for each in value.split(",") if each.strip()]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    raise ValueError('a list of texts, such as ["a", "b"]')


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    try:
        number = int(port) if port.isascii() and port.isdecimal() else -1
        if not 0 <= number < 1 << 16 or not _is_host(host):
            raise ValueError
    except ValueError:
        raise ValueError("addresses such as 127.0.0.1:6473 or [::1]:6473") from None
    return Address(host, number)


def _is_host(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return _NAME.fullmatch(text) is not None
    return True


def _addresses(value: object) -> tuple[Address, ...]:
    return tuple(map(_address, _list(value)))


def _origins(value: object) -> frozenset[str]:
    found = frozenset(each.rstrip("/") for each in _list(value))
    if not all(map(_ORIGIN.fullmatch, found)):
        raise ValueError('origins such as ["https://example.org"]')
    return found


def _gateways(value: object) -> tuple[str, ...]:
    from ipfs.addresses import parse_source_untrusted  # whoever names none does not pay for codecs
    from ipfs.caps import SOURCES_MAX
    from ipfs.troubles import BadName

    found = tuple(_list(value))
    try:
        for each in found:
            parse_source_untrusted(each)
    except BadName:
        found = ("",) * (SOURCES_MAX + 1)
    if len(found) > SOURCES_MAX:
        raise ValueError(f"at most {SOURCES_MAX} of https://HOST, local+http://HOST:PORT, node+http://HOST:PORT")
    return found


def _fingerprints(value: object) -> tuple[str, ...]:
    found = tuple(_list(value))
    if len(found) > SIGNERS or not all(map(_FINGERPRINT.fullmatch, found)):
        raise ValueError(f"at most {SIGNERS} of SHA256:..., as `gatebus key` shows it at the host that signs")
    return found


def _switch(value: object) -> bool:
    """A text where there are only texts."""
    found = {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise ValueError("true or false")
    return found


def _seconds(low: float, high: float) -> Callable[[object], float]:
    def parse_seconds(value: object) -> float:
        try:
            seconds = parse_time(value) if isinstance(value, str) else _number(value)
        except (BadSetup, ValueError):
            seconds = -1.0
        if not low <= seconds <= high:
            raise ValueError(f'a time from {low:g} s to {high:g} s, such as "{min(10, high):g}s"')
        return seconds

    return parse_seconds


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    return float(value)


def _size(value: object) -> int:
    try:
        size = parse_size(value) if isinstance(value, str) else value
    except BadSetup:
        size = None
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 50:
        raise ValueError('a size such as "64MiB" or a number of bytes')
    return size


def _count(low: int, high: int) -> Callable[[object], int]:
    def parse_count(value: object) -> int:
        if isinstance(value, str) and value.isascii() and value.strip().isdecimal():
            value = int(value[:20])
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return parse_count


def _one_of(*words: str) -> Callable[[object], str]:
    def parse_word(value: object) -> str:
        if value not in words:
            raise ValueError(" or ".join(words))
        return str(value)

    return parse_word


def _some_of(words: Mapping[str, object]) -> Callable[[object], frozenset[str]]:
    def parse_words(value: object) -> frozenset[str]:
        found = frozenset(_list(value))
        if found == {"all"}:
            return frozenset(words)
        wrong = sorted(found - set(words))
        if wrong:
            raise ValueError(f'a list of {", ".join(list(words)[:3])} ..., or "all"; there is no `{wrong[0][:30]}`')
        return found

    return parse_words


def _layers(value: object) -> tuple[str, ...]:
    """Besides those without which nothing runs anyway."""
    found = _some_of(dict.fromkeys(LAYER_NAMES))(value)
    return tuple(name for name in LAYER_NAMES if name in found or name in REQUIRED)


def _limit(name: str, bounds: Range) -> Callable[[object], Any]:
    def parse_limit(value: object) -> Any:
        if isinstance(value, str):
            try:
                value = parse(Limits, name, value)
            except (BadSetup, ValueError):
                raise ValueError(_written(bounds)) from None
        try:
            Limits(**{name: value})  # type: ignore[arg-type]  # checked there, by type and range
        except BadSetup:
            raise ValueError(_written(bounds)) from None
        return value

    return parse_limit


def _written(bounds: Range) -> str:
    if bounds.steps:
        return " or ".join(f"{each} {bounds.unit}" for each in bounds.steps)
    none = ', or "none"' if bounds.none_allowed else ""
    return f"{bounds.minimum:.10g} to {bounds.maximum:.10g} {bounds.unit}{none}"


_ROOT = (
    Setting(("listen",), _addresses, "TCP addresses for websocket and HTTP; an empty list: none"),
    Setting(("socket",), _path, "path of the unix socket; empty: none"),
    Setting(("data",), _path, "directory of the host's key, modules and records; one host only"),
    Setting(("authorized_keys",), _path, "OpenSSH file of the ed25519 keys that this host knows"),
    Setting(("origins",), _origins, "pages that may connect besides the host's own (its names: docs/operations.md)"),
    Setting(("stop_seconds",), _seconds(0, 600), "how long programs may go on when the host is asked to stop"),
    Setting(("linger_seconds",), _seconds(0, _DAY), "how long a stream waits for a client that lost its connection"),
    Setting(("launched_seconds",), _seconds(0, 365 * _DAY), "how long the end of a launched instance is remembered"),
    Setting(("log",), _one_of("auto", "json", "text"), "form of the log; auto: text on a terminal, else JSON"),
    Setting(("log_level",), _one_of("debug", "info", "warning", "error"), "debug: also the end of each call"),
    Setting(("tls", "certificate"), _path, "PEM file with the certificate and those above it"),
    Setting(("tls", "key"), _path, "PEM file with its private key"),
    Setting(("policy", "anonymous"), _some_of(OPERATIONS), "operations of whoever shows no key"),
    Setting(("policy", "local"), _some_of(OPERATIONS), "operations of users of this machine, by the unix socket"),
    Setting(("policy", "key"), _some_of(OPERATIONS), "operations of the keys that the host knows"),
    Setting(("store", "unpinned_seconds"), _seconds(1, 3650 * _DAY), "modules that nobody pinned or used so long go"),
    Setting(("store", "unpinned_bytes"), _size, "more than this of modules that nobody pinned: the oldest go"),
    Setting(("store", "partial_seconds"), _seconds(1, 365 * _DAY), "how long an interrupted upload can be resumed"),
    Setting(("fetch", "gateways"), _gateways, "who is asked for ipfs://CID (docs/ipfs.md); an empty list: nobody"),
    Setting(("fetch", "hourly"), _size, "bytes fetched in an hour for each key or local user, and for all strangers"),
    Setting(("gateway", "serve"), _switch, "offer what is pinned to anybody, at /ipfs/CID (docs/ipfs.md)"),
    Setting(
        ("gateway", "store"),
        _path,
        "block store (directory) whose pins are offered; empty: the host's own",
    ),
    Setting(("gateway", "hourly"), _size, "bytes that are given away in an hour"),
    Setting(
        ("snapshots", "accept"),
        _one_of("any", "signed", "own"),
        "files of snapshots that may be brought in, by who signed them",
    ),
    Setting(("snapshots", "signers"), _fingerprints, "unless `any`: hosts whose files come in, too, by fingerprint"),
    Setting(("sandbox", "backend"), _one_of("native", "portable"), "native needs Linux; see `gatebus doctor`"),
    Setting(
        ("sandbox", "require"), _layers, "layers of protection without which nothing may run, besides the ordinary ones"
    ),
    Setting(("sandbox", "pool"), _count(1, POOL_MAX), "prepared processes; more hide longer bursts"),
    Setting(("sandbox", "spin"), _seconds(0, SPIN_MAX), "how long to look again before sleeping, for latency"),
)

_UNSAID = "{} of a program whose sender says nothing"
_AMOUNTS = {
    "instances": (_count(0, 1_000_000), "instances at once"),
    "memory": (_size, "sum of their memory limits"),
    "stored": (_size, "bytes of stored modules and snapshots"),
    "uploads": (_count(0, 100_000), "uploads at once"),
    "connections": (_count(0, 1_000_000), "connections at once"),
}
_WHOSE = {
    "host": "of the whole host",
    "principal": "of each key or local user",
    "anonymous": "of all strangers together",
}


def _meaning(text: str, name: str) -> str:
    """A launched program has all the wall time there is (gatebus.host.runoperations)."""
    more = "; one that is launched, by no stranger: `most`" if (text, name) == (_UNSAID, "wall_time") else ""
    return text.format(name.replace("_", " ")) + more


def _table() -> dict[str, Setting]:
    quotas = [
        Setting(("quotas", who, each.name), _AMOUNTS[each.name][0], f"{_AMOUNTS[each.name][1]}, {whose}")
        for who, whose in _WHOSE.items()
        for each in fields(Amounts)
    ]
    limits = [
        Setting((group, each.name), _limit(each.name, each.metadata["range"]), _meaning(text, each.name))
        for group, text in (
            ("limits", _UNSAID),
            ("most", "most {} one may ask for"),
        )
        for each in fields(Limits)
    ]
    return {each.name: each for each in (*_ROOT, *quotas, *limits)}


SETTINGS: Mapping[str, Setting] = MappingProxyType(_table())
PATHS = tuple(each.path for each in SETTINGS.values() if each.parse is _path)
"""Of HostConfig: what names a file or a directory of this machine."""
