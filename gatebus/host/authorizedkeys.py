"""Whom a host knows: an OpenSSH `authorized_keys` file; words.

In:  the text of the file (untrusted: people paste into it), the time of day where an option needs it.
Out: AuthorizedKeys: 32 bytes of key -> comment and expiry, and each line that was not taken, by number and reason.

A line that is not understood whole gives nobody access. Options of sshd that only take away what gatebus does not offer
(no-pty, restrict ...) are taken; those that bind a key to something (command=, from=, cert-authority) refuse the line,
because ignoring them would give more than the owner of the file meant.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from gatebus.bounds import AUTHORIZED_KEYS_LINE, AUTHORIZED_KEYS_LINES, KEY_COMMENT
from gatebus.sshkeys import KIND, KeyProblem, parse_public_untrusted

HARMLESS = frozenset(
    {
        *("agent-forwarding", "port-forwarding", "pty", "user-rc", "x11-forwarding"),
        *("no-agent-forwarding", "no-port-forwarding", "no-pty", "no-user-rc", "no-x11-forwarding", "restrict"),
    }
)
_MARK = b"\xef\xbb\xbf"  # some editors write it before the first line
_OTHER_KINDS = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+")
_OPTION = re.compile(r'([A-Za-z0-9-]+)(?:="((?:[^"\\]|\\.)*)")?(?:,|$)')
_EXPIRY = re.compile(r"\d{8}(\d{4}(\d{2})?)?Z?")


@dataclass(frozen=True, slots=True)
class KnownKey:
    key: bytes
    comment: str
    line: int
    expires: float | None = None
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class NotTaken:
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class AuthorizedKeys:
    keys: Mapping[bytes, KnownKey] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[NotTaken, ...] = ()

    def find(self, key: bytes, now: float) -> KnownKey | None:
        found = self.keys.get(key)
        if found is None or (found.expires is not None and now >= found.expires):
            return None
        return found


def parse_authorized_keys_untrusted(data: bytes) -> AuthorizedKeys:
    """Never raises. Lines end as for sshd: a carriage return alone ends none, so that none hides behind a comment."""
    keys: dict[bytes, KnownKey] = {}
    problems: list[NotTaken] = []
    lines = data.removeprefix(_MARK).removesuffix(b"\n").split(b"\n")
    for number, line in enumerate(lines[:AUTHORIZED_KEYS_LINES], 1):
        try:
            known = _line(number, line)
            if known is not None and known.key in keys:
                raise KeyProblem(f"the same key as in line {keys[known.key].line}")
        except KeyProblem as problem:
            problems.append(NotTaken(number, str(problem)))
        else:
            if known is not None:
                keys[known.key] = known
    if len(lines) > AUTHORIZED_KEYS_LINES:
        problems.append(NotTaken(AUTHORIZED_KEYS_LINES + 1, f"only {AUTHORIZED_KEYS_LINES} lines are read"))
    return AuthorizedKeys(MappingProxyType(keys), tuple(problems))


def _line(number: int, line: bytes) -> KnownKey | None:
    if len(line) > AUTHORIZED_KEYS_LINE:
        raise KeyProblem(f"longer than {AUTHORIZED_KEYS_LINE} bytes")
    try:
        text = line.decode().strip()
    except UnicodeDecodeError:
        raise KeyProblem("no UTF-8 text") from None
    if "\r" in text:
        raise KeyProblem("a carriage return in the middle")
    if not text or text.startswith("#"):
        return None
    options, rest = _split(text)
    words = rest.split(None, 2)
    if words[0] != KIND:
        kind = words[0] if _OTHER_KINDS.fullmatch(words[0]) else "it"
        raise KeyProblem(f"{kind} is no key for gatebus; only {KIND} is")
    if len(words) < 2:
        raise KeyProblem(f"nothing follows {KIND}")
    comment = _comment(words[2]) if len(words) > 2 else ""
    return KnownKey(parse_public_untrusted(words[1]), comment, number, _expiry(options))


def _comment(text: str) -> str:
    """Shown to people: no control characters."""
    return "".join(each if each.isprintable() else "?" for each in text)[:KEY_COMMENT]


def _split(text: str) -> tuple[dict[str, str], str]:
    """(options, the rest). A line without options begins with the kind of its key."""
    first = text.split(None, 1)[0]
    if _OTHER_KINDS.fullmatch(first):
        return {}, text
    options: dict[str, str] = {}
    written, at, more = _until_blank(text), 0, True
    while more and (found := _OPTION.match(written, at)):
        name = found[1].lower()
        if name in options and name not in HARMLESS:
            raise KeyProblem(f"the option {name[:40]} is there twice")
        options[name] = found[2] or ""
        at, more = found.end(), found[0].endswith(",")
    rest = text[at:]
    if more or not rest[:1].isspace():
        raise KeyProblem("its options cannot be read")
    return options, rest.strip()


def _until_blank(text: str) -> str:
    """The options: up to the first blank outside of quotes."""
    quoted = escaped = False
    for at, each in enumerate(text):
        if escaped:
            escaped = False
        elif each == "\\":
            escaped = True
        elif each == '"':
            quoted = not quoted
        elif each.isspace() and not quoted:
            return text[:at]
    return text


def _expiry(options: Mapping[str, str]) -> float | None:
    for name in options:
        if name not in HARMLESS and name != "expiry-time":
            raise KeyProblem(f"the option {name[:40]} is not known here, so the line gives no access")
    if "expiry-time" not in options:
        return None
    text = options["expiry-time"]
    if not _EXPIRY.fullmatch(text):
        raise KeyProblem('expiry-time is written like expiry-time="20271231" or "202712312359Z"')
    digits = text.rstrip("Z").ljust(14, "0")
    try:
        # sshd's own default is the host's time zone; a word has none, so the day ends by UTC either way
        return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise KeyProblem("expiry-time is no day and time that there is") from None
