"""What `call` and `launch` send: a module, its arguments, copies of files; a wire.

In:  options; files that the person names. Out: an Order, checked before anybody is asked; FileNotFound, UsageError.

A file is taken as `gatebus run` takes it: an interpreter's script goes with its interpreter. A hash or an address means
a module that the host has, or fetches.
"""

import hashlib
import os
from dataclasses import dataclass, field
from typing import Any

from gatebus.cli.bus_options import BusOptions, ProgramOptions, digest
from gatebus.cli.options import environment, limit
from gatebus.cli.surroundings import (
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
    where the client sends them when the host says that it lacks them.
    """

    program: Program
    content: bytes | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()


# Smaller ones travel when the host lacks them, without a question before.
_ASKED_FIRST = 256 * 1024


def read_order(options: BusOptions) -> Order:
    """Raises FileNotFound, UsageError, BadSetup."""
    asked = options.program
    assert asked is not None
    check_directories(asked.directories)
    if asked.out is not None:
        check_out(asked.out)
    copies, notes = read_tree(asked.directories, Limits())
    module, line, files, limits = _module(asked)
    tree = with_files(copies, files)
    program = Program(
        hashlib.sha256(module).digest() if _goes_first(module) else module,
        line,
        environment(asked.environment, dict(os.environ)),
        _contents(tree),
        {name: value for name, value in {**limits, **asked.limits}.items() if value is not None},
        asked.function,
        asked.out is not None,
        options.tags,
        options.open,
    )
    return Order(program, module if _goes_first(module) and isinstance(module, bytes) else None, tuple(notes))


def _goes_first(module: bytes | str) -> bool:
    """Text has no name of its own kind, and a large file is worth a bar on the terminal."""
    return isinstance(module, bytes) and len(module) != 32 and (module[:4] != WASM or len(module) > _ASKED_FIRST)


def _module(asked: ProgramOptions) -> tuple[Any, tuple[str, ...], dict[str, Node], dict[str, float | None]]:
    """(module, argv, files that come with it, limits that it needs)."""
    known = digest(asked.module)
    if known is not None or "://" in asked.module:
        name = asked.module.rstrip("/").rpartition("/")[2]
        return known or asked.module, (name, *asked.arguments), {}, {}
    chosen = choose(asked.module, asked.arguments, read_interpreters(asked.config))
    limits = {name: limit(name, text) for name, text in chosen.limits.items()}
    return chosen.wasm, chosen.arguments, chosen.files, limits


def _contents(tree: Any) -> dict[str, bytes]:
    """The protocol has files; folders come of their names. Empty folders and links stay behind."""
    contents = {path: node.content for path, node in tree.items() if isinstance(node, File)}
    if tree and not contents:
        raise UsageError("There is no file in the directories that are to be copied.")
    return contents
