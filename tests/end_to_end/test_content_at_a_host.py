"""`gatebus call|launch ipfs://...`: a host fetches what a person names; a real host, a gateway on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from command_programs import HELLO
from hostilegateway import Hostile
from hostilegateway import serving as gateways
from hostprocess import PATIENCE, HostProcess, gatebus, serving, surroundings
from ipfsdata import KUBO_V1, imported

from ipfs.importer import directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROOT, BLOCKS = imported(HELLO.encode())
FOLDER, FOLDER_BLOCK = directory({"hello.wat": ROOT}, KUBO_V1)
ALL = {**BLOCKS, FOLDER.cid: FOLDER_BLOCK}
ADDRESS = f"ipfs://{FOLDER.cid}/hello.wat"
OURS = 125


async def at_a_host(home: Path, server: Hostile, story: Callable[[HostProcess], None], *arguments: str) -> None:
    """The gateway answers while the story runs in a thread."""
    async with gateways(server):
        line = ("--listen", "127.0.0.1:0", "--fetch-gateways", f"local+{server.url}", *arguments)

        def told() -> None:
            with serving(home, *line) as host:
                story(host)

        await trio.to_thread.run_sync(told)


async def test_a_program_is_called_by_its_cid_and_the_second_time_nobody_is_asked(tmp_path: Path) -> None:
    server = Hostile(ALL)

    def story(_: HostProcess) -> None:
        first = gatebus(tmp_path, "call", ADDRESS)
        assert (first.returncode, first.stdout, first.stderr) == (0, b"hello, world\n", b"")
        asked = len(server.asked)
        second = gatebus(tmp_path, "call", ADDRESS)
        assert (second.returncode, second.stdout) == (0, b"hello, world\n")
        assert len(server.asked) == asked > 0

    await at_a_host(tmp_path, server, story)


async def test_a_program_is_launched_by_its_cid(tmp_path: Path) -> None:
    def story(_: HostProcess) -> None:
        launched = gatebus(tmp_path, "launch", f"ipfs://{ROOT.cid}")
        assert (launched.returncode, launched.stderr) == (0, b"")
        instance = launched.stdout.decode().strip()
        assert str(uuid.UUID(instance)) == instance
        done = gatebus(tmp_path, "wait", instance)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

    await at_a_host(tmp_path, Hostile(ALL), story)


async def test_a_stranger_may_where_strangers_may_call(tmp_path: Path) -> None:
    def story(host: HostProcess) -> None:
        options = ("--host", f"ws://{host.address()}", "--key", "anonymous")
        done = gatebus(tmp_path, "call", *options, ADDRESS)
        assert (done.returncode, done.stdout) == (0, b"hello, world\n")

    await at_a_host(tmp_path, Hostile(ALL), story)


async def test_a_gateway_that_lies_runs_nothing_and_its_owner_hears_of_it(tmp_path: Path) -> None:
    server = Hostile(ALL, "flip")

    def story(host: HostProcess) -> None:
        done = gatebus(tmp_path, "call", ADDRESS)
        assert (done.returncode, done.stdout) == (OURS, b"")
        assert done.stderr.decode().endswith("The bytes are not what the CID says.\n")
        assert b"127.0.0.1" not in done.stderr
        text = host.wait_for("content-trouble")["text"]
        assert text == f"A source ({server.url}) sent wrong bytes. It is not asked again."

    await at_a_host(tmp_path, server, story)


async def test_whoever_has_used_up_the_hour_is_told(tmp_path: Path) -> None:
    def story(_: HostProcess) -> None:
        nowhere = imported(b"nowhere")[0].cid
        assert gatebus(tmp_path, "call", f"ipfs://{nowhere}").returncode == OURS
        done = gatebus(tmp_path, "call", f"ipfs://{nowhere}")
        assert done.returncode == OURS
        assert b"This host has fetched its 1024 bytes an hour for you." in done.stderr

    await at_a_host(tmp_path, Hostile(ALL), story, "--fetch-hourly", "1KiB")


async def test_a_program_is_pinned_by_its_cid_offered_to_others_and_let_go(tmp_path: Path) -> None:
    server = Hostile(ALL)

    def story(host: HostProcess) -> None:
        block = f"http://{host.address()}/ipfs/{ROOT.cid}?format=raw"
        assert gatebus(tmp_path, "call", ADDRESS).returncode == 0
        assert fetched(block)[0] == 404  # fetched, and nobody's business
        pinned = gatebus(tmp_path, "pin", ADDRESS, "hello", "--tag", "greeting")
        assert (pinned.returncode, pinned.stderr) == (0, f"gatebus: Others fetch it as ipfs://{ROOT.cid}\n".encode())
        again = gatebus(tmp_path, "pin", f"ipfs://{ROOT.cid}")
        assert (again.returncode, again.stdout, again.stderr) == (0, pinned.stdout, b"")  # it is what was typed
        as_json = json.loads(gatebus(tmp_path, "pin", "--json", ADDRESS).stdout)
        assert [each["content"] for each in as_json] == [f"ipfs://{ROOT.cid}"]
        digest = pinned.stdout.decode().strip()
        assert digest == hashlib.sha256(HELLO.encode()).hexdigest()
        rows = json.loads(gatebus(tmp_path, "modules", "--json").stdout)
        assert [(row["module"], row["pinned"], row["tags"]) for row in rows] == [(digest, True, ["greeting", "hello"])]
        asked = len(server.asked)
        for name in (f"ipfs://{ROOT.cid}", "hello"):
            assert gatebus(tmp_path, "call", name).stdout == b"hello, world\n"
        assert len(server.asked) == asked
        assert gatebus(tmp_path, "unpin", "hello", "--tag", "hello").returncode == 0
        assert len(list((tmp_path / "data" / "fetched" / "pins").iterdir())) == 1  # another tag is left
        assert gatebus(tmp_path, "unpin", digest).returncode == 0
        assert list((tmp_path / "data" / "fetched" / "pins").iterdir()) == []

    await at_a_host(tmp_path, server, story, "--gateway-serve", "true", "--data", str(tmp_path / "data"))


class Held(Hostile):
    """Silent until the test has seen enough."""

    def __init__(self) -> None:
        super().__init__(ALL)
        self.enough = trio.Event()

    async def _answer(self, stream: trio.SocketStream, target: str) -> None:
        self.was_asked.set()
        await self.enough.wait()
        await super()._answer(stream, target)


@contextmanager
def calling(home: Path, line: tuple[str, ...]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A command, and the terminal that its stderr is."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        (sys.executable, "-m", "gatebus", *line), env=surroundings(home), stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        try:
            yield process, ours
        finally:
            process.kill()
            os.close(ours)


def said(terminal: int) -> bytes:
    """Until the sentence, whatever is said before it."""
    found = b""
    while FETCHING not in found:
        found += os.read(terminal, 4096)
    return found.rstrip()


async def test_whoever_waits_for_a_silent_gateway_keeps_no_other_stranger_from_running_a_program(
    tmp_path: Path,
) -> None:
    """All strangers are one account. It was 15 seconds for each, and 90 if the gateway dripped."""
    server = Held()
    (tmp_path / "fresh.wat").write_text(HELLO + ";; nobody has run this one")

    def story(host: HostProcess) -> None:
        line = ("call", "--host", f"ws://{host.address()}", "--key", "anonymous")
        with calling(tmp_path, (*line, ADDRESS)) as (first, terminal):
            trio.from_thread.run(server.was_asked.wait)
            second = gatebus(tmp_path, *line, str(tmp_path / "fresh.wat"))
            assert (second.returncode, second.stdout) == (0, b"hello, world\n")
            assert FETCHING in said(terminal)
            trio.from_thread.run_sync(server.enough.set)
            assert (first.communicate()[0], first.returncode) == (b"hello, world\n", 0)

    await at_a_host(tmp_path, server, story)


FETCHING = b"gatebus: The host has not begun yet: it is fetching the program, for up to two minutes."


@pytest.mark.parametrize("command", ["launch", "pin"])
async def test_a_person_is_told_what_the_host_is_at(tmp_path: Path, command: str) -> None:
    server = Held()

    def story(_: HostProcess) -> None:
        with calling(tmp_path, (command, ADDRESS)) as (process, terminal):
            assert said(terminal) == FETCHING
            trio.from_thread.run_sync(server.enough.set)
            assert process.wait(PATIENCE) == 0

    await at_a_host(tmp_path, server, story)


NOT_PINNED = {
    "ipfs://nonsense": "It is no CID, or one that was cut short or mistyped.",
    f"ipfs://{FOLDER.cid}/no": "There is no no in the directory.",
    "host://.js": "Modules from there stay without a pin, or are not this host's to keep.",
    "https://example.org/x": "This host fetches no modules from there. Upload it. Sources: host://, ipfs://.",
}


async def test_what_cannot_be_pinned_is_told_why(tmp_path: Path) -> None:
    def story(_: HostProcess) -> None:
        told = {address: gatebus(tmp_path, "pin", address) for address in NOT_PINNED}
        assert {address: done.stderr.decode() for address, done in told.items()} == {
            address: f"gatebus: {address}: {text}\n" for address, text in NOT_PINNED.items()
        }
        assert {(done.returncode, done.stdout) for done in told.values()} == {(OURS, b"")}
        assert json.loads(gatebus(tmp_path, "modules", "--json").stdout) == []

    await at_a_host(tmp_path, Hostile(ALL), story)


def test_a_host_gives_what_it_has_pinned_to_another_host(tmp_path: Path) -> None:
    """And to nobody what it has only fetched; by default it gives nothing at all."""
    (tmp_path / "hello.wat").write_text(HELLO)
    giver, taker = tmp_path / "giver", tmp_path / "taker"
    added = gatebus(giver, "ipfs", "add", str(tmp_path / "hello.wat"), GATEBUS_IPFS_STORE=str(giver / "blocks"))
    cid = added.stdout.decode().strip()
    line = ("--listen", "127.0.0.1:0", "--gateway-serve", "true", "--gateway-store", str(giver / "blocks"))
    with serving(giver, *line) as host:
        gateway = f"local+http://{host.address()}"
        with serving(taker, "--listen", "127.0.0.1:0", "--fetch-gateways", gateway) as other:
            done = gatebus(taker, "call", f"ipfs://{cid}")
            assert (done.returncode, done.stdout, done.stderr) == (0, b"hello, world\n", b"")
            status, body = fetched(f"http://{other.address()}/ipfs/{cid}?format=raw")
            assert (status, body) == (404, b"There is no such page.\n")
        assert fetched(f"http://{host.address()}/ipfs/{cid}?format=raw") == (200, HELLO.encode())


def fetched(url: str) -> tuple[int, bytes]:
    """As anybody's HTTP client does it."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_host_without_gateways_asks_nobody_and_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, "--listen", "127.0.0.1:0"):
        done = gatebus(tmp_path, "call", ADDRESS)
    assert (done.returncode, done.stdout) == (OURS, b"")
    assert (
        b"This host fetches nothing by content: its owner names `gateways` under `[fetch]` in its configuration. Or "
        b"fetch it yourself, `gatebus ipfs get`, and send the file.\n"
    ) in done.stderr
