"""Words: what a program is told before it starts.

In:  arguments, variables, files from a caller. Out: Setup, frozen and checked; control.py turns it into packets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sandbox.errors import BadSetup
from sandbox.packets import CONTENT_MAX
from sandbox.tree import Tree

# Each argument and variable is one packet; more of them than this is no command line, and the runtime keeps each.
ARGUMENTS_MAX, VARIABLES_MAX = 4_096, 4_096
FUNCTION_MAX = 255
# PROTOCOL.md section C: all setup packets without files.
SETUP_MAX = 1 << 20
# One full packet: what gatebus.bounds.ORIGIN_WINDOW lets a connection hold; a host that takes more says so.
ORIGIN_CREDIT = 65_536
# What a stream may hold in flight at most (Gate: 2^31-1).
CREDIT_MAX = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Setup:
    """What a program is told at its start.

    `arguments` is argv with argv[0]. `function`: the entry function's name, None for the personality's own. `tree`:
    files that it finds, None: an empty file system that nobody wants back. `origin_credit`: bytes a WASI program
    may write to its origin at once. `terminal`: its output looks like one, so that C libraries write every line at
    once; otherwise they write whole blocks, as into a pipe. `keep`: when its entry function has returned, its state is
    kept (Program.halted), so that another function of it can be called; only of a suspendable image. `low`: it computes
    on what other programs leave, from its start on, where the machine can do that.
    """

    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    function: str | None = None
    tree: Tree | None = None
    debug_log: bool = True
    origin_credit: int = ORIGIN_CREDIT
    terminal: bool = True
    keep: bool = False
    low: bool = False

    def __post_init__(self) -> None:
        self._check_kinds()
        object.__setattr__(self, "arguments", tuple(self.arguments))
        object.__setattr__(self, "environment", MappingProxyType(dict(self.environment)))
        self._check_counts()
        for argument in self.arguments:
            _check_text("An argument", argument, CONTENT_MAX)
        for name, value in self.environment.items():
            _check_variable(name, value)
        if self.function is not None:
            _check_text("The entry function's name", self.function, FUNCTION_MAX)
        if not 0 <= self.origin_credit <= CREDIT_MAX:
            raise BadSetup("setup-credit", f"The origin's credit must be 0 to {CREDIT_MAX} bytes.")

    @property
    def is_large(self) -> bool:
        """It holds more than numbers."""
        return bool(self.arguments or self.environment) or self.tree is not None

    def _check_kinds(self) -> None:
        """Python takes a text for a list of texts, and says little of what else is wrong."""
        arguments: object = self.arguments
        if type(arguments) is not tuple and (isinstance(arguments, str | bytes) or not isinstance(arguments, Iterable)):
            raise _wrong_kind("arguments", arguments, 'a list of texts: ("hello", "--verbose")')
        if type(self.environment) is not dict and not isinstance(self.environment, Mapping):
            raise _wrong_kind("environment", self.environment, 'a mapping of texts: {"LANG": "C"}')
        if self.tree is not None and not isinstance(self.tree, Tree):
            raise _wrong_kind("tree", self.tree, 'a sandbox.Tree: Tree({"a.txt": File(b"...")}), or None')
        if isinstance(self.origin_credit, bool) or not isinstance(self.origin_credit, int):
            raise _wrong_kind("origin_credit", self.origin_credit, "a number of bytes")

    def _check_counts(self) -> None:
        if len(self.arguments) > ARGUMENTS_MAX:
            raise BadSetup("setup-count", f"A program gets at most {ARGUMENTS_MAX} arguments.")
        if len(self.environment) > VARIABLES_MAX:
            raise BadSetup("setup-count", f"A program gets at most {VARIABLES_MAX} environment variables.")


def encode_text(text: str) -> bytes:
    """UTF-8; the bytes of a command line that are no UTF-8 pass unchanged."""
    return text.encode("utf-8", "surrogateescape")


def _wrong_kind(name: str, value: object, right: str) -> BadSetup:
    return BadSetup("setup-type", f"Setup.{name} is {_kind(value)}; it must be {right}.")


def _kind(value: object) -> str:
    return "nothing" if value is None else f"of the type {type(value).__name__}"


def _check_text(what: str, text: object, longest: int) -> None:
    if not isinstance(text, str):
        raise BadSetup("setup-type", f"{what} is {_kind(text)}; it must be a text (str).")
    try:
        encoded = encode_text(text)
    except UnicodeEncodeError:
        raise BadSetup("setup-text", f"{what} cannot be written as UTF-8.") from None
    if b"\0" in encoded:
        raise BadSetup("setup-text", f"{what} must not contain NUL.")
    if len(encoded) > longest:
        raise BadSetup("setup-size", f"{what} has {len(encoded)} bytes; at most {longest} are allowed.")


def _check_variable(name: object, value: object) -> None:
    if not isinstance(name, str) or not isinstance(value, str):
        other = value if isinstance(name, str) else name
        raise BadSetup("setup-type", f"An environment variable is {_kind(other)}; name and value must be texts (str).")
    if not name or "=" in name:
        raise BadSetup("setup-text", "The name of an environment variable must not be empty and must not contain `=`.")
    _check_text("An environment variable", f"{name}={value}", CONTENT_MAX)
