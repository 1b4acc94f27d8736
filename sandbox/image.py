"""Words: an admitted program, and the facts that the jailed compile worker says about it.

In:  facts (JSON, untrusted: a compromised worker may write anything). Out: Facts, and Image, which is what callers
hold.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal, NamedTuple, NoReturn, cast

from sandbox.errors import BadState, CompileLimit, Refused, SandboxBroken, public_text_untrusted
from sandbox.form import Form
from sandbox.jsonwords import json_untrusted
from sandbox.limits import GUIDE_MAX
from sandbox.statewords import FrameSizes

# A program's facts have some KiB; those of a continuation tell where it may go on.
FACTS_MAX = GUIDE_MAX
# PROTOCOL.md: reasons why a program cannot be suspended, and characters of one.
REASONS_MAX, REASON_MAX = 16, 200
# What a worker shows of a deep stack: 100 from each end.
FRAMES_SHOWN_MAX = 200
EXPORTS_MAX = 64
EXPORT_NAME_MAX = 1_024
# Counts above this are nonsense: WebAssembly's own sizes are 32 bits.
_COUNT_MAX = 1 << 32

Personality = Literal["wasi", "gate"]

# What a worker may answer; everything else is the worker's fault.
REFUSAL_CODES = frozenset(
    {"malformed", "invalid", "unsupported", "too-large", "bad-import", "code-too-large", "bad-state"}
)


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
    suspendable: bool = False
    unsuspendable: tuple[str, ...] = ()
    frames: FrameSizes = FrameSizes()
    summary: bytes = b""


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
    suspendable: bool = False
    """It can be stopped anywhere and continued (only where that was asked for)."""
    unsuspendable: tuple[str, ...] = ()
    """Why it cannot, where that was asked for: functions by number and name."""
    frames: FrameSizes = field(default=FrameSizes(), repr=False)
    """How the frames of a stopped program are cut."""
    summary: bytes = field(default=b"", repr=False)
    """What the compile worker wants to be told again when it makes a continuation; it may be empty."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """What goes on from one set of sites of one program; `guide` tells the process how."""

    key: str
    guide: bytes = field(repr=False)
    code_size: int
    handle: object = field(repr=False, compare=False)
    stack: tuple[int, ...] = field(default=(), repr=False)
    """Bytes of stack that a frame at each of the sites takes at least; empty: not known."""


class Going(NamedTuple):
    """What a worker says of a continuation; `stack`: as there."""

    guide: bytes
    stack: tuple[int, ...]


_KIND = {Form.PLAIN: b"gatebus image 1\0", Form.SUSPENDABLE: b"gatebus suspendable image 1\0"}


def image_key(program_sha256: str, fingerprint: str, form: Form = Form.PLAIN) -> str:
    """The same program compiled in the same form by the same engine for the same processor, and nothing else, has
    this name.
    """
    return sha256(_KIND[form] + bytes.fromhex(program_sha256) + fingerprint.encode()).hexdigest()


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
        facts.suspendable,
        facts.unsuspendable,
        facts.frames,
        facts.summary,
    )


def continuation_key(program_sha256: str, fingerprint: str, sites: tuple[int, ...]) -> str:
    """A continuation depends on nothing else: no value of any frame is in it."""
    listed = b"".join(site.to_bytes(4, "little") for site in sites)
    kind = b"gatebus continuation 1\0" + bytes.fromhex(program_sha256)
    return sha256(kind + len(listed).to_bytes(4, "little") + listed + fingerprint.encode()).hexdigest()


def parse_continuation_untrusted(data: bytes, program_sha256: str) -> Going:
    """Facts of a continuation. Raises BadState (the frames are not of this program), CompileLimit,
    SandboxBroken.
    """
    said = _answer_untrusted(data)
    guide, stack = said.get("guide"), said.get("stack", [])
    if said.get("wasm_sha256") != program_sha256 or not isinstance(guide, str) or not isinstance(stack, list):
        _nonsense()
    try:
        return Going(bytes.fromhex(guide), tuple(map(_count, stack)))
    except ValueError:
        _nonsense()


def check_answer_untrusted(data: bytes, program_sha256: str) -> None:
    """Facts of a job that says nothing else. Raises BadState, CompileLimit, SandboxBroken."""
    if _answer_untrusted(data).get("wasm_sha256") != program_sha256:
        _nonsense()


def parse_frames_untrusted(data: bytes, program_sha256: str) -> list[dict[str, Any]]:
    """Facts about frames, for a person -> a list, innermost first; every text in it is fit for a terminal."""
    said = _answer_untrusted(data)
    frames = said.get("frames")
    if said.get("wasm_sha256") != program_sha256 or not isinstance(frames, list):
        _nonsense()
    return [_frame_untrusted(each) for each in frames[:FRAMES_SHOWN_MAX]]


def _frame_untrusted(frame: object) -> dict[str, Any]:
    if not isinstance(frame, dict) or not isinstance(frame.get("values"), list):
        _nonsense()
    function, name = frame.get("function"), frame.get("name")
    try:
        return {
            "depth": _count(frame.get("depth")),
            "function": None if function is None else _count(function),
            "name": None if name is None else public_text_untrusted(str(name)),
            "place": public_text_untrusted(str(frame.get("place"))),
            "saved": _count(frame.get("saved")),
            "values": [public_text_untrusted(f"{ty}:{bits}", 64) for ty, bits in frame["values"]],
        }
    except (ValueError, TypeError):
        _nonsense()


def unsuspendable_facts(facts: bytes, reason: str) -> bytes:
    """Facts of a plain program that was wanted suspendable, which this host finds impossible for `reason`."""
    said = json.loads(facts)
    said["unsuspendable"] = [reason]
    return json.dumps(said).encode()


def parse_facts_untrusted(data: bytes) -> Facts:
    """Raises Refused when the worker refused the program, CompileLimit when its code is too large, SandboxBroken
    for nonsense.
    """
    try:
        return _facts(_answer_untrusted(data))
    except ValueError:
        _nonsense()


def _answer_untrusted(data: bytes) -> dict[str, Any]:
    """What a worker says when it did its work. Raises what it says when it did not."""
    try:
        said = _object(json_untrusted(data[: FACTS_MAX + 1]))
    except ValueError:
        _nonsense()
    if said.get("ok") is True:
        return said
    code, text = said.get("code"), said.get("text")
    known = isinstance(code, str) and code in REFUSAL_CODES
    if said.get("ok") is not False or not known or not isinstance(text, str) or not text.strip():
        _nonsense()
    fault = {"code-too-large": CompileLimit, "bad-state": BadState}.get(cast("str", code), Refused)
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
        _flag(said.get("suspendable", False)),
        _reasons_untrusted(said.get("unsuspendable", [])),
        FrameSizes(_words(said.get("sites", ""))),
        _digits(said.get("summary", "")),
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


def _reasons_untrusted(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > REASONS_MAX or not all(isinstance(each, str) for each in value):
        raise ValueError("no list of reasons")
    return tuple(public_text_untrusted(each, REASON_MAX) for each in value)


def _digits(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("no digits")
    return bytes.fromhex(value)


def _words(value: object) -> bytes:
    """u16 numbers, none of them 0, as hexadecimal digits."""
    words = _digits(value)
    if len(words) % 2 or 0 in array("H", words):
        raise ValueError("no words")
    return words


def _digest(value: object) -> str:
    if not isinstance(value, str) or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise ValueError("not a digest")
    return value
