"""sandbox/native/build.py: what whoever waits for cargo reads, and what it changes in the executable."""

import importlib.util
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BUILD = Path(__file__).parents[2] / "sandbox/native/build.py"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build", BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def progress(build: ModuleType) -> Iterator[Any]:
    made = build.Progress(100)
    yield made
    made.close()


def test_a_build_without_changes_says_nothing(progress: Any, capsys: pytest.CaptureFixture[str]) -> None:
    progress.crate_done("registry+x", fresh=True)
    progress.crate_done("path+ours", fresh=True)
    assert capsys.readouterr().err == ""


def test_crates_of_the_engine_and_our_own_are_told_apart(progress: Any, capsys: pytest.CaptureFixture[str]) -> None:
    progress.crate_done("path+ours", fresh=False)
    assert capsys.readouterr().err == "compiling gatebus' own crates, a minute or two: 1 of 100 crates\n"
    for number in range(19):
        progress.crate_done(f"registry+{number}", fresh=False)
    assert capsys.readouterr().err == "compiling the engine, about 7 minutes the first time: 20 of 100 crates\n"


def test_a_large_first_crate_is_told_before_it_is_done(progress: Any, capsys: pytest.CaptureFixture[str]) -> None:
    progress._still_there()
    assert capsys.readouterr().err.startswith("compiling what changed: a minute or two")
    progress._still_there()
    assert capsys.readouterr().err == ""


def test_where_cargo_does_not_work_nothing_is_counted_and_the_build_itself_says_why(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cargo = tmp_path / "cargo"
    cargo.write_text("#!/bin/sh\nexit 1\n")
    cargo.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert build.count_crates() == 0


def executable(kind: int = 3, machine: int = 62) -> bytes:
    """An ELF file of headers only: two pieces and what is not one."""
    head = struct.pack("<4sBB10xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, kind, machine, 1, 0, 64, 0, 0, 64, 56, 3, 0, 0, 0)
    pieces = [(1, 0x200000), (6, 8), (1, 0x200000)]
    return head + b"".join(struct.pack("<IIQQQQQQ", what, 5, 0, 0, 0, 9, 9, align) for what, align in pieces)


def test_pieces_of_the_executable_may_lie_at_any_page_and_nothing_else_changes(build: ModuleType) -> None:
    before, after = executable(), build.place_anywhere(executable())
    aligned = [struct.unpack_from("<Q", after, 64 + 56 * number + 48)[0] for number in range(3)]
    assert aligned == [4096, 8, 4096]
    assert after.replace(struct.pack("<Q", 4096), struct.pack("<Q", 0x200000)) == before
    assert build.place_anywhere(after) == after


@pytest.mark.parametrize("other", [executable(kind=2), executable(machine=183), b"\x7fELF" + bytes(60), bytes(200)])
def test_what_is_not_such_an_executable_stays_as_it_is(build: ModuleType, other: bytes) -> None:
    assert build.place_anywhere(other) == other


def test_after_another_checkouts_build_all_our_sources_look_changed_and_after_our_own_none(
    build: ModuleType, tmp_path: Path
) -> None:
    """Both keep their artifacts in one place, under the same names."""
    ours, theirs, target = tmp_path / "ours", tmp_path / "theirs", tmp_path / "target"
    sources = [ours / "abi/src/lib.rs", ours / "abi/tests/deep/one.rs", theirs / "abi/src/lib.rs"]
    for each in sources:
        each.parent.mkdir(parents=True)
        each.write_text("")

    def claimed(checkout: Path) -> list[bool]:
        for each in sources:
            os.utime(each, (1, 1))
        build.claim(target, checkout)
        return [each.stat().st_mtime > 1 for each in sources]

    assert claimed(ours) == [True, True, False]
    assert claimed(ours) == [False, False, False]
    assert claimed(theirs) == [False, False, True]
    assert claimed(ours) == [True, True, False]
