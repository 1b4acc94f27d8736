"""Directories in, trees out: nothing outside is read or written, and what is skipped is said."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from openfiles import left_open, open_files

from sandbox import BadSetup, Directory, File, Limits, Link, Tree
from sandbox.treedisk import from_directory, link_stays_inside, write_to

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links and descriptors of directories")

Skipped = dict[str, str]


def taken(path: Path, limits: Limits | None = None) -> tuple[Tree, Skipped]:
    skipped: Skipped = {}
    return from_directory(str(path), limits or Limits(), skipped.__setitem__), skipped


def written(tree: Tree, path: Path) -> Skipped:
    skipped: Skipped = {}
    write_to(tree, str(path), skipped.__setitem__)
    return skipped


SAMPLE = Tree(
    {
        "empty": Directory(1_000_000_000),
        "dir/file": File(b"content", 1_500_000_000_000_000_001),
        "dir/deep/other": File(b"", 2_000_000_000),
        "dir/link": Link("deep/other", 3_000_000_000),
        "up": Link("dir/deep", 4_000_000_000),
    }
)


def test_a_tree_comes_back_from_the_disk_with_its_times(tmp_path: Path) -> None:
    assert written(SAMPLE, tmp_path / "out") == {}
    tree, skipped = taken(tmp_path / "out")
    assert skipped == {}
    assert {path: node for path, node in tree.items() if path not in ("dir", "dir/deep")} == {
        path: node for path, node in SAMPLE.items() if path not in ("dir", "dir/deep")
    }
    assert set(tree) == set(SAMPLE)


def test_links_that_point_outside_are_skipped_when_reading(tmp_path: Path) -> None:
    for name, target in (("a", "/etc/passwd"), ("b", "../secret"), ("c", "d/../../secret")):
        (tmp_path / name).symlink_to(target)
    (tmp_path / "inside").symlink_to("nowhere")
    tree, skipped = taken(tmp_path)
    assert list(tree) == ["inside"]
    assert skipped == dict.fromkeys("abc", "is a link that points outside")


def test_a_link_to_a_directory_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_text("x")
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "door").symlink_to(tmp_path / "secret")
    tree, skipped = taken(tmp_path / "given")
    assert list(tree) == []
    assert list(skipped) == ["door"]


def test_a_directory_that_becomes_a_link_while_it_is_read_is_not_entered(tmp_path: Path) -> None:
    """Whoever may write into the directory must not choose what else of its owner's is copied to a program."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("of the owner")
    (tmp_path / "given" / "deep" / "sub").mkdir(parents=True)
    os.mkfifo(tmp_path / "given" / "deep" / "zzz")
    skipped: Skipped = {}

    def on_skip(path: str, why: str) -> None:
        """The listing of `deep` is at its end, and `sub` is next."""
        skipped[path] = why
        if path == "deep/zzz":
            (tmp_path / "given" / "deep").rename(tmp_path / "given" / "was")
            (tmp_path / "given" / "deep").mkdir()
            (tmp_path / "given" / "deep" / "sub").symlink_to(tmp_path / "secret")

    tree = from_directory(str(tmp_path / "given"), Limits(), on_skip)
    assert set(tree) == {"deep", "deep/sub"}
    assert skipped["deep/sub"] == "cannot be read"


def test_reading_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}" / "deep").mkdir(parents=True)
    before = open_files()
    taken(tmp_path)
    with pytest.raises(BadSetup):
        taken(tmp_path, Limits(nodes=7))
    assert left_open(before) == []


def test_pipes_and_sockets_are_skipped_and_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # the name of a socket is short; and other tests begin where they expect to
        listener.bind("socket")
    tree, skipped = taken(tmp_path)
    assert list(tree) == []
    assert skipped == dict.fromkeys(("pipe", "socket"), "is no file, directory or link")


def test_names_that_are_no_utf_8_are_skipped(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).write_text("x")
    _tree, skipped = taken(tmp_path)
    assert list(skipped.values()) == ["has a name that cannot be used"]


def test_a_directory_is_measured_against_the_limits_from_both_sides(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(60))
    (tmp_path / "b").write_bytes(bytes(40))
    limits = replace(Limits(), files=100, nodes=2)
    assert taken(tmp_path, limits)[0].size == 100
    for tighter, code in (({"files": 99}, "tree-size"), ({"nodes": 1}, "tree-nodes")):
        with pytest.raises(BadSetup) as caught:
            taken(tmp_path, replace(limits, **tighter))
        assert caught.value.code == code
        assert str(tmp_path) not in caught.value.text


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetup) as caught:
        taken(tmp_path / "nowhere")
    assert caught.value.code == "no-directory"
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadSetup):
        written(SAMPLE, tmp_path / "file")


@pytest.mark.parametrize(
    ("path", "target", "inside"),
    [
        ("a", "b", True), ("a", "b/c", True), ("d/a", "../b", True), ("d/e/a", "../../b", True), ("a", ".", True),
        ("a", "..", False), ("a", "/b", False), ("d/a", "../../b", False),
        ("a", "b/..", False), ("d/a", "x/../y", False),
        ("d/a", "../x/../../y", False), ("a", "c\\..\\..\\x", False),
    ],
)  # fmt: skip
def test_a_link_stays_inside_whatever_the_other_links_are(path: str, target: str, inside: bool) -> None:
    assert link_stays_inside(path, target) is inside


def test_links_that_could_leave_are_not_written(tmp_path: Path) -> None:
    tree = Tree({"d/e/l": Link("../.."), "x": Link("d/e/l/.."), "y": Link("/etc"), "z": Link("..")})
    assert written(tree, tmp_path / "out") == dict.fromkeys(("x", "y", "z"), "is a link that points outside")
    assert (tmp_path / "out" / "d" / "e" / "l").resolve() == (tmp_path / "out").resolve()


def test_nothing_is_written_through_a_link_that_lies_in_the_way(tmp_path: Path) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (outside / "victim").write_text("precious")
    out.mkdir()
    (out / "dir").symlink_to(outside)
    (out / "file").symlink_to(outside / "victim")
    tree = Tree({"dir/victim": File(b"evil"), "dir/new": File(b"evil"), "file": File(b"good")})
    skipped = written(tree, out)
    assert set(skipped) == {"dir", "dir/new", "dir/victim"}
    assert (outside / "victim").read_text() == "precious"
    assert sorted(each.name for each in outside.iterdir()) == ["victim"]
    assert (out / "file").read_text() == "good"
    assert not (out / "file").is_symlink()


def test_a_hard_link_in_the_way_is_replaced_and_its_other_name_unharmed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "out").mkdir()
    os.link(tmp_path / "precious", tmp_path / "out" / "file")
    assert written(Tree({"file": File(b"new")}), tmp_path / "out") == {}
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "out" / "file").read_text() == "new"


def test_a_directory_in_the_place_of_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    (tmp_path / "dir").write_text("x")
    skipped = written(Tree({"file": File(b"x"), "dir/a": File()}), tmp_path)
    assert set(skipped) == {"file", "dir", "dir/a"}
    assert skipped["dir/a"] == "a link or file is where a directory should be"


def test_files_are_ordinary_whatever_the_program_wished(tmp_path: Path) -> None:
    written(Tree({"file": File(b"x")}), tmp_path)
    assert (tmp_path / "file").stat().st_mode & 0o7111 == 0
