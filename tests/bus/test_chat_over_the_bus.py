"""`make chat`: a host with a room, and two strangers who meet in it over websockets."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import trio
from commands import native_is_missing
from guestfiles import require_guest
from waiting import PATIENCE

from gatebus.client import Manner, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatebus.client import Running

ROOT = Path(__file__).parent.parent.parent
NATIVE = pytest.param("native", marks=pytest.mark.skipif(native_is_missing(), reason="the native part is not built"))


class AnyKey:
    """The host is a minute old: its key is nobody's yet."""

    async def check(self, key: bytes) -> None:
        assert len(key) == 32


@pytest.fixture(params=[NATIVE, "portable"])
def room(request: pytest.FixtureRequest) -> Iterator[tuple[str, UUID]]:
    """(Address of the host, the room's id.)"""
    require_guest("chat.wasm")
    line = [sys.executable, ROOT / "examples/chat/serve.py", "--port", "0", "--backend", request.param]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            said = urlsplit(process.stdout.readline().removeprefix("room: ").strip())
            yield f"ws://{said.netloc}", UUID(said.fragment)
        finally:
            process.terminate()
        assert process.wait(PATIENCE) == 0


def test_a_port_that_is_taken_is_told_with_the_way_to_another_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = [sys.executable, ROOT / "examples/chat/serve.py", "--port", port, "--backend", "portable"]
        done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == (
        f"Cannot listen on 127.0.0.1 port {port}: the port is in use, perhaps by another host; take another one. "
        "`make chat PORT=7000` takes another port.\n"
    )


class Person:
    def __init__(self, running: Running) -> None:
        self._running = running
        self._seen = ""

    async def say(self, *lines: str) -> None:
        await self._running.send("".join(f"{line}\n" for line in lines).encode())

    async def sees(self, line: str) -> None:
        while f"{line}\n" not in self._seen:
            data = await self._running.receive()
            assert data, self._seen
            self._seen += data.decode()
        self._seen = self._seen.partition(f"{line}\n")[2]


async def test_two_strangers_meet_in_a_room(room: tuple[str, UUID]) -> None:
    address, instance = room
    manner = Manner(trust=AnyKey())
    with trio.fail_after(PATIENCE):
        async with (
            connect(address, manner=manner) as one,
            connect(address, manner=manner) as other,
            one.io(instance) as at_one,
            other.io(instance) as at_other,
        ):
            alice, bob = Person(at_one), Person(at_other)
            await alice.say("/name alice")
            await bob.say("/name bob", "hello alice")
            await alice.sees("<bob> hello alice")
            await alice.say("hello bob")
            await bob.sees("<alice> hello bob")
            await bob.say("/leave")
            await alice.sees("- bob")
            while await at_other.receive():
                pass
