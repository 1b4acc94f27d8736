"""Symbolic links: added as links and never followed; saved where they stay in their tree, and never made elsewhere."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipfsdata import imported

from ipfs.adding import add
from ipfs.addresses import Address
from ipfs.blockstore import BlockStore
from ipfs.content import about, complete
from ipfs.fetching import Fetcher
from ipfs.importer import PROFILES, Root, directory, symlink
from ipfs.saving import save
from ipfs.symlinks import shown, stays_inside
from ipfs.troubles import BadName, NoEntry, StoreFailed, Unsupported

if TYPE_CHECKING:
    from collections.abc import Mapping

KUBO_V1 = PROFILES["kubo-v1"]


@pytest.fixture
def store(tmp_path: Path) -> BlockStore:
    return BlockStore(tmp_path / "store")


@pytest.mark.parametrize(
    ("target", "depth"),
    [
        (b"a", 0),
        (b"a/b/", 0),
        (b"./a//b", 0),
        (b".", 0),
        (b"..", 1),
        (b"../..", 2),
        (b"../a", 1),
        (b".././../a", 2),
        (b"\xce\xbc.txt", 0),
        (b"x" * 255, 0),
    ],
)
def test_what_goes_up_no_further_than_its_tree_and_then_down_stays_inside(target: bytes, depth: int) -> None:
    assert stays_inside(target, depth)


@pytest.mark.parametrize(
    ("target", "depth"),
    [
        (b"", 0),
        (b"/", 3),
        (b"/etc/passwd", 3),
        (b"..", 0),
        (b"../a", 0),
        (b"../../a", 1),
        (b"./../a", 0),
        (b"a/..", 3),  # a could be a link
        (b"a/../../..", 3),
        (b"../a/../..", 3),
        (b"a\0b", 0),
        (b"a\nb", 0),
        (b"C:\\a", 0),
        (b"\xff", 0),
        (b"x" * 256, 0),
        (b"a/" * 2048, 0),
    ],
)
def test_what_leads_elsewhere_or_could_does_not(target: bytes, depth: int) -> None:
    assert not stays_inside(target, depth)


PLACES = ("", "d", "d/e")
STEPS = st.sampled_from(["..", ".", "", "d", "e", "one", "two", "three"])
TARGETS = st.lists(STEPS, min_size=1, max_size=5).map("/".join)


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({name: st.tuples(st.sampled_from(PLACES), TARGETS) for name in ("one", "two", "three")}))
def test_no_chain_of_links_that_stay_inside_leads_out(links: Mapping[str, tuple[str, str]]) -> None:
    """The kernel follows them."""
    with TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        tree = Path(folder) / "above" / "tree"
        (tree / "d" / "e").mkdir(parents=True)
        for name, (place, target) in links.items():
            if stays_inside(target.encode(), len(Path(place).parts)):
                (tree / place / name).symlink_to(target)
        real = tree.resolve()
        for each in tree.rglob("*"):
            assert Path(os.path.realpath(each)).is_relative_to(real)


def test_a_target_is_shown_without_what_moves_a_cursor() -> None:
    assert shown(b"../a") == "../a"
    assert shown(b"\x1b[2Ja\xff\n") == "?[2Ja\N{REPLACEMENT CHARACTER}?"
    assert shown(b"x" * 100) == "x" * 60 + "..."


def tree_with_links(folder: Path) -> Path:
    (folder / "d" / "sub").mkdir(parents=True)
    (folder / "d" / "a").write_bytes(b"one")
    for name, target in {"l": "a", "sub/up": "../a", "out": "/etc/passwd", "dirlink": "sub"}.items():
        (folder / "d" / name).symlink_to(target)
    return folder / "d"


@pytest.mark.parametrize(
    ("profile", "cid"),
    [
        ("kubo-v1", "bafybeie5ww6vj43f5gbidem5apfwnx4g5p6yim7yaox6ndlymfz2atlioy"),
        ("unixfs-v0-2015", "QmVTKGHcGJvpzxo7q8ZgoHR6T6PuNUDCBn1DywqTZwyU56"),
    ],
)
async def test_a_tree_with_links_has_kubos_cid(store: BlockStore, tmp_path: Path, profile: str, cid: str) -> None:
    told: list[str] = []
    assert str((await add(store, tree_with_links(tmp_path), PROFILES[profile], told.append)).cid) == cid
    assert told == [
        f"{tmp_path / 'd' / 'out'} is a symbolic link that may lead outside (/etc/passwd). It was added as a link; "
        "`get` leaves it out."
    ]


async def test_a_tree_with_links_comes_back_without_those_that_lead_out(store: BlockStore, tmp_path: Path) -> None:
    root, told = await add(store, tree_with_links(tmp_path), KUBO_V1), list[str]()
    await save(Fetcher(store), root.cid, tmp_path / "back", told.append)
    found = {str(each.relative_to(tmp_path / "back")) for each in (tmp_path / "back").rglob("*")}
    assert found == {"a", "sub", "l", "sub/up", "dirlink"}
    targets = [os.readlink(tmp_path / "back" / name) for name in ("l", "sub/up", "dirlink")]
    assert targets == ["a", "../a", "sub"]
    assert (tmp_path / "back" / "sub" / "up").read_bytes() == b"one"
    assert told == ["out is a symbolic link that may lead outside (/etc/passwd); it was left out."]
    assert await complete(Fetcher(store), root.cid) == 7  # links are kept with their tree


async def test_what_a_link_leads_to_is_not_added(store: BlockStore, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_bytes(b"not named by anybody")
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "door").symlink_to(tmp_path / "secret")
    (tmp_path / "given" / "file").symlink_to("../secret/file")
    (tmp_path / "given" / "nowhere").symlink_to("nothing")
    (tmp_path / "given" / "itself").symlink_to("itself")
    await add(store, tmp_path / "given", KUBO_V1)
    assert store.get(imported(b"not named by anybody")[0].cid) is None
    assert store.contents().blocks == 5


async def test_a_link_that_is_named_is_followed(store: BlockStore, tmp_path: Path) -> None:
    folder = tree_with_links(tmp_path)
    (tmp_path / "way").symlink_to("d")
    (tmp_path / "broken").symlink_to("nothing")
    assert await add(store, folder / "l", KUBO_V1) == await add(store, folder / "a", KUBO_V1)
    assert await add(store, tmp_path / "way", KUBO_V1) == await add(store, folder, KUBO_V1)
    with pytest.raises(StoreFailed, match="broken: It cannot be read: no such file or directory"):
        await add(store, tmp_path / "broken", KUBO_V1)


async def test_links_that_lead_to_each_other_or_nowhere_come_back_as_they_are(
    store: BlockStore, tmp_path: Path
) -> None:
    (tmp_path / "d").mkdir()
    for name, target in {"itself": "itself", "nowhere": "nothing/below", "all": "."}.items():
        (tmp_path / "d" / name).symlink_to(target)
    told: list[str] = []
    root = await add(store, tmp_path / "d", KUBO_V1, told.append)
    await save(Fetcher(store), root.cid, tmp_path / "back", told.append)
    assert {each.name: os.readlink(each) for each in (tmp_path / "back").iterdir()} == {
        "itself": "itself",
        "nowhere": "nothing/below",
        "all": ".",
    }
    assert told == []


def kept(store: BlockStore, members: Mapping[str, Root]) -> Root:
    root, block = directory(members, KUBO_V1)
    store.put([(root.cid, block)])
    return root


def link(store: BlockStore, target: bytes) -> Root:
    root, block = symlink(target, KUBO_V1)
    store.put([(root.cid, block)])
    return root


async def test_a_strangers_links_lead_nobody_out_whatever_they_say(store: BlockStore, tmp_path: Path) -> None:
    """A chain: each link stays inside by its text, but for the last step of the one that goes up behind a name."""
    down, up = link(store, b"x/y"), link(store, b"down/../../..")
    inner = kept(store, {"back": link(store, b"../../..")})
    deep = kept(store, {"y": inner})
    targets = (b"/", b"a\0b", b"\x1b[2J", b"", b"z" * 5000, b"../" * 2000)
    odd = {f"odd{number}": link(store, target) for number, target in enumerate(targets)}
    root, told = kept(store, {"x": deep, "down": down, "up": up, **odd}), list[str]()
    await save(Fetcher(store), root.cid, tmp_path / "back", told.append)
    assert {str(each.relative_to(tmp_path / "back")) for each in (tmp_path / "back").rglob("*")} == {
        *("x", "x/y", "down")
    }
    assert sorted(each.split()[0] for each in told) == sorted([*odd, "up", "x/y/back"])
    assert all(each.isprintable() for each in told)


async def test_a_thousand_links_that_lead_out_are_counted_after_the_first_ones(
    store: BlockStore, tmp_path: Path
) -> None:
    out, told = link(store, b"/etc/passwd"), list[str]()
    root = kept(store, {f"{number:04}": out for number in range(1000)})
    await save(Fetcher(store), root.cid, tmp_path / "back", told.append)
    assert told[0] == "0000 is a symbolic link that may lead outside (/etc/passwd); it was left out."
    assert len(told) == 11
    assert told[-1] == "990 more symbolic links were left out."


async def test_nothing_is_left_where_a_link_cannot_be_made(
    store: BlockStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    root = kept(store, {"d": kept(store, {"l": link(store, b"a")})})
    monkeypatch.setattr(Path, "symlink_to", refused)
    with pytest.raises(StoreFailed, match=r"back/d/l: It cannot be written: operation not permitted\.$"):
        await save(Fetcher(store), root.cid, tmp_path / "back", str)
    assert [each.name for each in tmp_path.iterdir()] == ["store"]


async def test_a_link_alone_is_described_and_not_saved(store: BlockStore, tmp_path: Path) -> None:
    alone = link(store, b"there")
    described = await about(Fetcher(store), Address(alone.cid))
    assert (described.kind, described.target, described.size) == ("link", "there", 0)
    with pytest.raises(Unsupported, match=r"^It is a symbolic link \(to there\); links are not followed\."):
        await save(Fetcher(store), alone.cid, tmp_path / "back", str)
    folder = kept(store, {"l": alone})
    with pytest.raises(Unsupported, match=r"leads over a symbolic link \(to there\); links are not followed\."):
        await about(Fetcher(store), Address(folder.cid, ("l", "x")))
    with pytest.raises(NoEntry, match=r"^There is no x in the directory\.$"):
        await about(Fetcher(store), Address(folder.cid, ("x",)))


@pytest.mark.parametrize(("swapped", "look"), [("file", 1), ("file", 2), ("folder", 1)])
async def test_what_becomes_a_link_while_it_is_added_is_not_followed(
    store: BlockStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: str, look: int
) -> None:
    """Between a look at it and its opening, by somebody else who may write there."""
    secret, given = tmp_path / "secret", tmp_path / "given"
    for place in (secret, given):
        (place / "folder").mkdir(parents=True)
        (place / "folder" / "file").write_bytes(b"in " + place.name.encode())
        (place / "file").write_bytes(b"in " + place.name.encode())
    looked, looks = os.stat, count(1)

    def swap(name: object, *arguments: Any, **options: Any) -> os.stat_result:
        found = looked(name, *arguments, **options)  # type: ignore[call-overload]
        if name == swapped and next(looks) == look:
            (given / swapped).rename(tmp_path / "away")
            (given / swapped).symlink_to(secret / swapped)
        return found  # type: ignore[no-any-return]

    monkeypatch.setattr(os, "stat", swap)
    with pytest.raises((BadName, StoreFailed), match=f"given/{swapped}: It (is a pipe|cannot be read)"):
        await add(store, given, KUBO_V1)
    assert store.get(imported(b"in secret")[0].cid) is None


async def test_every_directory_is_closed_again(
    store: BlockStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tree_with_links(tmp_path)
    os.mkfifo(folder / "sub" / "zz")
    closed, opened = list[int](), list[int]()
    ordinary = os.open, os.close

    def opening(*arguments: Any, **options: Any) -> int:
        opened.append(ordinary[0](*arguments, **options))
        return opened[-1]

    def closing(descriptor: int) -> None:
        closed.append(descriptor)
        ordinary[1](descriptor)

    monkeypatch.setattr(os, "open", opening)
    monkeypatch.setattr(os, "close", closing)
    with pytest.raises(BadName):
        await add(store, folder, KUBO_V1)
    assert len(closed) == 2
    assert set(closed) <= set(opened)
