"""Which key a host has by which name, and whether to believe it; words, no I/O.

In:  the text of a known_hosts file (a person may have edited it), a name, a key that was proved. Out: a verdict, and
the line to add. The form is OpenSSH's plain one, so that a person can read, compare and delete lines:

    ws://example.org:6473 ssh-ed25519 AAAA... comment

A host that is new is believed once and remembered (trust on first use); one whose key has changed is never believed:
the person decides, by deleting the line (`gatebus login --forget`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from gatebus.sshkeys import KIND, KeyProblem, fingerprint, parse_public_untrusted, public_line


class Verdict(Enum):
    KNOWN = "known"
    NEW = "new"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class KnownHosts:
    """name -> keys (a host may have an old and a new one); the numbers of lines that were not understood.

    A name whose only line is damaged has no keys: it is not new, or whoever can damage a line could be believed.
    """

    keys: Mapping[str, frozenset[bytes]] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[int, ...] = ()

    def judge(self, name: str, key: bytes) -> Verdict:
        known = self.keys.get(name)
        if known is None:
            return Verdict.NEW
        return Verdict.KNOWN if key in known else Verdict.CHANGED


def parse_known_hosts_untrusted(data: bytes) -> KnownHosts:
    """Never raises. A line that is not understood believes nobody, and its host is not new either."""
    keys: dict[str, frozenset[bytes]] = {}
    problems = []
    for number, line in enumerate(data.splitlines(), 1):
        words = _words(line)
        if not words or words[0].startswith("#"):
            continue
        name = words[0]
        known = keys.setdefault(name, frozenset())
        try:
            _, kind, encoded = words[:3]
            if kind != KIND:
                raise KeyProblem("another kind of key")
            keys[name] = known | {parse_public_untrusted(encoded)}
        except ValueError:
            problems.append(number)
    return KnownHosts(MappingProxyType(keys), tuple(problems))


def known_host_line(name: str, key: bytes) -> str:
    """With its newline. A name that would become several words is not remembered: ValueError."""
    if not name or name.split() != [name] or name.startswith("#") or not name.isprintable():
        raise ValueError("The name of a host has no spaces.")
    return f"{name} {public_line(key)}\n"


def without_host(data: bytes, name: str) -> bytes:
    """The file without any line of this host; all others as they were."""
    return b"".join(line for line in data.splitlines(keepends=True) if _words(line)[:1] != [name])


def _words(line: bytes) -> list[str]:
    return line.decode("utf-8", "replace").split()


def changed_text(name: str, key: bytes) -> str:
    return (
        f"The key of {name} has changed to {fingerprint(key)}. Somebody may pretend to be this host, or it was "
        f"installed anew: ask whoever runs it, then forget the old one: gatebus login --forget {name}"
    )


def unknown_text(name: str, key: bytes) -> str:
    return f"The host {name} is not known. Its key is {fingerprint(key)}: compare it with `gatebus key` at the host."
