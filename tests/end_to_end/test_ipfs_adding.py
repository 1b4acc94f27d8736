"""`gatebus ipfs add` and `gatebus push --ipfs`: several at once, some of them bad; as JSON; to nodes; with links."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio
from fakenode import node_running
from ipfsdata import imported, vector
from waiting import PATIENCE

from gatebus.__main__ import main
from ipfs.importer import PROFILES

ROOT = Path(__file__).parent.parent.parent
OURS = 125
Gatebus = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture
def gatebus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Gatebus:
    """In a folder of its own, where nobody is asked. Lines of stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEBUS_IPFS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("GATEBUS_IPFS_SOURCES", "")

    def run(*arguments: str) -> tuple[int, list[str], list[str]]:
        code = main(arguments)
        out, err = capfd.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


def cid_of(data: bytes) -> str:
    return str(imported(data, PROFILES["unixfs-v1-2025"])[0].cid)


def test_a_bad_one_among_several_is_named_and_the_others_are_added(gatebus: Gatebus, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"2")
    os.mkfifo(tmp_path / "pipe")
    code, out, err = gatebus("ipfs", "add", "nothing", "one", "", "pipe", "two")
    assert (code, out) == (OURS, [f"{cid_of(b'1')} one", f"{cid_of(b'2')} two"])
    assert err == [
        "gatebus: nothing: It cannot be read: no such file or directory.",
        "gatebus: A name is empty. Name a file or a directory; this one is `.`.",
        "gatebus: pipe: It is a pipe, a device or a socket; only files, directories and links in them are added.",
    ]
    assert sorted(gatebus("ipfs", "pin")[1]) == sorted([cid_of(b"1"), cid_of(b"2")])
    assert gatebus("push", "--ipfs", "nothing", "one")[:2] == (OURS, [f"{cid_of(b'1')} one"])


def test_of_a_directory_with_something_bad_nothing_is_pinned_and_the_bad_one_is_named(
    gatebus: Gatebus, tmp_path: Path
) -> None:
    (tmp_path / "dir" / "sub").mkdir(parents=True)
    (tmp_path / "dir" / "file").write_bytes(b"1")
    os.mkfifo(tmp_path / "dir" / "sub" / "pipe")
    code, out, err = gatebus("ipfs", "add", "dir/")
    assert (code, out) == (OURS, [])
    assert err[0].startswith("gatebus: dir/sub/pipe: It is a pipe, ")
    assert gatebus("ipfs", "pin")[1] == []


def test_faults_are_json_where_json_was_asked_for(gatebus: Gatebus, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    for command in (("ipfs", "add"), ("push", "--ipfs")):
        code, out, err = gatebus(*command, "--json", "one", "nothing")
        assert (code, list(map(json.loads, out))) == (OURS, [{"file": "one", "cid": cid_of(b"1"), "size": 1}])
        told = json.loads(err[0])
        assert (told["file"], told["error"], told["exit"]) == ("nothing", "store-failed", OURS)
        assert told["text"] == "nothing: It cannot be read: no such file or directory."
        assert len(err) == 1
    told = json.loads(gatebus("ipfs", "ls", "--json", "hello")[2][0])
    assert (told["error"], told["text"][:7]) == ("bad-name", "hello: ")


def test_what_is_printed_is_json_where_json_was_asked_for(gatebus: Gatebus, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "a").write_bytes(b"1")
    (tmp_path / "dir" / "l").symlink_to("a")
    (root,) = gatebus("ipfs", "add", "dir")[1]

    def told(*line: str) -> object:
        code, out, err = gatebus("ipfs", *line, "--json")
        assert (code, err, len(out)) == (0, [], 1)
        return json.loads(out[0])

    rows = told("ls", root)
    assert isinstance(rows, list)
    assert rows[0] == {"name": "a", "cid": cid_of(b"1"), "size": 1}
    assert told("stat", f"{root}/l") == {"cid": rows[1]["cid"], "kind": "link", "size": 0, "links": 0, "target": "a"}
    assert told("pin") == [root]
    assert told("pin", root) == {"cid": root, "blocks": 3}
    assert told("stat") == {"blocks": 3, "bytes": 102, "pins": 1}
    assert told("gc") == {"blocks": 0, "bytes": 0}
    assert gatebus("ipfs", "stat", f"{root}/l")[1] == [f"{rows[1]['cid']} link to a, 0 bytes, 0 links"]


def test_links_are_added_as_links_saved_inside_and_told_where_they_lead_out(gatebus: Gatebus, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "a").write_bytes(b"1")
    (tmp_path / "dir" / "in").symlink_to("a")
    (tmp_path / "dir" / "out").symlink_to("../secret")
    (tmp_path / "secret").write_bytes(b"not named by anybody")
    code, (cid,), err = gatebus("ipfs", "add", "dir")
    text = "is a symbolic link that may lead outside (../secret)"
    assert (code, err) == (0, [f"gatebus: dir/out {text}. It was added as a link; `get` leaves it out."])
    code, out, err = gatebus("ipfs", "get", "-o", "back", cid)
    assert (code, out, err) == (0, [], [f"gatebus: out {text}; it was left out."])
    assert {each.name: os.readlink(each) for each in (tmp_path / "back").iterdir() if each.is_symlink()} == {"in": "a"}
    code, out, err = gatebus("ipfs", "cat", f"{cid}/in")
    told = f"gatebus: {cid}/in: It is a symbolic link (to a); links are not followed. Name what it leads to."
    assert (code, out, err) == (OURS, [], [told])


def test_what_an_address_leads_to_is_told_with_the_address(gatebus: Gatebus, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "a").write_bytes(b"1")
    (cid,) = gatebus("ipfs", "add", "dir")[1]
    told = {line: gatebus("ipfs", *line.format(cid).split()) for line in FAULTS}
    assert told == {line: (OURS, [], [f"gatebus: {text.format(cid)}"]) for line, text in FAULTS.items()}


FAULTS = {
    "ls {}/a": "{}/a: It is a file, no directory.",
    "cat {}": "{}: It is a directory. Name a file in it.",
    "cat ipfs://{}/b": "ipfs://{}/b: There is no b in the directory.",
    "stat {}/a/b": "{}/a/b: The path goes on below a file: b is looked for in it.",
    "unpin {}/a": "{}/a: It is not pinned.",
    "get --out dir {}": "dir is there already. Name a new target.",
    "add --source https://a dir": "https://a takes no content, only a node does. It is written node+http://HOST:PORT.",
    "add --source local+http://a dir": "http://a takes no content, only a node does. It is written node+http://HOST:PORT.",
}


async def test_a_push_by_content_gives_to_the_nodes_that_are_named_and_goes_on_where_one_fails(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(vector(300_000) + name.encode())
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "GATEBUS_IPFS_STORE": str(tmp_path / "store"),
        "GATEBUS_IPFS_SOURCES": "https://nobody.invalid",
    }
    async with node_running() as node:
        nodes = ("--source", f"node+{node.source.url}", "--source", "node+http://127.0.0.1:1")
        line = [sys.executable, "-m", "gatebus", "push", "--ipfs", "--json", *nodes, "one", "two"]
        run = partial(subprocess.run, line, cwd=tmp_path, env=environment, capture_output=True, timeout=PATIENCE)
        done = await trio.to_thread.run_sync(run)
        told = [json.loads(each) for each in done.stdout.splitlines()]
        assert node.pinned == [each["cid"] for each in told]
    assert [each["file"] for each in told] == ["one", "two"]
    faults = [json.loads(each) for each in done.stderr.splitlines()]
    assert [each["file"] for each in faults] == ["one", "two"]
    assert {each["text"].partition(": ")[2] for each in faults} == {
        "It is kept in your store, but a node did not take it: http://127.0.0.1:1: "
        "The source refused the connection: nothing listens at its port."
    }
    assert done.returncode == OURS


def test_what_comes_through_stdin_is_added_once(tmp_path: Path) -> None:
    data = vector(5_000_000)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GATEBUS_IPFS_STORE": str(tmp_path / "store")}
    line = [sys.executable, "-m", "gatebus", "ipfs", "add", "--offline", "-"]
    done = subprocess.run(line, input=data, env=environment, capture_output=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, f"{cid_of(data)}\n", b"")
    shell = ["sh", "-c", '"$0" -m gatebus ipfs add --offline - <&-', sys.executable]
    closed = subprocess.run(shell, env=environment, capture_output=True, timeout=PATIENCE, check=False)
    assert (closed.returncode, closed.stdout, closed.stderr) == (OURS, b"", b"gatebus: -: stdin is closed.\n")


async def test_control_c_ends_an_add_that_waits_for_stdin(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GATEBUS_IPFS_STORE": str(tmp_path / "store")}
    line = [sys.executable, "-m", "gatebus", "ipfs", "add", "--offline", "-"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = await trio.to_thread.run_sync(partial(subprocess.Popen, line, env=environment, **pipes))
    with trio.fail_after(PATIENCE):
        assert running.stdin is not None
        await trio.to_thread.run_sync(running.stdin.write, bytes(5 << 20))
        await trio.to_thread.run_sync(running.stdin.flush)
        # No pipe holds a mebibyte: it has taken its first piece, and waits for the rest of the second one.
    running.send_signal(signal.SIGINT)
    _, err = await trio.to_thread.run_sync(running.communicate)
    assert (running.returncode, err) == (130, b"")


@pytest.mark.parametrize(
    ("encoding", "shown"), [("utf-8:strict", "\\udcff\N{GREEK SMALL LETTER MU}"), ("ascii:strict", "\\udcff\\u03bc")]
)
def test_a_name_that_the_terminal_cannot_show_is_shown_by_others_letters(
    tmp_path: Path, encoding: str, shown: str
) -> None:
    name = b"\xff\xce\xbc"
    (tmp_path / os.fsdecode(name)).write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"2")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GATEBUS_IPFS_STORE": str(tmp_path / "store")}
    line = [sys.executable, "-m", "gatebus", "ipfs", "add", "--offline", name, "two"]
    more = {"env": {**environment, "PYTHONIOENCODING": encoding}, "cwd": tmp_path, "timeout": PATIENCE}
    done = subprocess.run(line, capture_output=True, check=False, **more)  # type: ignore[call-overload]
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == [f"{cid_of(b'1')} {shown}", f"{cid_of(b'2')} two"]
