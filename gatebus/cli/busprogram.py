"""What `call` and `launch` send: a module, its arguments, copies of files; a wire.

In:  options; files that the person names. Out: an Order, checked before anybody is asked; FileNotFound, UsageError.

A file is taken as `gatebus run` takes it: an interpreter's script goes with its interpreter. A hash or an address means
a module that the host has, or fetches.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from gatebus.cli.bus_options import BusOptions, ProgramOptions, digest
from gatebus.cli.guesses import why_no_module_untrusted
from gatebus.cli.interpreters import extension_of
from gatebus.cli.options import environment, limit
from gatebus.cli.surroundings import (
    STDIN,
    FileNotFound,
    check_directories,
    check_out,
    choose,
    read_interpreters,
    read_tree,
    with_files,
)
from gatebus.client.orders import WASM, Program
from gatebus.faults import UsageError
from sandbox.limits import Limits
from sandbox.tree import File, Node


@dataclass(frozen=True, slots=True)
class Order:
    """`content`: bytes that have to be at the host first; None where the host has or fetches the module itself, or
    where the client sends them when the host says that it lacks them. `name`: no file has it, so that the host is asked
    which module does; the program's own is not filled in then.
    """

    program: Program
    content: bytes | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    name: str | None = None


# Stands for a module until the host was asked for it by name.
_ELSEWHERE = bytes(32)
# Smaller ones travel when the host lacks them, without a question before.
_ASKED_FIRST = 256 * 1024


def read_order(options: BusOptions) -> Order:
    """Raises FileNotFound, UsageError, BadSetup."""
    asked = options.program
    assert asked is not None
    check_directories(asked.directories)
    if asked.out is not None:
        check_out(asked.out)
    given: dict[str, Any] = dict(asked.limits)
    copies, notes = read_tree(asked.directories, replace(Limits(), **given))
    module, line, files, limits, name = _module(asked)
    tree = with_files(copies, files)
    content = module if isinstance(module, bytes) and _goes_first(module) else None
    program = Program(
        module if content is None else hashlib.sha256(content).digest(),
        line,
        environment(asked.environment, dict(os.environ)),
        _contents(tree),
        {**limits, **given},
        asked.function,
        asked.out is not None,
        options.tags,
        options.open,
        **asked.life,
    )
    return Order(program, content, tuple(notes), name)


def _goes_first(module: bytes) -> bool:
    """Text has no name of its own kind, and a large file is worth a bar on the terminal. A hash goes nowhere."""
    return len(module) != 32 and (module[:4] != WASM or len(module) > _ASKED_FIRST)


class _Chosen(NamedTuple):
    """A module, argv, files that come with it, limits that it needs. `name`: of a module that is at the host."""

    module: bytes | str
    line: tuple[str, ...]
    files: dict[str, Node]
    limits: dict[str, float | None]
    name: str | None = None


def _module(asked: ProgramOptions) -> _Chosen:
    known = digest(asked.module)
    if known is not None or "://" in asked.module:
        name = asked.module.rstrip("/").rpartition("/")[2]
        return _Chosen(known or asked.module, (name, *asked.arguments), {}, {})
    table = read_interpreters(asked.config)
    try:
        chosen = choose(asked.module, asked.arguments, table)
    except FileNotFound:
        if _is_file_name(asked.module, table):
            raise
        return _Chosen(_ELSEWHERE, (asked.module, *asked.arguments), {}, {}, asked.module)
    if not chosen.wasm:
        raise UsageError(why_no_module_untrusted(chosen.wasm))
    limits = {name: limit(name, text) for name, text in chosen.limits.items()}
    return _Chosen(chosen.wasm, chosen.arguments, chosen.files, limits)


def _is_file_name(name: str, table: Mapping[str, object]) -> bool:
    """Nobody gives such a name to anything but a file."""
    return "/" in name or os.sep in name or name == STDIN or extension_of(name) in (".wasm", ".wat", *table)


def _contents(tree: Any) -> dict[str, bytes]:
    """The protocol has files; folders come of their names. Empty folders and links stay behind."""
    contents = {path: node.content for path, node in tree.items() if isinstance(node, File)}
    if tree and not contents:
        raise UsageError("There is no file in the directories that are to be copied.")
    return contents
