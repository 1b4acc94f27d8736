"""`gatebus ipfs` and `gatebus run ipfs://...`: what a person types, sees and gets; over a gateway that may lie."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import command_programs as programs
import pytest
import trio
from fakenode import node_running
from hostilegateway import Hostile, serving
from ipfsdata import KUBO_V1, imported, vector
from waiting import PATIENCE

from gatebus.__main__ import main
from ipfs.importer import Root, directory

ROOT = Path(__file__).parent.parent.parent
OURS = 125


@pytest.fixture(autouse=True)
def nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEBUS_IPFS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("GATEBUS_IPFS_SOURCES", "")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def gatebus(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., tuple[int, bytes, str]]:
    def run(*arguments: str) -> tuple[int, bytes, str]:
        code = main(arguments)
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return run


Gatebus = Callable[..., tuple[int, bytes, str]]


def test_a_file_is_added_kept_read_and_let_go(gatebus: Gatebus, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(vector(1048576))
    cid = "bafybeigzzfiva5plnsluhu22xn6lcbqi4so7bup4pb2g3hy25q46wylvgu"
    assert gatebus("ipfs", "add", "--profile", "kubo-v1", "file") == (0, f"{cid}\n".encode(), "")
    assert gatebus("ipfs", "cat", cid) == (0, vector(1048576), "")
    assert gatebus("ipfs", "pin") == (0, f"{cid}\n".encode(), "")
    assert gatebus("ipfs", "stat", f"ipfs://{cid}")[1] == f"{cid} file, 1048576 bytes, 4 links\n".encode()
    assert gatebus("ipfs", "gc")[1] == b"0 blocks (0 bytes) were removed\n"
    assert gatebus("ipfs", "unpin", cid) == (0, b"", "")
    assert gatebus("ipfs", "stat")[1] == b"5 blocks, 1048784 bytes, 0 pins\n"
    assert gatebus("ipfs", "gc")[1] == b"5 blocks (1048784 bytes) were removed\n"
    code, out, err = gatebus("ipfs", "cat", cid)
    assert (code, out) == (OURS, b"")
    assert err == f"gatebus: The block {cid} is not here, and nobody is asked for it.\n"


def test_unpinning_a_path_lets_go_of_its_target_and_never_of_the_root(gatebus: Gatebus, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").write_bytes(b"kept")
    root = gatebus("ipfs", "add", "dir")[1].decode().strip()
    assert gatebus("ipfs", "unpin", f"{root}/file") == (OURS, b"", f"gatebus: {root}/file: It is not pinned.\n")
    assert gatebus("ipfs", "pin")[1].decode().split() == [root]
    target = gatebus("ipfs", "pin", f"{root}/file")[1].decode().split()[0]
    assert sorted(gatebus("ipfs", "pin")[1].decode().split()) == sorted([root, target])
    assert gatebus("ipfs", "unpin", f"{root}/file") == (0, b"", "")
    assert gatebus("ipfs", "pin")[1].decode().split() == [root]
    assert gatebus("ipfs", "gc")[1] == b"0 blocks (0 bytes) were removed\n"
    assert gatebus("ipfs", "unpin", root) == (0, b"", "")
    assert gatebus("ipfs", "unpin", root) == (OURS, b"", f"gatebus: {root}: It is not pinned.\n")


def test_a_program_is_pushed_by_content_and_run_by_its_cid(gatebus: Gatebus, tmp_path: Path) -> None:
    (tmp_path / "hello.wat").write_text(programs.HELLO)
    code, out, err = gatebus("push", "--ipfs", "hello.wat")
    assert (code, err) == (0, "")
    cid = out.decode().strip()
    assert gatebus("ipfs", "pin") == (0, f"{cid}\n".encode(), "")
    assert gatebus("ipfs", "cat", cid) == (0, programs.HELLO.encode(), "")


async def test_what_is_pushed_by_content_is_pinned_by_ones_own_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(vector(3 << 20))
    async with node_running() as node:
        monkeypatch.setenv("GATEBUS_IPFS_SOURCES", f"node+{node.source.url}")
        done = await trio.to_thread.run_sync(process, tmp_path, "push", "--ipfs", "file")
        assert (done.returncode, done.stderr) == (0, b"")
        assert node.pinned == [done.stdout.decode().strip()]
        assert len(node.blocks) == 4
        monkeypatch.setenv("GATEBUS_IPFS_STORE", str(tmp_path / "another"))
        read = await trio.to_thread.run_sync(process, tmp_path, "ipfs", "cat", node.pinned[0])
    assert (read.returncode, read.stdout) == (0, vector(3 << 20))


@pytest.mark.parametrize("command", [("get", "--out", "file"), ("cat",)])
async def test_at_a_terminal_a_long_transfer_says_how_far_it_is_and_nothing_stays_of_it(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    root, blocks = imported(vector(9 << 20))
    server = Hostile(blocks)
    ours, theirs = pty.openpty()
    async with serving(server):
        line = [sys.executable, "-m", "gatebus", "ipfs", *command]
        line += ["--source", f"local+{server.url}", str(root.cid)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "GATEBUS_IPFS_STORE": str(tmp_path / "blocks")}
        done = await trio.to_thread.run_sync(
            partial(
                subprocess.run,
                line,
                env=environment,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=theirs,
                timeout=PATIENCE,
                check=False,
            )
        )
    os.close(theirs)
    screen = b"".join(whole(ours)).decode()
    os.close(ours)
    assert done.returncode == 0
    assert (done.stdout or (tmp_path / "file").read_bytes()) == vector(9 << 20)
    assert "\r\x1b[K100 % of 9.0 MiB fetched" in screen
    assert any(f"\r\x1b[K{percent} % of 9.0 MiB fetched" in screen for percent in range(100))
    assert screen.endswith("\r\x1b[K")


async def test_what_is_shown_at_a_terminal_is_not_written_over(tmp_path: Path) -> None:
    root, blocks = imported(b"line\n" * 400_000)
    server = Hostile(blocks)
    ours, theirs = pty.openpty()
    async with serving(server):
        line = (sys.executable, "-m", "gatebus", "ipfs", "cat", "--source", f"local+{server.url}", str(root.cid))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "GATEBUS_IPFS_STORE": str(tmp_path / "blocks")}

        def run() -> bytes:
            with subprocess.Popen(line, env=environment, cwd=tmp_path, stdout=theirs, stderr=theirs):
                os.close(theirs)
                return b"".join(whole(ours))

        assert await trio.to_thread.run_sync(run) == b"line\r\n" * 400_000
    os.close(ours)


def whole(terminal: int) -> Iterator[bytes]:
    """Until nobody can write to it any more, which Linux says by an error; one read may bring a part."""
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 65536):
            yield data


async def test_a_node_that_is_not_there_is_told_and_the_file_is_kept_here(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    line = ("ipfs", "add", "--source", "node+http://127.0.0.1:1", "file")
    done = await trio.to_thread.run_sync(process, tmp_path, *line)
    assert done.returncode == OURS
    assert done.stderr == (
        b"gatebus: file: It is kept in your store, but a node did not take it: "
        b"http://127.0.0.1:1: The source refused the connection: nothing listens at its port.\n"
    )
    assert (await trio.to_thread.run_sync(process, tmp_path, "ipfs", "pin")).stdout == done.stdout
    assert done.stdout.startswith(b"baf")


async def test_what_each_source_answered_is_said_beside_what_nobody_has(tmp_path: Path) -> None:
    server, missing = Hostile({}), imported(b"nobody has this")[0].cid
    async with serving(server):
        line = ["--source", "local+http://127.0.0.1:1", "--source", f"local+{server.url}"]
        done = await trio.to_thread.run_sync(process, tmp_path, "ipfs", "cat", str(missing), *line)
    assert (done.returncode, done.stdout) == (OURS, b"")
    assert sorted(done.stderr.decode().splitlines()) == sorted(
        [
            "gatebus: http://127.0.0.1:1: The source refused the connection: nothing listens at its port.",
            f"gatebus: {server.url}: The source does not have it (status 404).",
            f"gatebus: No source has the block {missing}.",
        ]
    )


def test_a_directory_is_listed_and_saved(gatebus: Gatebus, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "a").write_bytes(b"one")
    cid = gatebus("ipfs", "add", "dir")[1].decode().strip()
    code, out, _ = gatebus("ipfs", "ls", cid)
    assert (code, out.split()[1:]) == (0, [b"3", b"a"])
    assert gatebus("ipfs", "get", "--out", "back", cid)[0] == 0
    assert (tmp_path / "back" / "a").read_bytes() == b"one"
    assert gatebus("ipfs", "get", f"{cid}/a")[0] == 0
    assert (tmp_path / "a").read_bytes() == b"one"
    assert gatebus("ipfs", "get", f"{cid}/a")[2] == "gatebus: a is there already. Name a new target.\n"


NO_FILE = "It is a pipe, a device or a socket; only files, directories and links in them are added."


def test_what_never_ends_or_waits_for_a_writer_is_not_added(gatebus: Gatebus, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert gatebus("ipfs", "add", "pipe") == (OURS, b"", f"gatebus: pipe: {NO_FILE}\n")
    assert gatebus("ipfs", "add", "/dev/zero") == (OURS, b"", f"gatebus: /dev/zero: {NO_FILE}\n")
    assert gatebus("push", "--ipfs", "pipe")[::2] == (OURS, f"gatebus: pipe: {NO_FILE}\n")


def test_a_question_makes_no_store(gatebus: Gatebus, tmp_path: Path) -> None:
    cid = str(imported(b"one")[0].cid)
    assert gatebus("ipfs", "stat") == (0, b"0 blocks, 0 bytes, 0 pins\n", "")
    assert gatebus("ipfs", "pin") == (0, b"", "")
    assert gatebus("ipfs", "unpin", cid) == (OURS, b"", f"gatebus: {cid}: It is not pinned.\n")
    assert list(tmp_path.iterdir()) == []


def test_one_is_said_as_one(gatebus: Gatebus, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    cid = gatebus("ipfs", "add", "file")[1].decode().strip()
    assert gatebus("ipfs", "pin", cid)[1].decode() == f"{cid} is kept, in 1 block\n"
    assert gatebus("ipfs", "stat")[1] == b"1 block, 1 byte, 1 pin\n"
    assert gatebus("ipfs", "stat", cid)[1].decode() == f"{cid} file, 1 byte, 0 links\n"
    gatebus("ipfs", "unpin", cid)
    assert gatebus("ipfs", "gc")[1] == b"1 block (1 byte) was removed\n"


def test_what_is_strange_in_the_store_is_named_by_stat_and_gc(gatebus: Gatebus, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    gatebus("ipfs", "add", "file")
    for number in range(12):
        (tmp_path / "store" / "blocks" / f"mine{number:02}").write_bytes(b"")
    told = [
        f"gatebus: No block is in the block store at blocks/mine{number:02}; it was left there." for number in range(10)
    ]
    told.append("gatebus: There are 2 more of them.")
    assert gatebus("ipfs", "stat") == (0, b"1 block, 1 byte, 1 pin\n", "\n".join(told) + "\n")
    assert gatebus("ipfs", "gc") == (0, b"0 blocks (0 bytes) were removed\n", "\n".join(told) + "\n")
    (tmp_path / "store" / "pins" / "mine").mkdir()
    text = "gatebus: Among the pins of the block store is something that is none: pins/mine. Take it away.\n"
    for command in ("stat", "gc", "pin"):
        assert gatebus("ipfs", command) == (OURS, b"", text)


class Full(io.RawIOBase):
    """A disk behind `>`."""

    def writable(self) -> bool:
        return True

    def write(self, _data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("line", ["add file", "cat {}", "ls {}", "pin", "stat", "stat {}", "gc"])
def test_output_that_nobody_can_keep_is_said_as_what_it_is(
    gatebus: Gatebus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    (tmp_path / "dir").mkdir()
    for name in ("file", "dir/file"):
        (tmp_path / name).write_bytes(b"1")
    added = gatebus("ipfs", "add", "dir" if line.startswith("ls") else "file")[1].decode().strip()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(cast("BinaryIO", Full())))
    told = "gatebus: The output cannot be written: No space left on device.\n"
    assert gatebus("ipfs", *line.format(added).split())[::2] == (OURS, told)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "No command is named. `gatebus ipfs --help` lists them."),
        (("cat",), "It is written `gatebus ipfs cat ADDRESS`; see `gatebus ipfs cat --help`."),
        (("gc", "x"), "It is written `gatebus ipfs gc`; see `gatebus ipfs gc --help`."),
        (("cat", "x", "--offline", "--source", "https://a"), "--offline and --source contradict each other."),
        (("cat", "hello"), "hello: It is no CID, or one that was cut short or mistyped."),
        (
            ("add", "--profile", "x", "f"),
            "There is no profile of that name. There are unixfs-v0-2015, kubo-v1, unixfs-v1-2025.",
        ),
        (("cat", "--source", "http://a", "x"), "x: It is no CID, or one that was cut short or mistyped."),
        (("cat", "b" + "a" * 5000), f"b{'a' * 99}...: It is no CID: a CID has at most 400 characters."),
        (("add", ""), "A name is empty. Name a file or a directory; this one is `.`."),
        (
            ("cat", "--source", "ftp://a", str(imported(b"x")[0].cid)),
            "A source is written https://HOST, or local+, node+ or ipfshttpclient+ before http://HOST:PORT.",
        ),
        (("add", "nothing"), "nothing: It cannot be read: no such file or directory."),
    ],
)
def test_what_is_typed_wrongly_is_answered_in_one_line(gatebus: Gatebus, arguments: tuple[str, ...], text: str) -> None:
    assert gatebus("ipfs", *arguments) == (OURS, b"", f"gatebus: {text}\n")


def module() -> tuple[Root, Root, dict[object, bytes]]:
    """(directory, program in it, blocks)."""
    root, blocks = imported(programs.HELLO.encode())
    folder, block = directory({"hello.wat": root}, KUBO_V1)
    return folder, root, {**blocks, folder.cid: block}


def process(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(folder / "config")}
    line = [sys.executable, "-m", "gatebus", *arguments]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, check=False, timeout=PATIENCE)


async def test_a_program_is_fetched_verified_and_run_and_the_second_time_nobody_is_asked(tmp_path: Path) -> None:
    folder, _, blocks = module()
    server = Hostile(blocks)
    line = ("run", "--backend", "portable", f"ipfs://{folder.cid}/hello.wat")
    async with serving(server):
        options = (*line[:3], "--source", f"local+{server.url}", line[3])
        first = await trio.to_thread.run_sync(process, tmp_path, *options)
    asked = len(server.asked)
    second = await trio.to_thread.run_sync(process, tmp_path, *line)
    assert (first.returncode, first.stdout, first.stderr) == (0, b"hello, world\n", b"")
    assert (second.returncode, second.stdout) == (0, b"hello, world\n")
    assert asked == len(server.asked) == 2


@pytest.mark.parametrize(
    ("lie", "text"),
    [
        ("flip", "sent wrong bytes. It is not asked again."),
        ("redirect", "The source sends us elsewhere; redirects are not followed."),
    ],
)
async def test_a_program_from_a_gateway_that_lies_is_not_run(tmp_path: Path, lie: str, text: str) -> None:
    _, root, blocks = module()
    server = Hostile(blocks, lie)
    async with serving(server):
        line = ("run", "--backend", "portable", "--source", f"local+{server.url}", f"ipfs://{root.cid}")
        done = await trio.to_thread.run_sync(process, tmp_path, *line)
    assert (done.returncode, done.stdout) == (OURS, b"")
    first, last = done.stderr.decode().splitlines()
    assert first.endswith(text)
    assert last == f"gatebus: ipfs://{root.cid}: No source has the block {root.cid}."


async def test_a_gateway_of_ones_own_must_be_named_as_such(tmp_path: Path) -> None:
    _, root, blocks = module()
    server = Hostile(blocks)
    async with serving(server):
        port = server.url.rpartition(":")[2]
        line = ("ipfs", "cat", "--source", f"https://localhost:{port}", str(root.cid))
        done = await trio.to_thread.run_sync(process, tmp_path, *line)
    assert done.returncode == OURS
    assert b"an address of a private network. Write local+URL if that is meant." in done.stderr
    assert server.asked == []


async def test_control_c_ends_a_fetch_that_waits(tmp_path: Path) -> None:
    _, root, blocks = module()
    server = Hostile(blocks, "silent")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    async with serving(server):
        line = [sys.executable, "-m", "gatebus", "ipfs", "cat", "--source", f"local+{server.url}", str(root.cid)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running = await trio.to_thread.run_sync(partial(subprocess.Popen, line, env=environment, **pipes))
        with trio.fail_after(PATIENCE):
            await server.was_asked.wait()
        running.send_signal(signal.SIGINT)
        out, err = await trio.to_thread.run_sync(running.communicate)
    assert (running.returncode, out, err) == (130, b"", b"")


def test_whoever_runs_a_local_file_pays_for_no_http_client(tmp_path: Path) -> None:
    code = "import sys, gatebus.cli.running; print(sorted({'ipfs', 'httpx', 'multiformats'} & set(sys.modules)))"
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"
