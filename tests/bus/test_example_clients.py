"""The examples of clients against the product's host on a real socket: outside software, a program without trio."""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from busworld import module, pattern
from loopbackhost import host_on_loopback
from waiting import PATIENCE

from gatebus.bounds import STREAM_WINDOW_LEAST
from gatebus.client import ExactKey, Manner, NotTrusted, Program, connect, sync
from gatebus.client.knownhosts import known_host_line
from gatebus.client.trustfile import SameMachine
from gatebus.protocol.proofs import public_key
from gatebus.web.entry import Terms
from gatebus.web.link import SUBPROTOCOL

if TYPE_CHECKING:
    from types import ModuleType

EXAMPLES = Path(__file__).parents[2] / "examples" / "bus_clients"


def example(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    loaded = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize("size", [0, 5, 1_000_000])
async def test_an_outside_client_speaks_level_0(size: int) -> None:
    async with host_on_loopback() as (_world, place):
        output, outcome = await example("level0").call(f"ws://{place}/bus", module(b"echo"), pattern(0, size))
    assert output == pattern(0, size)
    assert (outcome["cause"], outcome["result"]) == ("NORMAL", 0)


async def test_an_outside_client_hears_how_little_is_kept_for_it() -> None:
    """Of strangers, who have many streams together."""
    async with host_on_loopback() as (world, place):
        world.host.parts.registry.window = lambda _account, _connections: STREAM_WINDOW_LEAST
        with trio.fail_after(60):
            output, _ = await example("level0").call(f"ws://{place}/bus", module(b"narrow"), pattern(0, 300_000))
    assert output == pattern(0, 300_000)


async def test_an_outside_client_hears_why_it_was_refused() -> None:
    level0 = example("level0")
    async with host_on_loopback() as (_world, place):
        with pytest.raises(level0.Refused) as caught:
            await level0.call(f"ws://{place}/bus", b"m" * 32, b"")
    assert caught.value.args == ("not-found", "This host does not have the module. Upload it first.")


async def test_a_program_without_trio_talks_to_a_program() -> None:
    def talk(place: str) -> list[bytes]:
        with sync.connect(place, manner=Manner(trust=SameMachine())) as bus:
            return list(example("without_trio").talk(bus, module(b"echo").hex()))

    async with host_on_loopback() as (_world, place):
        said = await trio.to_thread.run_sync(talk, place)
    assert said == [b"one\n", b"two\n", b"three\n", b"the program ended: NORMAL\n"]


async def test_a_client_connects_over_a_unix_socket_and_needs_no_key_of_the_host(tmp_path: Path) -> None:
    async with host_on_loopback(tmp_path / "s") as (_world, place), connect(place) as bus:
        assert (await bus.call(Program(module(b"hello")))).output == b"hello"


async def test_a_host_that_is_met_for_the_first_time_is_remembered_and_another_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    known = tmp_path / "gatebus" / "known_hosts"
    async with host_on_loopback() as (_world, place):
        for _ in range(2):
            async with connect(place) as bus:
                await bus.features()
        (line,) = known.read_text().splitlines()
        assert line.startswith(f"ws://{place} ssh-ed25519 ")
        known.write_text(known_host_line(f"ws://{place}", public_key(b"another host's private key 32 by")))
        with pytest.raises(NotTrusted) as caught:
            await opened(place)
        assert caught.value.text.startswith(f"The key of ws://{place} has changed to SHA256:")
        assert caught.value.text.endswith(f"then forget the old one: gatebus login --forget ws://{place}")
        assert str(caught.value) == caught.value.text
        with pytest.raises(NotTrusted):
            await opened(place, Manner(trust=ExactKey(b"x" * 32)))


async def opened(place: str, manner: Manner | None = None) -> Any:
    async with connect(place, manner=manner) as bus:
        return await bus.features()


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("level0", "usage: python level0.py ws://127.0.0.1:6473/bus MODULE-SHA256-OR-SOURCE < input > output"),
        ("without_trio", "usage: python without_trio.py 127.0.0.1:6473 MODULE-SHA256-OR-SOURCE"),
    ],
)
def test_an_example_without_arguments_says_how_it_is_started(name: str, usage: str) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parents[1])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{usage}\n")


@pytest.mark.parametrize(
    ("name", "address", "module_name", "told"),
    [
        ("level0", "ws://127.0.0.1:1/bus", "hello", "hello is neither a SHA-256 nor a source such as ipfs://..."),
        ("without_trio", "127.0.0.1:1", "0" * 64, "Nobody listens there."),
        ("without_trio", "ftp://x", "0" * 64, "ftp: is not a kind of address: use ws://, wss:// or unix:."),
    ],
)
def test_an_example_says_what_is_wrong_in_one_line(
    name: str, address: str, module_name: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(SystemExit) as caught:
        example(name).main(address, module_name)
    assert caught.value.code == told


async def test_an_example_hears_that_there_is_no_such_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def run(place: str) -> str:
        with pytest.raises(SystemExit) as caught:
            example("without_trio").main(place, "0" * 64)
        return str(caught.value.code)

    async with host_on_loopback() as (_world, place):
        assert await trio.to_thread.run_sync(run, place) == "This host does not have the module. Upload it first."


def test_the_subprotocol_is_the_one_that_the_page_names() -> None:
    assert Terms().subprotocol == SUBPROTOCOL == "gatebus.v1"
