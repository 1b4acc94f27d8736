"""The rules of the house that a machine can see: who imports whom, what a module may hold, how long it is."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parent.parent
PACKAGES = ("gatebus", "sandbox", "ipfs")
FILE_CAP = 400  # lines; one thought rarely needs 250
FUNCTION_CAP = 60  # lines; longer ones were tables or two functions
KINDS = ("wire", "assembly")


@cache
def tracked(*suffixes: str) -> tuple[Path, ...]:
    """Files of the project as git knows them: tracked, or new and not ignored."""
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return tuple(ROOT / name for name in sorted(names) if name.endswith(suffixes) and (ROOT / name).is_file())


@cache
def product() -> dict[str, Path]:
    """Modules of the three packages by dotted name; a package by its own name."""
    names = {path: path.relative_to(ROOT).with_suffix("") for path in tracked(".py")}
    inside = {path: name for path, name in names.items() if name.parts[0] in PACKAGES and "native" not in name.parts}
    return {".".join(name.parts).removesuffix(".__init__"): path for path, name in inside.items()}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@cache
def may_touch_the_world() -> dict[str, str]:
    """File -> kind, for every file of the packages that pyproject.toml frees from the rule that words are pure."""
    line = r'^"((?:gatebus|sandbox|ipfs)/[^"]+)" = \[[^]]*"TID251"[^]]*\](?:\s*#\s*(\w+))?'
    return dict(re.findall(line, pyproject(), re.M))


def pyproject() -> str:
    return (ROOT / "pyproject.toml").read_text()


def kind(module: str) -> str:
    return may_touch_the_world().get(str(product()[module].relative_to(ROOT)), "word")


def is_package(module: str) -> bool:
    """A package's `__init__` only re-exports: whoever imports a name from it is judged by where the name is defined."""
    return product()[module].name == "__init__.py"


def facade(package: str) -> dict[str, str]:
    """Public name of a package -> module that defines it."""
    lines = [node for node in tree(product()[package]).body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.asname or alias.name: str(node.module) for node in lines for alias in node.names}


def only_for_types(module: ast.Module) -> set[ast.stmt]:
    """Statements below `if TYPE_CHECKING:`: they do not import anything."""
    tests = [node for node in ast.walk(module) if isinstance(node, ast.If)]
    guarded = [node for node in tests if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"]
    return {statement for node in guarded for statement in node.body}


def imported(module: str) -> set[str]:
    """Modules of ours that a module imports, seen through what packages re-export."""
    return named(module, only_for_types(tree(product()[module])))


def named(module: str, skipped: set[ast.stmt]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree(product()[module])):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node not in skipped:
            assert node.level == 0, f"{module}: imports are written out in full"
            found.update(defining(str(node.module), alias.name) for alias in node.names)
    return found & set(product())


def circles(uses: Mapping[str, set[str]]) -> list[list[str]]:
    """Modules each of which leads to all others of its list, and so to itself."""
    reached = {module: reachable(module, uses) for module in uses}
    found = {frozenset(each for each in reached[module] if module in reached[each]) for module in uses}
    return [sorted(circle) for circle in found if circle]


def reachable(module: str, uses: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    ahead = set(uses[module])
    while ahead:
        seen |= ahead
        ahead = {other for each in ahead for other in uses[each]} - seen
    return seen


def defining(module: str, name: str) -> str:
    if f"{module}.{name}" in product():
        return f"{module}.{name}"
    if module in product() and is_package(module):
        return facade(module).get(name, module)
    return module


def names(node: ast.AST) -> list[str]:
    """Names that a statement at module level binds."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
CHANGES = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "remove", "discard", "clear"}


def changed_names(module: ast.Module) -> set[str]:
    """Names that some statement changes in place: by a method, by an item or by `global`."""
    found: set[str] = set()
    for node in ast.walk(module):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if method in CHANGES:
                found.add(name)
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                found.add(name)
            case ast.Global(names=several):
                found.update(several)
    return found


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_the_sandbox_and_ipfs_never_import_gatebus() -> None:
    for module in product():
        if module.split(".")[0] != "gatebus":
            assert not {name for name in imported(module) if name.split(".")[0] == "gatebus"}, module


def test_ipfs_never_imports_the_sandbox() -> None:
    for module in product():
        if module.split(".")[0] == "ipfs":
            assert not {name for name in imported(module) if name.split(".")[0] == "sandbox"}, module


def test_words_never_import_wires() -> None:
    for module in product():
        if kind(module) == "word" and not is_package(module):
            impure = {name for name in imported(module) if kind(name) != "word"}
            assert not impure, f"{module} is pure, but imports {impure}"


def test_wires_never_import_assembly() -> None:
    for module in product():
        if kind(module) == "wire":
            above = {name for name in imported(module) if kind(name) == "assembly" and not is_package(name)}
            assert not above, f"{module} is a wire, but imports {above}"


def test_no_modules_know_each_other_in_a_circle() -> None:
    """By types neither: of two that need each other's, the type that both need has a place below them."""
    uses = {module: named(module, set()) - {module} for module in product() if not is_package(module)}
    assert not circles({module: {each for each in others if each in uses} for module, others in uses.items()})


@pytest.mark.parametrize(
    ("uses", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set[str]()}, []),
        ({"a": {"b"}, "b": {"a"}, "c": {"a"}}, [["a", "b"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}, [["a", "b", "c"]]),
    ],
)
def test_a_circle_is_found(uses: dict[str, set[str]], expected: list[list[str]]) -> None:
    assert circles(uses) == expected


def test_every_file_that_may_touch_the_world_exists_and_says_its_kind() -> None:
    for name, word in may_touch_the_world().items():
        assert (ROOT / name).is_file(), f"pyproject.toml names {name}, which is gone"
        assert word in KINDS, f"pyproject.toml: the comment behind {name} begins with one of {KINDS}"


def test_the_list_of_impure_files_is_read_completely() -> None:
    ignores = tomllib.loads(pyproject())["tool"]["ruff"]["lint"]["per-file-ignores"]
    listed = {name for name, rules in ignores.items() if "TID251" in rules and name.split("/")[0] in PACKAGES}
    assert listed == set(may_touch_the_world())


def test_no_two_modules_share_a_name() -> None:
    seen: dict[str, Path] = {}
    for path in tracked(".py"):
        if path.stem not in {"__init__", "__main__", "conftest"}:
            assert path.stem not in seen, f"{path} and {seen[path.stem]}"
            seen[path.stem] = path


def test_every_module_says_where_it_stands() -> None:
    for path in tracked(".py"):
        assert ast.get_docstring(tree(path)) or not path.read_text().strip(), f"{path} has no docstring"


def test_modules_hold_no_state() -> None:
    for module, path in product().items():
        changed = changed_names(tree(path))
        for statement in tree(path).body:
            for name in names(statement):
                constant = name.lstrip("_").isupper() or name == "__all__" or not name.lstrip("_")[0].islower()
                mutable = isinstance(getattr(statement, "value", None), (*MUTABLE, ast.Call))
                assert constant or not mutable, f"{module}: {name} lives as long as the process"
                assert not (constant and name in changed), f"{module}: {name} is a constant, but something changes it"


def test_functions_that_take_outside_bytes_say_so() -> None:
    for module, path in product().items():
        for function in functions(path):
            if re.search(r"decode|parse", function.name) and takes_bytes(function):
                assert function.name.endswith("_untrusted"), f"{module}.{function.name} reads bytes"


def takes_bytes(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    parameters = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    written = [ast.unparse(parameter.annotation) for parameter in parameters if parameter.annotation]
    return any(re.search(r"\b(bytes|bytearray|memoryview|Buffer)\b", annotation) for annotation in written)


@pytest.mark.parametrize("suffix", [".py", ".rs", ".c", ".h"])
def test_a_file_is_one_thought(suffix: str) -> None:
    for path in tracked(suffix):
        count = len(path.read_text().splitlines())
        assert count <= FILE_CAP, f"{path.relative_to(ROOT)} has {count} lines"


def test_functions_are_short() -> None:
    for path in tracked(".py"):
        for function in functions(path):
            length = (function.end_lineno or 0) - function.lineno + 1
            assert length <= FUNCTION_CAP, f"{path.relative_to(ROOT)}: {function.name} has {length} lines"


def test_nothing_unfinished_and_nothing_of_one_machine_is_in_the_project() -> None:
    unfinished = re.compile(r"TODO\(" + r"now\)|\bFIX" + r"ME\b")
    machine = re.compile(r"/(?:wo" + r"rk/|ro" + r"ot/\.)|https?://(?:proxy|registry|index|static|files)\.")
    for path in tracked(".py", ".rs", ".md", ".toml", ".sh", ".c", ".h", ".wat", ".js", "Makefile", "run", ".mk"):
        text = path.read_text()
        assert not unfinished.search(text), f"{path.relative_to(ROOT)}: {unfinished.search(text)}"
        assert not machine.search(text), f"{path.relative_to(ROOT)}: {machine.search(text)}"


@pytest.mark.parametrize("line", ["TABLE.append(1)", "TABLE['a'] = 1", "del TABLE[0]", "def f():\n    global TABLE"])
def test_a_constant_that_is_changed_is_found(line: str) -> None:
    assert changed_names(ast.parse(line)) == {"TABLE"}


@pytest.mark.parametrize("line", ["x = TABLE[0]", "TABLE.get('a')", "def f(TABLE): return [*TABLE]"])
def test_a_constant_that_is_read_is_left_alone(line: str) -> None:
    assert changed_names(ast.parse(line)) == set()


def test_threads_are_entered_by_one_door() -> None:
    """Of an error that comes through trio's own, everything stays that its frames had in hand (sandbox.inthread)."""
    places = ("gatebus/host/", "gatebus/snapshots/", "sandbox/")
    found = [path.relative_to(ROOT) for path in product().values() if "to_thread.run_sync(" in path.read_text()]
    assert [str(path) for path in found if str(path).startswith(places)] == ["sandbox/inthread.py"]
