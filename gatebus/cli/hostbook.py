"""The hosts that a person knows: names, addresses, and which key of one's own; words.

In:  the text of ~/.config/gatebus/hosts.toml (written by `gatebus login` and by hand). Out: a HostBook, its text again,
and the Target that a command means; UsageError with one line. The hosts' own keys are in known_hosts beside it
(gatebus.client.knownhosts), by address, as for every other client.

    default = "lab"

    [hosts.lab]
    address = "wss://bus.example.org"
    key = "~/.config/gatebus/id_ed25519"   # absent: without a key
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import cast

from gatebus.faults import UsageError
from gatebus.host.configtext import toml_text
from gatebus.tomltext import NoToml, toml_untrusted
from gatebus.web.places import parse_address

ANONYMOUS, AGENT = "anonymous", "agent"
LOOPBACK = "ws://127.0.0.1:6473"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_KEYS = {"address", "key"}


@dataclass(frozen=True, slots=True)
class KnownHost:
    address: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class HostBook:
    default: str | None = None
    hosts: Mapping[str, KnownHost] = field(default_factory=dict)

    def with_host(self, name: str, host: KnownHost) -> "HostBook":
        return replace(self, hosts={**self.hosts, name: host})

    def without_host(self, name: str) -> "HostBook":
        """Nobody takes the place of a default."""
        left = {each: host for each, host in self.hosts.items() if each != name}
        return replace(self, default=None if self.default == name else self.default, hosts=left)

    def key_at(self, address: str) -> str | None:
        """The one that belongs to this address; None where several names have it with different keys, too: a person
        is not shown as somebody else than was meant.
        """
        keys = {host.key for host in self.hosts.values() if host.address == address}
        return keys.pop() if len(keys) == 1 else None

    def named_by(self, address: str) -> list[str]:
        return [name for name, host in self.hosts.items() if host.address == address]


@dataclass(frozen=True, slots=True)
class Target:
    """What a command talks to. `key`: a file of one's own, or None: without. `named`: it is in the book by name."""

    address: str
    key: str | None = None
    named: str = ""

    @property
    def shown(self) -> str:
        return self.named or self.address


def check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name[:40]} cannot be the name of a host: use letters, digits, - and _.")
    return name


def choose(named: str | None, book: HostBook, socket: str | None) -> Target:
    """`named`: by --host or GATEBUS_HOST. `socket`: this machine's unix socket, if there is one. Raises UsageError."""
    wanted = named or book.default
    if wanted is None:
        return Target(f"unix:{socket}" if socket else LOOPBACK)
    if wanted in book.hosts:
        host = book.hosts[wanted]
        return Target(host.address, host.key, wanted)
    if is_name(wanted):
        raise UsageError(unknown_host(wanted, book, "`gatebus login NAME ADDRESS` remembers one."))
    address = str(parse_address(wanted))
    return Target(address, book.key_at(address))


def is_name(text: str) -> bool:
    """Not an address."""
    return _NAME.fullmatch(text) is not None and text != "localhost"


def unknown_host(name: str, book: HostBook, otherwise: str) -> str:
    near = get_close_matches(name, book.hosts, 1, 0.6)
    return f"There is no host {name[:64]} in your list. {f'Did you mean {near[0]}?' if near else otherwise}"


def parse_book(text: str) -> HostBook:
    """Raises UsageError."""
    try:
        table = toml_untrusted(text)
    except NoToml as problem:
        raise UsageError(f"hosts.toml {problem.reason}.") from None
    unknown = sorted(set(table) - {"default", "hosts"})
    if unknown:
        raise UsageError(f"hosts.toml has the unknown key `{unknown[0][:40]}`. There is default and [hosts.NAME].")
    hosts = {check_name(name): _host(name, value) for name, value in _table(table, "hosts").items()}
    default = table.get("default")
    if default is not None and default not in hosts:
        raise UsageError(f"hosts.toml: the default {str(default)[:40]} is none of its hosts.")
    return HostBook(default, hosts)


def _table(table: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = table.get(name, {})
    if not isinstance(value, dict):
        raise UsageError(f"hosts.toml: `{name}` is no table.")
    return cast("dict[str, object]", value)


def _host(name: str, value: object) -> KnownHost:
    where = f"hosts.toml: [hosts.{name}]"
    if not isinstance(value, dict) or set(value) - _KEYS or not isinstance(value.get("address"), str):
        raise UsageError(f"{where} needs `address`, a text; `key` may be there, too.")
    key = value.get("key")
    if key is not None and not isinstance(key, str):
        raise UsageError(f"{where} has a `key` that is no text: it is the name of a file.")
    return KnownHost(str(parse_address(value["address"])), key)


def book_text(book: HostBook) -> str:
    """It is read as the same book."""
    lines = ["# Written by `gatebus login`; you may edit it."]
    if book.default is not None:
        lines.append(f"default = {toml_text(book.default)}")
    for name, host in book.hosts.items():
        lines += ["", f"[hosts.{name}]", f"address = {toml_text(host.address)}"]
        if host.key is not None:
            lines.append(f"key = {toml_text(host.key)}")
    return "\n".join(lines) + "\n"
