"""Which module runs a file that is no module itself: an explicit table, extension -> module and arguments; words.

In:  the configuration as TOML has read it (written by the owner of the machine), the built-in table.
Out: Interpreter values; the argv of one run. UsageError names the key that is wrong.

    [run.".js"]
    module = "~/qjs.wasm"                              # ~ and {guests} (the cache of built guests) are filled in
    arguments = ["qjs", "{file}", "{arguments}"]        # where the file is inside, and what was typed behind it
    make = "make -C examples/js"                        # what makes the module, said when it is missing
    limits = { stack = "8MiB" }                         # what it needs unless the command line says something else
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, cast

from gatebus.faults import UsageError


class Interpreter(NamedTuple):
    module: str
    arguments: tuple[str, ...]
    make: str = ""
    limits: Mapping[str, str] = MappingProxyType({})


BUILTIN_INTERPRETERS: Mapping[str, Interpreter] = {
    # A mebibyte of the interpreter's own stack (in KiB) needs the large class of the engine's (examples/js/Makefile).
    ".js": Interpreter(
        "{guests}/qjs.wasm",
        ("qjs", "--std", "--stack-size", "1024", "{file}", "{arguments}"),
        "make -C examples/js",
        MappingProxyType({"stack": "8MiB"}),
    ),
}


def interpreters(configuration: Mapping[str, object]) -> dict[str, Interpreter]:
    """The built-in table, with the owner's lines in place of or besides its own."""
    unknown = sorted(set(configuration) - {"run"})
    if unknown:
        raise UsageError(f"The configuration has the unknown part [{unknown[0]}]. There is [run.EXTENSION].")
    table = configuration.get("run", {})
    if not isinstance(table, dict):
        raise UsageError('The configuration\'s `run` is no table. Write [run.".js"] and so on.')
    return {**BUILTIN_INTERPRETERS, **{extension: _interpreter(extension, line) for extension, line in table.items()}}


def _interpreter(extension: str, line: object) -> Interpreter:
    where = f'[run."{extension}"]'
    if not extension.startswith("."):
        raise UsageError(f'{where} in the configuration needs a dot: [run.".{extension}"].')
    if not isinstance(line, dict):
        raise UsageError(f"{where} in the configuration is no table.")
    unknown = sorted(set(line) - {"module", "arguments", "make", "limits"})
    if unknown:
        raise UsageError(f"{where} in the configuration has the unknown key `{unknown[0]}`.")
    module, arguments, make = line.get("module"), line.get("arguments"), line.get("make", "")
    if not isinstance(module, str) or not isinstance(make, str):
        raise UsageError(f"{where} in the configuration needs `module`, a text; `make` may be one.")
    if not isinstance(arguments, list) or not arguments or not all(isinstance(each, str) for each in arguments):
        raise UsageError(f"{where} in the configuration needs `arguments`, a list of texts.")
    limits = line.get("limits", {})
    if not isinstance(limits, dict) or not all(isinstance(each, str) for each in limits.values()):
        raise UsageError(f'{where} in the configuration has wrong `limits`. Write {{ memory = "256MiB" }} and so on.')
    return Interpreter(module, tuple(cast("list[str]", arguments)), make, limits)


def command_line(interpreter: Interpreter, file: str, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """argv for one run. Arguments that the table does not place are appended."""
    line: list[str] = []
    for each in interpreter.arguments:
        line += arguments if each == "{arguments}" else [each.replace("{file}", file)]
    placed = "{arguments}" in interpreter.arguments
    return tuple(line) if placed else (*line, *arguments)


def extension_of(name: str) -> str:
    """`.js` of `dir/hello.js`; nothing of `hello` and of `.profile`."""
    base = name.replace("\\", "/").rpartition("/")[2]
    dot = base.rfind(".")
    return base[dot:] if dot > 0 else ""
