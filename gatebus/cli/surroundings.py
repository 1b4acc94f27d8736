"""Files that a run needs from this machine: the program, the configuration, directories to copy; a wire.

In:  names that the owner of the machine typed. Out: bytes and values; FileNotFound and UsageError with one line each.

Nothing here is shown to the program but what is named: the program's bytes go to the sandbox, the script and
directories become a Tree.
"""

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gatebus.bounds import CONFIG_BYTES
from gatebus.cli.guesses import LOOKED_AT, what_it_seems_untrusted, why_no_module_untrusted
from gatebus.cli.interpreters import Interpreter, command_line, extension_of, interpreters
from gatebus.cli.options import Copied, flag, range_of
from gatebus.faults import UsageError
from gatebus.tomltext import NoToml, toml_untrusted
from sandbox.errors import BadSetup, public_text_untrusted
from sandbox.limits import CompileLimits, Limits, written
from sandbox.tree import Directory, File, Node, Tree
from sandbox.treedisk import OnSkip, from_directory, write_to

# As a file's name: the program comes through stdin, and finds it at its end.
STDIN = "-"
# Files of a directory that could not be copied are named one by one up to here.
_NOTES = 5


class FileNotFound(Exception):  # noqa: N818 - as in faults.py
    """The file that is to be run is not there."""


def read_module(name: str) -> bytes:
    """Raises FileNotFound, UsageError. Never more than the sandbox would look at, plus one byte that tells that it is
    too much.
    """
    return _read(name, CompileLimits().program_size + 1)


def opened(name: str) -> BinaryIO:
    """Raises OSError. Stdin stays open."""
    return open(0 if name == STDIN else name, "rb", closefd=name != STDIN)


def module_from(file: BinaryIO, start: bytes, most: int = CompileLimits().program_size + 1) -> bytes:
    """`start`: what was read of it already. Raises OSError."""
    content = start + file.read(most - len(start))
    return content if len(content) < most else content + _rest_of_exported_untrusted(file, content)


def _read(name: str, most: int) -> bytes:
    try:
        with opened(name) as file:
            return module_from(file, b"", most)
    except FileNotFoundError:
        raise FileNotFound from None
    except OSError as problem:
        raise UsageError(f"It cannot be read: {reason(problem)}.") from None


def _rest_of_exported_untrusted(file: BinaryIO, start: bytes) -> bytes:
    """An exported program has its state beside it, and so two limits together."""
    from sandbox import exportfile  # no other file is so large

    return file.read(exportfile.FILE_MAX - len(start)) if exportfile.is_exported_untrusted(start[:LOOKED_AT]) else b""


def check_plain(name: str, instead: str = "Put what it gives into a file, and name that.") -> None:
    """Of a state or a snapshot. Raises UsageError at once: a pipe would be waited for, a device need not end. Who
    writes `-` for a state wants stdin to be waited for.
    """
    try:
        mode = os.stat(name).st_mode
    except OSError:
        return  # whoever reads it says why
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UsageError(f"It is a pipe or a device, and is not read. {instead}")


def check_module(name: str) -> bytes | None:
    """Whether it can be kept as a module, before anybody is asked. A file is read when it leaves, because many of them
    need not be here at once (None); what gives its bytes once, a pipe or stdin, is read whole now.
    """
    if name != STDIN and (os.path.isfile(name) or not os.path.exists(name)):
        _check_content(name, _read(name, LOOKED_AT))
        return None
    return read_checked_module(name)


def read_checked_module(name: str) -> bytes:
    """Raises FileNotFound, UsageError."""
    content = read_module(name)
    most = CompileLimits().program_size
    if len(content) > most:
        raise UsageError(
            f"It is larger than {written(most, 'bytes')}, and no host takes such a module. Make it smaller."
        )
    _check_content(name, content)
    return content


def _check_content(name: str, content: bytes) -> None:
    extension = extension_of(name)
    script = extension if extension in read_interpreters(None) else ""
    if problem := why_no_module_untrusted(content, script):
        raise UsageError(problem)


def reason(problem: OSError) -> str:
    return (problem.strerror or type(problem).__name__).lower()


def cache_directory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gatebus"


def guests_directory() -> Path:
    """Where the examples' Makefiles put what they build."""
    return cache_directory() / "guests"


def read_interpreters(config: str | None) -> dict[str, Interpreter]:
    """From the file that was named, or the user's own if there is one."""
    default = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "gatebus" / "config.toml"
    try:
        with (Path(config) if config else default).open(encoding="utf-8") as file:
            text = file.read(CONFIG_BYTES + 1)  # and the rest is told
    except UnicodeDecodeError:
        raise UsageError("The configuration cannot be read. It must be a text file.") from None
    except OSError as problem:
        # a home that is not ours (HOME is often kept when the user changes) holds no configuration of ours
        if config is None and isinstance(problem, FileNotFoundError | NotADirectoryError | PermissionError):
            return interpreters({})
        raise UsageError(f"The configuration {config or default} cannot be read: {reason(problem)}.") from None
    try:
        return interpreters(toml_untrusted(text))
    except NoToml as problem:
        raise UsageError(f"The configuration {problem.reason}.") from None


def module_path(interpreter: Interpreter) -> Path:
    return Path(interpreter.module.replace("{guests}", str(guests_directory()))).expanduser()


def read_interpreter(extension: str, interpreter: Interpreter) -> bytes:
    """The module that runs files of this extension, or what makes it."""
    try:
        return read_module(str(module_path(interpreter)))
    except FileNotFound:
        make = f"make it once: {interpreter.make}" if interpreter.make else "its place is named in the configuration"
        raise UsageError(f"The module that runs {extension} files is missing; {make}.") from None


def read_script(name: str, read: Callable[[str], bytes]) -> tuple[str, File]:
    """The script as a file in the root of the program's private file system. Content of a CID has no time."""
    script = read(name)
    return os.path.basename(name), File(script, os.stat(name).st_mtime_ns if os.path.exists(name) else 0)


def read_tree(directories: tuple[Copied, ...], limits: Limits) -> tuple[dict[str, Node], list[str]]:
    """(copies of directories, each below its name inside; what was left out). Raises BadSetup."""
    nodes: dict[str, Node] = {}
    notes = []
    for directory in directories:
        skipped = _Skipped(f"--dir {directory.host}")
        for path, node in _copy(directory.host, limits, skipped).items():
            nodes["/".join(filter(None, (directory.guest, path)))] = node
        if directory.guest:
            nodes.setdefault(directory.guest, Directory())
        notes += skipped.notes()
    return nodes, notes


def _copy(host: str, limits: Limits, skipped: OnSkip) -> Tree:
    try:
        return from_directory(host, limits, skipped)
    except BadSetup as fault:
        name = {"tree-size": "files", "tree-nodes": "nodes"}.get(fault.code)
        if name is None:
            raise
        has = f"{flag(name)} {written(getattr(limits, name), range_of(name).unit)}"
        raise UsageError(f"--dir {host}: it has more than {has} allows. Copy less, or set {flag(name)}.") from None


def check_directories(directories: tuple[Copied, ...]) -> None:
    """Raises UsageError."""
    for directory in directories:
        if not os.path.isdir(directory.host):
            raise UsageError(f"--dir {directory.host}: there is no such directory.")
        if not os.access(directory.host, os.R_OK | os.X_OK):
            raise UsageError(f"--dir {directory.host}: it cannot be read: permission denied.")


def check_out(name: str) -> None:
    """Nothing of the owner's is ever overwritten. Looked at before the program runs: its work should not be lost."""
    if not name:
        raise UsageError("--out needs a directory: --out DIR.")
    if os.path.lexists(name) and not (os.path.isdir(name) and not os.listdir(name)):
        raise UsageError(f"--out {name}: it is there already. Name a new or an empty directory.")
    there, missing = os.path.abspath(name), []
    while not os.path.lexists(there):
        missing.append(there)
        there = os.path.dirname(there)
    _try_to_make(name, missing[::-1] or [os.path.join(there, f".{os.urandom(8).hex()}.unfinished")])


def _try_to_make(name: str, directories: Sequence[str]) -> None:
    """And away with them again: permissions alone do not tell (/proc, a disk without room, a name that is too long)."""
    made: list[str] = []
    try:
        for each in directories:
            os.mkdir(each)
            made.append(each)
    except OSError:
        raise UsageError(_CANNOT_BE_MADE.format(name=name)) from None
    finally:
        for each in reversed(made):
            with suppress(OSError):
                os.rmdir(each)


_CANNOT_BE_MADE = "--out {name}: it cannot be made, or not be written to. Name another directory."


def write_out(name: str, tree: Tree | None) -> list[str]:
    """What was left out. None: a killed program leaves no files."""
    skipped = _Skipped(f"--out {name}")
    if tree is None:
        return [f"gatebus: --out {public_text_untrusted(name)}: nothing was copied back; the program left no files."]
    try:
        write_to(tree, name, skipped)
    except BadSetup:
        raise UsageError(_CANNOT_BE_MADE.format(name=name)) from None
    return skipped.notes()


class _Skipped:
    """Remembers what was left out of a copy: the first few by name, the others by number."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._first: list[str] = []
        self._more = 0

    def __call__(self, path: str, why: str) -> None:
        if len(self._first) < _NOTES:
            self._first.append(f"{path}: {why}; it was left out.")
        else:
            self._more += 1

    def notes(self) -> list[str]:
        more = [f"{self._more} more were left out."] if self._more else []
        return [public_text_untrusted(f"gatebus: {self._where}: {line}") for line in self._first + more]


class Chosen(NamedTuple):
    """What runs: a module, its argv, files that it finds, limits that it needs (as one writes them)."""

    wasm: bytes
    arguments: tuple[str, ...]
    files: dict[str, Node]
    limits: Mapping[str, str]


def choose(
    name: str,
    arguments: tuple[str, ...],
    table: Mapping[str, Interpreter],
    read: Callable[[str], bytes] = read_module,
) -> Chosen:
    """A file that the table knows is run by its module; everything else is a module."""
    extension = extension_of(name)
    if extension not in table:
        wasm = read(name)
        if problem := what_it_seems_untrusted(wasm, extension):
            raise UsageError(problem)
        return Chosen(wasm, (os.path.basename(name), *arguments), {}, {})
    inside, script = read_script(name, read)
    interpreter = table[extension]
    wasm = read_interpreter(extension, interpreter)
    return Chosen(wasm, command_line(interpreter, inside, arguments), {inside: script}, interpreter.limits)


def with_files(copies: Mapping[str, Node], files: Mapping[str, Node]) -> Tree:
    """Copies of directories, and the script over them: it is the same file where its own directory was copied."""
    for inside in files:
        if isinstance(copies.get(inside), Directory):
            raise UsageError(f"--dir: its name inside, {inside}, is the script's. Give it another: --dir HOST::NAME.")
    return Tree({**copies, **files})


def inherited(names: tuple[str, ...]) -> dict[str, int | None]:
    """Limits of this process by name; None: unlimited. Nothing where the system has no such thing."""
    try:
        import resource  # not on Windows
    except ImportError:
        return {}
    kinds = {name: getattr(resource, name) for name in names if hasattr(resource, name)}
    values = {name: resource.getrlimit(kind) for name, kind in kinds.items()}
    # the soft limit of descriptors is raised to the hard one by whoever needs them
    chosen = {name: pair[name == "RLIMIT_NOFILE"] for name, pair in values.items()}
    return {name: None if value == resource.RLIM_INFINITY else value for name, value in chosen.items()}
