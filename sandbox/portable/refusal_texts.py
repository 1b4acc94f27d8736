"""Words: why a module is not run: a stable code and a public sentence, the same as the native worker's
(runner/src/refusal.rs).
"""

from __future__ import annotations

import re

TEXT_MAX = 300
REASON_MAX = 200
NAME_SHOWN = 64

_OFFSET = re.compile(r" \(at offset 0x([0-9a-f]+)\)$")
# What the engine's parser says of bytes that cannot be read; everything else that it says is about rules.
_MALFORMED = re.compile(
    r"unexpected end|invalid var_|integer (representation )?too (long|large)|illegal opcode|"
    r"invalid leading byte|malformed|"
    r"magic header|unknown binary version|unexpected content|trailing bytes|length out of bounds|section size mismatch|"
    r"unexpected data at the end|invalid (table|memory|start|value type|section|character|boolean|block type|.*flags)|"
    r"zero byte expected|section out of order|function and code section|operators remaining|control frames remain"
)


class Refusal(Exception):
    """The program's fault; the worker writes it into the facts."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code, text)
        self.code, self.text = code, text[:TEXT_MAX]


def malformed(message: str) -> Refusal:
    return Refusal("malformed", f"malformed module: {message}")


def unsupported(feature: str, advice: str) -> Refusal:
    return Refusal("unsupported", f"{feature} not supported: {advice}")


def at_most(what: str, found: int, limit: int) -> None:
    if found > limit:
        raise Refusal("too-large", f"the module has too many or too large {what}: {found}, at most {limit}")


def bad_import(module: bytes, name: bytes, why: str) -> Refusal:
    return Refusal("bad-import", f"import {shown_untrusted(module)}.{shown_untrusted(name)} {why}")


def shown_untrusted(name: bytes) -> str:
    """A name of the module, cut and without control characters: it goes to people's terminals."""
    text = name.decode(errors="replace")[:NAME_SHOWN]
    return "".join("?" if ord(char) < 32 or 127 <= ord(char) < 160 else char for char in text)


def engine_reason_untrusted(message: str) -> str:
    """The engine's own sentence, the last of its error: what is wrong, and at which byte."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    where = _OFFSET.search(last)
    reason = _OFFSET.sub("", last)[:REASON_MAX]
    return f"{reason} (at byte {int(where[1], 16)})" if where else reason


def of_engine_untrusted(message: str) -> Refusal:
    """The refusal for a module that the engine did not find valid."""
    reason = engine_reason_untrusted(message)
    if _MALFORMED.search(reason):
        return malformed(reason)
    return Refusal("invalid", f"invalid module: {reason}")
