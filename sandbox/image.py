"""Words: an admitted program, and the facts that the jailed compile worker says about it.

In:  facts (JSON, untrusted: a compromised worker may write anything). Out: Facts, and Image, which is what callers
hold.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal, NamedTuple, NoReturn, cast

from sandbox.errors import CompileLimit, Refused, SandboxBroken, public_text_untrusted

FACTS_MAX = 64 << 10
EXPORTS_MAX = 64
EXPORT_NAME_MAX = 1_024
# Counts above this are nonsense: WebAssembly's own sizes are 32 bits.
_COUNT_MAX = 1 << 32

Personality = Literal["wasi", "gate"]

# What a worker may answer; everything else is the worker's fault.
REFUSAL_CODES = frozenset({"malformed", "invalid", "unsupported", "too-large", "bad-import", "code-too-large"})


class Facts(NamedTuple):
    personality: Personality
    functions: int
    memory_pages: int
    memory_max_pages: int | None
    table_elements: int
    exports: tuple[str, ...]
    has_start: bool
    imports: int
    wasm_sha256: str


@dataclass(frozen=True, slots=True)
class Image:
    """A compiled program.

    `key` names it in the cache; `handle` belongs to the back-end, which frees it when nobody holds the image.
    """

    sha256: str
    personality: Personality
    exports: tuple[str, ...]
    memory_minimum: int
    table_minimum: int
    code_size: int
    key: str
    handle: object = field(repr=False, compare=False)
    has_start: bool = False
    """Its start section runs code before any function is entered."""


def image_key(program_sha256: str, fingerprint: str) -> str:
    """The same program compiled by the same engine for the same processor, and nothing else, has this name."""
    return sha256(b"gatebus image 1\0" + bytes.fromhex(program_sha256) + fingerprint.encode()).hexdigest()


def make_image(program_sha256: str, key: str, facts: Facts, size: int, handle: object) -> Image:
    return Image(
        program_sha256,
        facts.personality,
        facts.exports,
        facts.memory_pages * 65_536,
        facts.table_elements,
        size,
        key,
        handle,
        facts.has_start,
    )


def parse_facts_untrusted(data: bytes) -> Facts:
    """Raises Refused when the worker refused the program, CompileLimit when its code is too large, SandboxBroken
    for nonsense.
    """
    try:
        said = _object(json.loads(data[: FACTS_MAX + 1].decode()))
        if said.get("ok") is True:
            return _facts(said)
        code, text = said.get("code"), said.get("text")
    except (ValueError, RecursionError, UnicodeDecodeError):
        _nonsense()
    known = isinstance(code, str) and code in REFUSAL_CODES
    if said.get("ok") is not False or not known or not isinstance(text, str) or not text.strip():
        _nonsense()
    fault = CompileLimit if code == "code-too-large" else Refused
    raise fault(cast("str", code), public_text_untrusted(text))


def _nonsense() -> NoReturn:
    raise SandboxBroken(
        "compiler-facts", "The compile worker's answer is not understood; the program was not admitted."
    )


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _facts(said: dict[str, Any]) -> Facts:
    personality = said.get("personality")
    if personality not in ("wasi", "gate"):
        raise ValueError("no such personality")
    maximum = said.get("memory_max_pages")
    return Facts(
        personality,
        _count(said.get("functions")),
        _count(said.get("memory_pages")),
        None if maximum is None else _count(maximum),
        _count(said.get("table_elements")),
        _exports(said.get("exports")),
        _flag(said.get("has_start")),
        _count(said.get("imports")),
        _digest(said.get("wasm_sha256")),
    )


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _COUNT_MAX:
        raise ValueError("not a count")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("not a flag")
    return value


def _exports(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > EXPORTS_MAX:
        raise ValueError("not a list of exports")
    for name in value:
        if not isinstance(name, str) or len(name) > EXPORT_NAME_MAX:
            raise ValueError("not a name")
    return tuple(value)


def _digest(value: object) -> str:
    if not isinstance(value, str) or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise ValueError("not a digest")
    return value
