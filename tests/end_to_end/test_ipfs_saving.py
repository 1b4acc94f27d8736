"""`gatebus ipfs` where it saves, and where it may only read: what is left on the disk, and what is said."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio
from hostilegateway import Hostile, serving
from ipfsdata import KUBO_V1, imported
from waiting import PATIENCE

from gatebus.__main__ import main
from ipfs.blockstore import BlockStore
from ipfs.cid import DAG_PB, cid_of
from ipfs.dagpb import encode_block
from ipfs.importer import directory

ROOT = Path(__file__).parent.parent.parent
OURS = 125
Gatebus = Callable[..., tuple[int, bytes, str]]


@pytest.fixture
def gatebus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Gatebus:
    """In a folder of its own, where nobody is asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEBUS_IPFS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("GATEBUS_IPFS_SOURCES", "")

    def run(*arguments: str) -> tuple[int, bytes, str]:
        code = main(arguments)
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return run


async def test_a_signal_ends_get_and_nothing_unfinished_is_left(tmp_path: Path) -> None:
    root, block = directory({"a": imported(b"a")[0], "b": imported(b"b")[0]}, KUBO_V1)
    server = Hostile({}, "silent")
    BlockStore(tmp_path / "store").put([(root.cid, block)])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GATEBUS_IPFS_STORE": str(tmp_path / "store")}
    async with serving(server):
        source = f"local+{server.url}"
        line = [sys.executable, "-m", "gatebus", "ipfs", "get", "--out", "saved", "--source", source, str(root.cid)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": tmp_path}
        running = await trio.to_thread.run_sync(partial(subprocess.Popen, line, env=environment, **pipes))
        with trio.fail_after(PATIENCE):
            await server.was_asked.wait()
        assert [each.suffix for each in tmp_path.iterdir() if each.name != "store"] == [".unfinished"]
        running.send_signal(signal.SIGTERM)
        out, err = await trio.to_thread.run_sync(running.communicate)
    assert (running.returncode, out, err) == (128 + signal.SIGTERM, b"", b"")
    assert [each.name for each in tmp_path.iterdir()] == ["store"]


def test_content_that_is_itself_a_link_is_refused_in_the_words_of_cat(gatebus: Gatebus, tmp_path: Path) -> None:
    block = encode_block(b"\x08\x04\x12\x06target", ())
    cid = cid_of(DAG_PB, block, 1)
    BlockStore(tmp_path / "store").put([(cid, block)])
    told = f"gatebus: {cid}: It is a symbolic link (to target); links are not followed. Name what it leads to.\n"
    assert gatebus("ipfs", "cat", str(cid)) == (OURS, b"", told)
    assert gatebus("ipfs", "get", str(cid)) == (OURS, b"", told)
    assert [each.name for each in tmp_path.iterdir()] == ["store"]


def test_a_store_that_can_only_be_read_is_read(
    gatebus: Gatebus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").write_bytes(b"1")
    cid = gatebus("ipfs", "add", "dir")[1].decode().strip()
    only_read(tmp_path / "store", monkeypatch)
    assert gatebus("ipfs", "ls", cid)[::2] == (0, "")
    assert gatebus("ipfs", "cat", f"{cid}/file") == (0, b"1", "")
    assert gatebus("ipfs", "get", "--out", "back", cid) == (0, b"", "")
    assert (tmp_path / "back" / "file").read_bytes() == b"1"
    (tmp_path / "new").write_bytes(b"2")
    told = "The block store cannot be used: read-only file system."
    assert gatebus("ipfs", "add", "new") == (OURS, b"", f"gatebus: new: {told}\n")
    assert gatebus("ipfs", "gc") == (OURS, b"", f"gatebus: {told}\n")


def only_read(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a medium that is only read, also for root, whom no permission holds."""
    access, opened, unbuffered = os.access, os.open, Path.open

    def refuse(path: object) -> None:
        if str(path).startswith(str(store)):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    def open_descriptor(path: str, flags: int, *rest: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            refuse(path)
        return opened(path, flags, *rest)

    def open_file(path: Path, mode: str = "r", *rest: int) -> object:
        if set(mode) & set("wxa+"):
            refuse(path)
        return unbuffered(path, mode, *rest)

    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    monkeypatch.setattr(os, "open", open_descriptor)
    monkeypatch.setattr(Path, "open", open_file)
