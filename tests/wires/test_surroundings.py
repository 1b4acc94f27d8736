"""gatebus.cli.surroundings: what a run reads from this machine, and what it says when something cannot be had."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT

from gatebus.cli.interpreters import BUILTIN_INTERPRETERS, Interpreter
from gatebus.cli.options import Copied
from gatebus.cli.surroundings import (
    FileNotFound,
    check_directories,
    check_out,
    choose,
    guests_directory,
    module_path,
    read_interpreters,
    read_module,
    read_tree,
    with_files,
    write_out,
)
from gatebus.faults import UsageError
from sandbox.limits import CompileLimits, Limits
from sandbox.tree import Directory, File, Link, Tree


def test_a_directory_is_copied_below_its_name(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"1")
    nodes, notes = read_tree((Copied(str(tmp_path), "in/here"),), Limits())
    assert notes == []
    file = nodes["in/here/sub/a"]
    assert isinstance(file, File)
    assert file.content == b"1"


def test_several_directories_and_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_bytes(b"")
    nodes, _ = read_tree((Copied(str(tmp_path / "empty"), "e"), Copied(str(tmp_path / "full"), "")), Limits())
    assert sorted(nodes) == ["a", "e"]
    assert isinstance(nodes["e"], Directory)


def test_what_cannot_be_copied_is_named_the_first_few_one_by_one(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"link{number}").symlink_to("/etc/passwd")
    nodes, notes = read_tree((Copied(str(tmp_path), ""),), Limits())
    assert nodes == {}
    assert len(notes) == 6
    assert notes[0].startswith(f"gatebus: --dir {tmp_path}: link0: ")
    assert notes[0].endswith("; it was left out.")
    assert notes[5].endswith(": 3 more were left out.")


def test_what_a_program_left_is_written_out_and_never_outside(tmp_path: Path) -> None:
    tree = Tree({"made": File(b"inside"), "bad": Link("/etc/passwd")})
    notes = write_out(str(tmp_path / "out"), tree)
    assert (tmp_path / "out" / "made").read_bytes() == b"inside"
    assert not os.path.lexists(tmp_path / "out" / "bad")
    assert len(notes) == 1


@pytest.mark.parametrize("kind", ["file", "full", "link"])
def test_a_place_for_the_files_that_is_taken_is_refused(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "out"
    if kind == "file":
        place.write_text("mine")
    elif kind == "link":
        place.symlink_to("nowhere")
    else:
        place.mkdir()
        (place / "mine").write_text("mine")
    with pytest.raises(UsageError) as caught:
        check_out(str(place))
    assert caught.value.text.endswith("it is there already. Name a new or an empty directory.")


def test_a_new_or_empty_place_is_taken(tmp_path: Path) -> None:
    check_out(str(tmp_path))
    check_out(str(tmp_path / "new"))
    assert list(tmp_path.iterdir()) == []


def test_of_a_file_that_is_too_large_only_as_much_is_read_as_shows_it(tmp_path: Path) -> None:
    with (tmp_path / "huge.wasm").open("wb") as file:
        file.truncate(1 << 40)
    assert len(read_module(str(tmp_path / "huge.wasm"))) == CompileLimits().program_size + 1


def test_a_file_that_is_missing_is_told_apart_from_one_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFound):
        read_module(str(tmp_path / "none"))
    with pytest.raises(UsageError) as caught:
        read_module(str(tmp_path))
    assert caught.value.text == "It cannot be read: is a directory."


def test_a_module_is_run_as_itself_and_a_script_by_its_module(tmp_path: Path) -> None:
    (tmp_path / "m.wasm").write_bytes(b"\0asm")
    (tmp_path / "s.js").write_bytes(b"print()")
    table = {".js": Interpreter(str(tmp_path / "m.wasm"), ("qjs", "{file}"), limits={"stack": "8MiB"})}
    assert choose(str(tmp_path / "m.wasm"), ("a",), table) == (b"\0asm", ("m.wasm", "a"), {}, {})
    chosen = choose(str(tmp_path / "s.js"), ("a",), table)
    assert (chosen.wasm, chosen.arguments, chosen.limits) == (b"\0asm", ("qjs", "s.js", "a"), {"stack": "8MiB"})
    script = chosen.files["s.js"]
    assert isinstance(script, File)
    assert script.content == b"print()"


@pytest.mark.parametrize(
    ("name", "content", "runs"),
    [("a.py", b"print()", False), ("a.py", b"\0asm", True), ("a.txt", b"  (module)", True), ("a", b"\x01\xff", True)],
)
def test_what_does_not_look_like_a_module_is_told_by_its_extension(
    tmp_path: Path, name: str, content: bytes, *, runs: bool
) -> None:
    (tmp_path / name).write_bytes(content)
    if runs:
        assert choose(str(tmp_path / name), (), {})[0] == content
        return
    with pytest.raises(UsageError) as caught:
        choose(str(tmp_path / name), (), {})
    assert caught.value.text == (
        "It is no WebAssembly module, and the configuration has no module for .py files. "
        "Build it for wasm32-wasip1, or name what runs it (README)."
    )


def test_modules_of_the_table_are_found_in_the_cache_and_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert guests_directory() == tmp_path / "gatebus" / "guests"
    assert module_path(Interpreter("{guests}/q.wasm", ("q",))) == guests_directory() / "q.wasm"
    assert module_path(Interpreter("~/q.wasm", ("q",))) == tmp_path / "home" / "q.wasm"


def test_the_users_own_configuration_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert ".lua" not in read_interpreters(None)
    (tmp_path / "gatebus").mkdir()
    (tmp_path / "gatebus" / "config.toml").write_text(
        '[run.".lua"]\nmodule = "lua.wasm"\narguments = ["lua", "{file}"]'
    )
    assert read_interpreters(None)[".lua"] == Interpreter("lua.wasm", ("lua", "{file}"))


def test_a_configuration_in_a_home_that_is_not_ours_is_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path, **_how: str) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert read_interpreters(None) == BUILTIN_INTERPRETERS
    with pytest.raises(UsageError) as caught:
        read_interpreters("c.toml")
    assert caught.value.text == "The configuration c.toml cannot be read: permission denied."


def test_a_directory_that_is_too_much_names_the_flag(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(2000))
    (tmp_path / "b").mkdir()
    where = f"--dir {tmp_path}: it has more than"
    for limits, problem in (
        (Limits(files=1024), "--files 1KiB allows. Copy less, or set --files."),
        (Limits(nodes=1), "--nodes 1 allows. Copy less, or set --nodes."),
    ):
        with pytest.raises(UsageError) as caught:
            read_tree((Copied(str(tmp_path), "in"),), limits)
        assert caught.value.text == f"{where} {problem}"


def test_where_nothing_can_be_written_is_told_before_the_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    check_out(str(tmp_path / "new" / "deeper"))
    with pytest.raises(UsageError, match="it cannot be made"):
        check_out(str(file / "below"))
    with pytest.raises(UsageError, match="--out needs a directory"):
        check_out("")
    assert os.listdir(tmp_path) == ["file"]  # nothing of the trying stays

    def refuse(_path: str) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "mkdir", refuse)
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    with pytest.raises(UsageError, match="Name another directory"):
        check_out(str(tmp_path / "new"))
    with pytest.raises(UsageError, match="permission denied"):
        check_directories((Copied(str(tmp_path), "in"),))


def test_what_goes_wrong_while_writing_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"--out .*file: it cannot be made, or not be written to. Name another"):
        write_out(str(tmp_path / "file"), Tree({}))
    assert write_out("left", None) == ["gatebus: --out left: nothing was copied back; the program left no files."]


def test_a_directory_may_hold_the_script_but_not_have_its_name() -> None:
    script = File(b"new")
    assert with_files({"a.js": File(b"old")}, {"a.js": script}) == Tree({"a.js": script})
    with pytest.raises(UsageError) as caught:
        with_files({"a.js": Directory(), "a.js/b": File()}, {"a.js": script})
    assert caught.value.text == "--dir: its name inside, a.js, is the script's. Give it another: --dir HOST::NAME."


def test_limits_of_whoever_started_us_are_read_as_they_are() -> None:
    code = (
        "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (100, 200)); r.setrlimit(r.RLIMIT_NOFILE, (64, 100))\n"
        "from gatebus.cli.surroundings import inherited\n"
        "print(inherited(('RLIMIT_FSIZE', 'RLIMIT_NOFILE', 'RLIMIT_UNHEARD_OF')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "{'RLIMIT_FSIZE': 100, 'RLIMIT_NOFILE': 100}\n"
