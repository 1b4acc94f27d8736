"""gatebus.cli.interpreters: which module runs a file."""

import tomllib

import pytest

from gatebus.cli.interpreters import BUILTIN_INTERPRETERS, Interpreter, command_line, extension_of, interpreters
from gatebus.faults import UsageError


def read(text: str) -> dict[str, Interpreter]:
    return interpreters(tomllib.loads(text))


def test_without_a_configuration_there_is_the_built_in_table() -> None:
    assert read("") == dict(BUILTIN_INTERPRETERS)
    assert BUILTIN_INTERPRETERS[".js"].make == "make -C examples/js"


def test_a_line_of_the_owner_replaces_or_adds() -> None:
    replaced = '[run.".js"]\nmodule="a.wasm"\narguments=["a"]\n'
    table = read(replaced + '[run.".py"]\nmodule="b.wasm"\narguments=["b", "{file}"]\nmake="m"')
    assert table == {".js": Interpreter("a.wasm", ("a",)), ".py": Interpreter("b.wasm", ("b", "{file}"), "m")}


def test_an_interpreter_may_need_other_limits() -> None:
    table = read('[run.".py"]\nmodule="b.wasm"\narguments=["b"]\nlimits = { memory = "256MiB" }')
    assert table[".py"].limits == {"memory": "256MiB"}
    assert BUILTIN_INTERPRETERS[".js"].limits == {"stack": "8MiB"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[rum]", "The configuration has the unknown part [rum]. There is [run.EXTENSION]."),
        ("run = 3", 'The configuration\'s `run` is no table. Write [run.".js"] and so on.'),
        ("[run]\njs = 1", '[run."js"] in the configuration needs a dot: [run.".js"].'),
        ('[run]\n".js" = 1', '[run.".js"] in the configuration is no table.'),
        ('[run.".js"]\nmodul = "x"', '[run.".js"] in the configuration has the unknown key `modul`.'),
        (
            '[run.".js"]\narguments = ["x"]',
            '[run.".js"] in the configuration needs `module`, a text; `make` may be one.',
        ),
        ('[run.".js"]\nmodule = "x"', '[run.".js"] in the configuration needs `arguments`, a list of texts.'),
        (
            '[run.".js"]\nmodule = "x"\narguments = []',
            '[run.".js"] in the configuration needs `arguments`, a list of texts.',
        ),
        (
            '[run.".js"]\nmodule = "x"\narguments = [1]',
            '[run.".js"] in the configuration needs `arguments`, a list of texts.',
        ),
        *(
            (
                f'[run.".js"]\nmodule = "x"\narguments = ["x"]\nlimits = {wrong}',
                '[run.".js"] in the configuration has wrong `limits`. Write { memory = "256MiB" } and so on.',
            )
            for wrong in ("1", '["1s"]', "{ memory = 5 }")
        ),
    ],
)
def test_a_wrong_configuration_names_the_key(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(text)
    assert caught.value.text == problem


def test_the_file_and_the_arguments_are_put_where_the_table_says() -> None:
    line = Interpreter("m", ("qjs", "--std", "/{file}", "{arguments}", "end"))
    assert command_line(line, "a.js", ("1", "{file}")) == ("qjs", "--std", "/a.js", "1", "{file}", "end")


def test_arguments_that_the_table_does_not_place_are_appended() -> None:
    assert command_line(Interpreter("m", ("x", "{file}")), "f", ("1", "2")) == ("x", "f", "1", "2")


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a/b.js", ".js"),
        ("b", ""),
        (".profile", ""),
        ("a.b/c", ""),
        ("x.tar.gz", ".gz"),
        ("a\\b.js", ".js"),
        ("a.", "."),
    ],
)
def test_the_extension_of_a_name(name: str, extension: str) -> None:
    assert extension_of(name) == extension
