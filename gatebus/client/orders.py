"""What a program is to be run with, as parameters of `call` and `launch`; words, no I/O.

In:  what people write: bytes of a module, its hash, or a source; arguments, files. Out: a map that PROTOCOL.md allows,
or UsageError with what is wrong, before anything is sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import cbor2

from gatebus.accountbounds import INPUT_BYTES
from gatebus.bounds import CBOR_ITEMS, DATA_BYTES
from gatebus.faults import UsageError
from gatebus.slips import check_bytes, check_mapping, check_texts

WASM = b"\0asm"
_ROOM = DATA_BYTES - 1_024  # of a message, beside what the request has besides
_SURELY_FITS = 8 * 1_024  # four bytes for each character, and heads
_HASHED = 32
_PACK = "Put them into one file that the program takes apart."
_DIGEST = 32  # bytes of a SHA-256
_SHOWN = 40  # letters of a path


@dataclass(frozen=True, slots=True)
class Program:
    """One run. `files`: content by path, or `{"sha256": ...}` of an upload. `want_files`: give back what it left.
    `limits`: by name; None is none at all, where a host allows that.

    Of a program that outlives its process (docs/live-programs.md): `suspendable`, `transient`: as the host has it for
    `launch` and `call` unless said; `resumable`: another function can run on what it leaves; `policy`: when it is
    stored, kept, woken; `warm`: of `call`, from a clone of what Bus.warm has made.
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
    suspendable: bool | None = None
    transient: bool | None = None
    resumable: bool = False
    policy: Mapping[str, str | float] = field(default_factory=dict)
    warm: bool = False
    _digest: bytes = field(default=b"", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises UsageError."""
        check_texts("args", self.args)
        check_texts("tags", self.tags)
        check_mapping("env", self.env, '{"LANG": "C"}')
        check_mapping("files", self.files, '{"in.txt": b"..."}')
        check_mapping("limits", self.limits, '{"cpu_time": 1.5}')
        for path, content in self.files.items():
            if not hasattr(content, "items"):
                check_bytes(f"The file {path[:_SHOWN]}", content)

    def digest(self) -> bytes:
        """Of a module that is given as bytes: hashed once (1 ms for a megabyte), however often it is run."""
        if not self._digest:
            assert isinstance(self.module, bytes)
            object.__setattr__(self, "_digest", sha256(self.module).digest())
        return self._digest


@dataclass(frozen=True, slots=True)
class Life:
    """How an instance lives that goes on from a snapshot; what is None or left out is as the snapshot says, and it is
    not transient. `policy`: such as {"wake": "any", "idle_store": 60}.
    """

    open: bool | None = None
    transient: bool | None = None
    policy: Mapping[str, str | float] = field(default_factory=dict)

    def said(self) -> dict[str, Any]:
        """As parameters of `restore`."""
        given = {"open": self.open, "transient": self.transient, "policy": dict(self.policy) or None}
        return {name: value for name, value in given.items() if value is not None}


AS_IT_WAS = Life()


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
    """For `call` (without its stream) and `launch` (without its instance): only what differs from nothing. Raises
    UsageError for what no message holds: a host would end the link, and the next one, too.
    """
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
        "resumable": program.resumable,
        "policy": dict(program.policy),
        "warm": program.warm,
    }
    told: dict[str, Any] = {"module": module, **{name: value for name, value in given.items() if value}}
    said = {"suspendable": program.suspendable, "transient": program.transient}
    told.update((name, value) for name, value in said.items() if value is not None)
    if _least_size(program) > _SURELY_FITS:
        _check_size(len(cbor2.dumps(told)))
    return told


def room_for_input(program: Program) -> int:
    """Bytes of its input that may go with the order; what is not there yet goes as data."""
    return INPUT_BYTES if _least_size(program) <= _SURELY_FITS else 0


def check_fits(program: Program) -> None:
    """As far as it can be known before files are uploaded. Raises UsageError."""
    for what, things in (("arguments", program.args), ("variables", program.env), ("files", program.files)):
        if len(things) > CBOR_ITEMS:
            raise UsageError(f"A program gets at most {CBOR_ITEMS} {what}; these are {len(things)}. {_PACK}")
    _check_size(_least_size(program))


def _least_size(program: Program) -> int:
    """Bytes, where every file that is larger than its hash is uploaded before."""
    lines = sum(map(len, program.args)) + sum(len(name) + len(value) for name, value in program.env.items())
    return lines + sum(len(path) + min(len(content), _HASHED) for path, content in program.files.items())


def _check_size(size: int) -> None:
    if size > _ROOM:
        raise UsageError(
            f"The arguments, variables and names of files take {size} bytes, and a request holds {_ROOM}. {_PACK}"
        )
