"""State files of `gatebus run --suspend-after` and `--resume`, and `gatebus show FILE`; assembly.

In:  a stopped program; a file (untrusted). Out: a file that appears whole or not at all; a stopped program; lines for a
person. Only the person who stopped a program can read its file: all of its memory is in it.
"""

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, BinaryIO

import trio

from gatebus.cli.groundwork import SETTINGS
from gatebus.cli.guesses import begins_as_module_untrusted, module_for_state, signed_for_state
from gatebus.cli.moduleshown import look_at, module_described, module_lines
from gatebus.cli.options import ShowOptions
from gatebus.cli.saying import put, tell
from gatebus.cli.surroundings import STDIN, check_plain, module_from, opened
from gatebus.cli.wording import Result, failed, refused, state_refused
from gatebus.faults import UsageError
from gatebus.keptservices import kept_untrusted
from gatebus.snapshots.exportwords import MAGIC as SIGNED
from sandbox.box import open_sandbox
from sandbox.errors import BadState, Refused, SandboxError, public_text_untrusted
from sandbox.exportfile import is_exported_untrusted, state_of_untrusted
from sandbox.memfd import MemfdSnapshot, memory_memfd
from sandbox.statefile import (
    HEAD_SIZE,
    MAGIC,
    Stored,
    decode_untrusted,
    encoded,
    length_untrusted,
    places_untrusted,
)
from sandbox.statewords import PAGE, PIECE, look_untrusted, program_of_untrusted
from sandbox.suspended import Suspended

_READ_AT_ONCE = 16 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def check_state(path: str) -> None:
    """Asked before the program runs: its work should not be lost, and nothing of the owner's but an older state."""
    directory = os.path.dirname(path) or "."
    if path == "-":
        raise UsageError(
            "--state: a state goes into a file, not to stdout: all of the program's memory is in it. Name one."
        )
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise UsageError("--state: what is there is no file. Name a new one.")
            if not _may_go(path):
                raise UsageError("--state: something that is no state is there already. Name a new file.")
    except OSError as problem:
        raise UsageError(f"--state: the file cannot be written: {problem.strerror}.") from problem
    if not os.path.basename(path) or not os.path.isdir(directory) or not _takes_files(directory):
        raise UsageError("--state: the file cannot be written there. Name one in a directory of yours.")


def _takes_files(directory: str) -> bool:
    """Tried, because root may do everything, and /proc has no room for a file. What else may go wrong with a state is
    told when it is written: the program goes on then.
    """
    if not os.access(directory, os.W_OK | os.X_OK):
        return False
    unfinished = _unfinished(directory)
    try:
        os.close(os.open(unfinished, _NEW, 0o600))
        os.unlink(unfinished)
    except (FileNotFoundError, PermissionError):
        return False
    except OSError:
        pass
    return True


def _unfinished(directory: str) -> str:
    """Nobody's to guess: it may lie in a directory of all."""
    return os.path.join(directory, f".{os.urandom(8).hex()}.unfinished")


def check_module(path: str) -> None:
    """Of `--out`. A file is replaced, but never what is none, nor a state: it may be the only one. `-` is stdout."""
    if path == STDIN:
        return
    with contextlib.suppress(OSError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise UsageError("--out: what is there is no file. Name a new one.")
        if os.path.getsize(path) and _may_go(path):
            raise UsageError("--out: a state is there. Name another file, and it stays.")


def _may_go(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) in (b"", MAGIC)


def write_state(path: str, suspended: Suspended, program: bytes, description: dict[str, Any], services: bytes) -> None:
    """Raises UsageError."""
    write_whole(path, encoded(suspended, program, description, services), "--state")


def write_whole(path: str, pieces: Iterable[bytes | memoryview], option: str) -> None:
    """Of a large state nobody holds more than a piece. Raises UsageError."""
    unfinished = _unfinished(os.path.dirname(path))
    try:
        with open(os.open(unfinished, _NEW, 0o600), "wb") as file:
            file.writelines(pieces)
        os.replace(unfinished, path)
    except OSError as problem:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise UsageError(f"{option}: the file cannot be written: {problem.strerror}.") from problem


def read_state(path: str) -> Stored:
    """Of a file, or of stdin (`-`). Raises UsageError, BadState."""
    with _source(path) as file:
        head = file.read(HEAD_SIZE)
        if begins_as_module_untrusted(head):
            raise UsageError(module_for_state(path, exported=is_exported_untrusted(head)))
        _check_not_signed_untrusted(path, head)
        return _state_untrusted(file, head)


def _state_or_module(path: str) -> Stored | bytes:
    """Read once: stdin cannot be read again. Raises UsageError, BadState."""
    with _source(path) as file:
        head = file.read(HEAD_SIZE)
        _check_not_signed_untrusted(path, head)
        return module_from(file, head) if begins_as_module_untrusted(head) else _state_untrusted(file, head)


def _check_not_signed_untrusted(path: str, head: bytes) -> None:
    """Raises UsageError."""
    if head.startswith(SIGNED):
        raise UsageError(signed_for_state(path))


@contextlib.contextmanager
def _source(path: str) -> Iterator[BinaryIO]:
    if path != STDIN:
        check_plain(path, "Write `-` for stdin, or put what it gives into a file, and name that.")
    try:
        with opened(path) as file:
            yield file
    except OSError as problem:
        raise UsageError(f"The state cannot be read: {problem.strerror}.") from problem


def _state_untrusted(file: BinaryIO, head: bytes) -> Stored:
    """Up to one byte more than there should be, in pieces: the size is a stranger's word; and held once."""
    size, data = length_untrusted(head) + 1, bytearray(head)
    while part := file.read(min(size - len(data), _READ_AT_ONCE)):
        data += part
    return decode_untrusted(memoryview(data))


def suspended_untrusted(stored: Stored) -> Suspended:
    """With memory 0 in a file of its own, as a back-end wants it."""
    size = look_untrusted(stored.state).pages * PAGE
    memory = MemfdSnapshot(memory_memfd(max(size, PAGE)), size)
    for place, piece in places_untrusted(stored):
        os.pwrite(memory.fd, piece, place * PIECE)
    return Suspended(program_of_untrusted(stored.state), stored.state, memory)


def show(options: ShowOptions) -> int:
    """The exit code."""
    try:
        content = _state_or_module(options.file)
        told, in_lines = _module_told(options.file, content) if isinstance(content, bytes) else _told(content)
    except BadState as fault:
        return say(state_refused(options.file, fault.code, fault.text))
    except Refused as fault:
        return say(refused(options.file, fault.code, fault.text))
    except (SandboxError, UsageError) as fault:
        return say(failed(options.file, fault.code, fault.text))
    put(json.dumps(told) + "\n" if options.json else in_lines)
    return 0


def _told(stored: Stored) -> tuple[dict[str, Any], str]:
    """As one object, and in lines. Raises BadState, SandboxError."""
    kept_untrusted(stored.services)
    told = described(stored, trio.run(partial(_frames, stored)))
    return told, lines(told)


def _module_told(file: str, wasm: bytes) -> tuple[dict[str, Any], str]:
    """An exported program is a stopped one. Raises BadState, SandboxError."""
    if stored := state_of_untrusted(wasm):
        return _told(stored)
    told = module_described(file, wasm, trio.run(partial(look_at, wasm)))
    return told, module_lines(told)


def say(result: Result) -> int:
    tell(result.line + "\n")
    return result.code


async def _frames(stored: Stored) -> list[dict[str, Any]]:
    """By a compile worker in the jail: the program's names are a stranger's."""
    async with open_sandbox("native", SETTINGS) as box:
        return await box.frames(suspended_untrusted(stored), stored.program)


def described(stored: Stored, frames: list[dict[str, Any]]) -> dict[str, Any]:
    inner = look_untrusted(stored.state)
    return {
        "program": program_of_untrusted(stored.state),
        "file": public_text_untrusted(str(stored.description.get("file", ""))),
        "entry": public_text_untrusted(inner.entry),
        "memory": {"bytes": inner.pages * PAGE, "runs": _runs(stored)},
        "size": {
            "program": len(stored.program),
            "frames": len(inner.frames),
            "memory": len(stored.pieces),
            "rest of the state": len(stored.state) - len(inner.frames),
            "services": len(stored.services),
        },
        "frames": frames,
    }


def _runs(stored: Stored) -> list[list[int]]:
    """[first byte, bytes] of what is not zero."""
    runs: list[list[int]] = []
    for place, _ in places_untrusted(stored):
        if runs and runs[-1][0] + runs[-1][1] == place * PIECE:
            runs[-1][1] += PIECE
        else:
            runs.append([place * PIECE, PIECE])
    return runs


def lines(told: dict[str, Any]) -> str:
    """For a person, the innermost frame first."""
    out = [
        f"program   {told['program']}  {told['file']}",
        f"entered   {told['entry'] or 'the start function'}",
        "",
        "frames" if told["frames"] else "frames    none: it had come to its end; --function NAME calls another one",
    ]
    depth = told["frames"][0]["depth"] + 1 if told["frames"] else 0
    for frame in told["frames"]:
        if frame["depth"] < depth - 1:
            out.append(f"          ... {depth - 1 - frame['depth']} more ...")
        depth = frame["depth"]
        number = "" if frame["function"] is None else str(frame["function"])
        out.append(f"  {depth:>6}  {number:>6} {frame['name'] or ''}  {frame['place']}".rstrip())
    out += ["", f"memory    {told['memory']['bytes']} bytes; not zero:"]
    out += [f"  {first:#010x} .. {first + size:#010x}  {size:>10}" for first, size in told["memory"]["runs"][:64]]
    out += ["", "size"] + [f"  {size:>10}  {name}" for name, size in told["size"].items()]
    return "\n".join(out) + "\n"
