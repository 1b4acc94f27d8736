"""What a program is to be run with, as parameters of `call` and `launch`; words, no I/O.

In:  what people write: bytes of a module, its hash, or a source; arguments, files. Out: a map that PROTOCOL.md allows,
or UsageError with what is wrong, before anything is sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gatebus.faults import UsageError

WASM = b"\0asm"
_DIGEST = 32  # bytes of a SHA-256


@dataclass(frozen=True, slots=True)
class Program:
    """One run. `files`: content by path, or `{"sha256": ...}` of an upload. `want_files`: give back what it left.
    `limits`: by name; None is none at all, where a host allows that.
    """

    module: bytes | str
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes | Mapping[str, bytes]] = field(default_factory=dict)
    limits: Mapping[str, float | None] = field(default_factory=dict)
    function: str | None = None
    want_files: bool = False
    tags: Sequence[str] = ()
    open: bool = False


def is_content(module: bytes | str) -> bool:
    """Bytes that are a module, in either form, not the hash of one: of 32 bytes the magic decides."""
    return isinstance(module, bytes) and (len(module) != _DIGEST or module[:4] == WASM)


def module_name(module: bytes | str) -> bytes | str:
    """How the protocol names a module that is not sent: 32 bytes, or a source."""
    if isinstance(module, bytes):
        return module
    if not isinstance(module, str):
        raise UsageError("A module is its bytes, its SHA-256, or a source; of a file, give what read_bytes() returns.")
    if "://" in module:
        return module
    try:
        digest = bytes.fromhex(module)
    except ValueError:
        digest = b""
    if len(digest) != _DIGEST:
        raise UsageError(
            "A module's name is a SHA-256 in hex, or a source such as ipfs://... ; a file is given as bytes."
        )
    return digest


def parameters(program: Program, module: bytes | str) -> dict[str, Any]:
    """For `call` (without its stream) and `launch` (without its instance): only what differs from nothing."""
    given = {
        "args": list(program.args),
        "env": dict(program.env),
        "files": {
            path: content if isinstance(content, bytes) else dict(content) for path, content in program.files.items()
        },
        "limits": dict(program.limits),
        "function": program.function,
        "want_files": program.want_files,
        "tags": list(program.tags),
        "open": program.open,
    }
    return {"module": module, **{name: value for name, value in given.items() if value}}
