"""A state that a host writes goes on under `gatebus run`, and one that `gatebus run` writes goes on at a host."""

from __future__ import annotations

import os
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from busworld import BOB
from commands import command
from guestfiles import require_guest
from liveworld import CHAIN, chained, digest, live_world
from stoppedruns import WAITS, run, stop
from test_live_instances import ONE, TWO, connect, ended, launch
from test_snapshots_as_files import brought, exported, taken
from test_stored_gate_programs import enters, talks

from gatebus.bounds import TERMINAL_WINDOW
from gatebus.cli.statecommand import suspended_untrusted
from gatebus.keptservices import encode_kept, kept_untrusted
from sandbox.statefile import decode_untrusted, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from busworld import Talker

    from gatebus.keptservices import Kept
    from gatebus.protocol.messages import Error

pytestmark = pytest.mark.usefixtures("native")


def gatebus(*words: str) -> tuple[str, ...]:
    line = command()
    return (*line[: line.index("run")], *words)


@contextmanager
def open_input() -> Iterator[int]:
    """Nothing comes, and no end."""
    reader, writer = os.pipe()
    try:
        yield reader
    finally:
        os.close(reader)
        os.close(writer)


@pytest.fixture
def stopped(tmp_path: Path) -> bytes:
    """CHAIN's state, made without a host; it had read nothing yet."""
    (tmp_path / "chain.wat").write_bytes(CHAIN)
    with open_input() as reader:
        done = stop(tmp_path, reader, "chain.wat")
    assert done.code == 124, done.err
    return (tmp_path / "it.state").read_bytes()


def described(state: bytes, **more: object) -> bytes:
    stored = decode_untrusted(state)
    return encode(suspended_untrusted(stored), stored.program, {**stored.description, **more}, stored.services)


def keeping(state: bytes, change: Callable[[Kept], Kept]) -> bytes:
    stored = decode_untrusted(state)
    services = encode_kept(change(kept_untrusted(stored.services)))
    return encode(suspended_untrusted(stored), stored.program, stored.description, services)


async def test_what_a_host_writes_is_shown_and_goes_on_without_one(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        (tmp_path / "it.state").write_bytes(await exported(bus, await taken(bus), form="state"))
    shown = run(tmp_path, *gatebus("show", "it.state"))
    assert (shown.code, shown.err) == (0, "")
    assert digest(CHAIN).hex().encode() in shown.out
    text = b" there" * (TERMINAL_WINDOW // 3)  # more than any window: what its client had not granted is granted
    done = run(tmp_path, *command("--resume", "it.state"), text=text)
    assert (done.code, done.err, done.out) == (0, "", chained(b"hello" + text)[5:])


async def test_what_nobody_had_fetched_at_the_host_comes_first(image_directory: Path, tmp_path: Path) -> None:
    waits = WAITS.encode()
    async with live_world(image_directory, None, waits) as world, world.talker() as bus:
        await bus.ask("launch", instance=ONE, module=digest(waits))
        (tmp_path / "it.state").write_bytes(await exported(bus, await taken(bus), form="state"))
    done = run(tmp_path, *command("--resume", "it.state"), text=b"line\n")
    assert (done.code, done.err, done.out) == (7, "", b"before\nline\n")


async def test_a_program_that_speaks_packets_goes_on_without_its_host(image_directory: Path, tmp_path: Path) -> None:
    echo = require_guest("3_echo_stream.wasm").read_bytes()
    async with live_world(image_directory, None, echo) as world, world.talker() as bus:
        await bus.ask("launch", instance=ONE, module=digest(echo))
        await connect(bus, ONE, b"hello")
        (tmp_path / "it.state").write_bytes(await exported(bus, await taken(bus), form="state"))
    done = run(tmp_path, *command("--resume", "it.state"), text=b" there")
    assert (done.code, done.err, done.out) == (0, "", b" theresent back 11 bytes\n")


@pytest.mark.parametrize("said", [{}, {"window": 2**60}, {"window": -1}, {"window": "wide"}, {"limits": [1]}])
async def test_what_a_run_writes_goes_on_at_a_host(
    stopped: bytes, said: dict[str, object], image_directory: Path
) -> None:
    text = b"hello there" * (TERMINAL_WINDOW // 8)  # more than any window
    async with live_world(image_directory) as world, world.talker(BOB) as bob:
        came = await brought(bob, described(stopped, **said))
        assert (await bob.ask("restore", snapshot=came["snapshot"], instance=TWO))["state"] == "RUNNING"
        two = await bob.io(TWO).until(lambda each: each.accepted)
        for at in range(0, len(text), 60_000):
            two.write(text[at : at + 60_000])
            await two.until(lambda each, at=at: len(each.data) >= at)
        assert await ended(two) == chained(text)


async def test_a_room_that_was_begun_without_a_host_takes_people_at_one(image_directory: Path, tmp_path: Path) -> None:
    (tmp_path / "chat.wasm").write_bytes(require_guest("chat.wasm").read_bytes())
    with open_input() as reader:
        assert stop(tmp_path, reader, "chat.wasm").code == 124
    async with live_world(image_directory) as world, world.talker() as bus, world.talker() as other:
        came = await brought(bus, (tmp_path / "it.state").read_bytes())
        await bus.ask("restore", snapshot=came["snapshot"], instance=ONE)
        await talks(await enters(bus, "carol"), await enters(other, "dave"), "carol", "this is a host")


async def test_who_names_a_signed_snapshot_as_a_state_hears_where_it_goes(
    image_directory: Path, tmp_path: Path
) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        (tmp_path / "it.snapshot").write_bytes(await exported(bus, await taken(bus)))
    for words in (
        gatebus("show", "it.snapshot"),
        gatebus("export", "it.snapshot", "-o", "it.wasm"),
        command("--resume", "it.snapshot"),
    ):
        done = run(tmp_path, *words)
        assert done.code == 125
        assert (
            "It is a snapshot that a host has signed: `gatebus import it.snapshot` brings it to a host, where "
            "`gatebus show SNAPSHOT` and `restore` take it. For a file without a host: `gatebus export --form state`"
        ) in done.err


async def test_a_credit_that_no_host_gave_is_worth_nothing(stopped: bytes, image_directory: Path) -> None:
    def greedy(kept: Kept) -> Kept:
        ((name, origin),) = kept.services
        return kept._replace(services=((name, origin[:-4] + b"\xff\xff\xff\x7f"),))

    async with live_world(image_directory) as world, world.talker(BOB) as bob:
        came = await brought(bob, keeping(stopped, greedy))
        await bob.ask("restore", snapshot=came["snapshot"], instance=TWO)
        two = await connect(bob, TWO, b"hello")
        assert await ended(two) == chained(b"hello")


async def test_output_that_nobody_read_is_not_lost_silently(stopped: bytes, image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker(BOB) as bob:
        error = await refused(bob, keeping(stopped, lambda kept: kept._replace(output=b"unread")))
        assert (error.code, error.text) == (
            "bad-state",
            "6 bytes of the program's output have not been read, and a host has nobody to read them. "
            "Let it go on with `gatebus run --resume FILE` and stop it again.",
        )


@pytest.mark.parametrize("personality", [None, "wasm", 1])
async def test_a_state_says_how_its_program_speaks(stopped: bytes, personality: object, image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker(BOB) as bob:
        error = await refused(bob, described(stopped, personality=personality))
        assert (error.code, error.text) == (
            "bad-state",
            "The state does not say how its program speaks. Make it again with this version of gatebus.",
        )


@pytest.mark.parametrize("services", [b"", b"\2" + bytes(7), b"GBPARTS1\x80"], ids=["none", "wrong", "of old"])
async def test_what_a_state_says_of_its_services_is_parsed_before_anything_is_kept(
    stopped: bytes, services: bytes, image_directory: Path
) -> None:
    stored = decode_untrusted(stopped)
    async with live_world(image_directory) as world, world.talker(BOB) as bob:
        data = encode(suspended_untrusted(stored), stored.program, stored.description, services)
        error = await refused(bob, data)
        assert (error.code, error.text) == ("bad-state", "What the state says of the program's services is malformed.")
        assert (await bob.ask("snapshots"))["snapshots"] == []


async def refused(bus: Talker, data: bytes) -> Error:
    given = {"size": len(data), "sha256": sha256(data).digest()}
    channel = await bus.open("import", given).until(lambda each: each.accepted)
    channel.write(data)
    channel.end()
    return await channel.error()
