"""What is in snapshots, in what they differ, and how they leave a host and come in."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from busworld import BOB
from liveworld import CHAIN, chained, digest, live_world
from test_live_instances import ONE, TWO, connect, ended, launch

from gatebus.host.hostconfig import HostConfig, Snapshots
from gatebus.snapshots.exportwords import HEAD_SIZE, MAGIC, head_untrusted
from gatebus.snapshots.manifestwords import decode_untrusted as decode_manifest
from sandbox.exportfile import state_of_untrusted
from sandbox.statefile import decode_untrusted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from busworld import Talker

pytestmark = pytest.mark.usefixtures("native")


async def taken(bus: Talker) -> bytes:
    return (await bus.ask("snapshot", instance=ONE))["snapshot"]


async def exported(bus: Talker, snapshot: bytes, **more: object) -> bytes:
    channel = bus.open("export", {"snapshot": snapshot, **more})
    result = await channel.result()
    assert (result["size"], result["sha256"]) == (len(channel.data), sha256(channel.data).digest())
    return bytes(channel.data)


async def brought(bus: Talker, data: bytes, **said: object) -> dict[str, object]:
    given = {"size": len(data), "sha256": sha256(data).digest(), **said}
    channel = await bus.open("import", given).until(lambda each: each.accepted or each.answer)
    if channel.answer is None:
        for at in range(0, len(data), 60_000):
            channel.write(data[at : at + 60_000])
        channel.end()
    return await channel.result()


def contents(data: bytes) -> tuple[Mapping[str, object], list[str]]:
    """What describes the snapshot, and the names of its parts."""
    manifest = decode_manifest(data[HEAD_SIZE : HEAD_SIZE + head_untrusted(data[:HEAD_SIZE]).manifest])
    return manifest.described(), [section.name for section in manifest.sections]


async def test_a_snapshot_leaves_as_a_file_and_goes_on_at_another_host(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        data = await exported(bus, await taken(bus))
    assert data.startswith(MAGIC)
    nothing = b'(module (memory (export "memory") 1) (func (export "_start")))'
    async with live_world(image_directory, tmp_path, nothing) as world, world.talker(BOB) as bob:
        came = await brought(bob, data)
        assert came["module"] == digest(CHAIN)
        signer = head_untrusted(data[:HEAD_SIZE]).key
        assert came["signer"] == (await bob.ask("show", snapshot=came["snapshot"]))["about"]["signer"] == signer
        assert (await bob.ask("restore", snapshot=came["snapshot"], instance=TWO))["state"] == "RUNNING"
        two = await connect(bob, TWO, b" there")
        assert await ended(two) == chained(b"hello there")[5:]


async def test_a_snapshot_leaves_as_one_ordinary_module_and_comes_back(image_directory: Path) -> None:
    """With its state beside it, and so with its limits, its files and what it had not read."""
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus, limits={"memory": 5 << 20})
        own = await taken(bus)
        module = await exported(bus, own, form="wasm")
        assert module.startswith(b"\0asm")
        stored = state_of_untrusted(module)
        assert stored is not None
        assert stored.program == CHAIN
        came = await brought(bus, module)
        assert came["module"] == digest(CHAIN)
        status = await bus.ask("restore", snapshot=came["snapshot"], instance=TWO)
        assert (await bus.ask("show", snapshot=came["snapshot"]))["about"]["limits"]["memory"] == 5 << 20, status
        assert await ended(await connect(bus, TWO, b" there")) == chained(b"hello there")[5:]
        error = await bus.open("export", {"snapshot": own, "form": "exe"}).error()
        assert error.text == "The parameter `form` must be file or state or wasm."


async def test_of_a_module_only_a_whole_state_beside_it_comes_in(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        module = await exported(bus, await taken(bus), form="wasm")
        assert (await brought_in_vain(bus, b"\0asm\1\0\0\0")) == (
            "This is a module without the state of a stopped program beside it. `gatebus launch` starts it; what was "
            "exported goes on, unless that was with `--plain`."
        )
        text = await brought_in_vain(bus, module[:-1] + b"?")
        assert text.startswith("The part of this file that gatebus goes on by is not of this module")
        assert len((await bus.ask("snapshots"))["snapshots"]) == 1


async def brought_in_vain(bus: Talker, data: bytes) -> str:
    channel = bus.open("import", {"size": len(data), "sha256": sha256(data).digest()})
    await channel.until(lambda each: each.accepted)
    channel.write(data)
    channel.end()
    error = await channel.error()
    assert error.code == "bad-state"
    return error.text


async def test_a_snapshot_leaves_as_a_state_for_a_run_without_a_host_and_comes_back(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        data = await exported(bus, await taken(bus), form="state")
        assert decode_untrusted(data).program == CHAIN
        came = await brought(bus, data)
        await bus.ask("restore", snapshot=came["snapshot"], instance=TWO)
        assert await ended(await connect(bus, TWO, b" there")) == chained(b"hello there")[5:]


async def test_what_leaves_names_no_person_no_stream_and_no_instance(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus, tags=["mine"])
        data = await exported(bus, await taken(bus))
        lines = (await bus.ask("snapshots"))["snapshots"]
    about, parts = contents(data)
    assert about.keys() <= {"instance", "kind", "taken", "limits", "personality", "window", "usage", "lives"}
    assert about["instance"] != ONE
    assert "streams" not in parts
    assert len(lines) == 1  # the one that was made for the way is gone


async def test_the_same_snapshot_leaves_as_the_same_bytes(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        own = await taken(bus)
        assert await exported(bus, own) == await exported(bus, own)


@pytest.mark.parametrize(("accept", "form"), [("own", "file"), ("signed", "state"), ("own", "state")])
async def test_a_host_takes_only_what_its_configuration_accepts(accept: str, form: str, image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        data = await exported(bus, await taken(bus), form=form)
    config = HostConfig(snapshots=Snapshots(accept))
    async with live_world(image_directory, config=config) as world, world.talker(BOB) as bob:
        given = {"size": len(data), "sha256": sha256(data).digest()}
        channel = await bob.open("import", given).until(lambda each: each.accepted)
        for at in range(0, len(data), 60_000):
            channel.write(data[at : at + 60_000])
        channel.end()
        error = await channel.error()
        assert error.code == "forbidden"
        assert error.text.startswith("This host takes only snapshots that ")


@pytest.mark.parametrize("at", [0, 60, 200, -1])
async def test_a_damaged_file_is_refused(at: int, image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        data = bytearray(await exported(bus, await taken(bus)))
        data[at] ^= 1
        given = {"size": len(data), "sha256": sha256(data).digest()}
        channel = await bus.open("import", given).until(lambda each: each.accepted)
        channel.write(bytes(data[:100_000]))
        channel.end()
        assert (await channel.error()).code == "bad-state"


async def test_what_is_not_what_was_announced_is_refused(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        channel = await bus.open("import", {"size": 10, "sha256": bytes(32)}).until(lambda each: each.accepted)
        channel.write(b"0123456789")
        assert (await channel.error()).text == "What came has another SHA-256 than was announced."
        too_large = await bus.open("import", {"size": 1 << 40, "sha256": bytes(32)}).error()
        assert (too_large.code, too_large.text) == ("quota-uploads", "A file of a snapshot has at most 256 MiB here.")
        empty = await bus.open("import", {"size": 0, "sha256": sha256(b"").digest()}).error()
        assert (empty.code, empty.text) == (
            "bad-state",
            "The file is empty. A snapshot's file is what `export` writes.",
        )


async def test_two_files_of_an_account_are_on_their_way_at_most(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus, world.talker(BOB) as bob:
        given = {"size": 10, "sha256": bytes(32)}
        first, second = [await bus.open("import", given).until(lambda each: each.accepted) for _ in range(2)]
        refused = await bus.open("import", given).error()
        assert (refused.code, refused.text) == (
            "busy",
            "2 files of yours are on their way already. Wait for the end of one.",
        )
        await bob.open("import", given).until(lambda each: each.accepted)
        first.cancel()
        await first.result()
        await bus.open("import", given).until(lambda each: each.accepted)
        assert second.answer is None


async def test_a_person_is_shown_where_a_stored_program_stands(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        await bus.ask("suspend", instance=ONE)
        told = await bus.ask("show", instance=ONE)
        assert told["module"] == digest(CHAIN)
        assert told["frames"][0]["place"]
        assert told["memory"]["pages"] == 2
        assert told["sizes"]["state"] > told["sizes"]["frames"] > 0
        assert "account" not in told["about"]


async def test_a_program_that_is_not_stored_now_is_not_shown_as_it_was(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        await taken(bus)
        for suspend in ((), ("parked",)):
            for depth in suspend:
                await bus.ask("suspend", instance=ONE, depth=depth)
            error = await bus.open("show", {"instance": ONE}).error()
            assert (error.code, error.text) == (
                "conflict",
                "What this instance is now is not stored. Suspend it, or show a snapshot of it.",
            )


@pytest.mark.parametrize("stored", [True, False])
async def test_of_a_program_that_has_ended_nobody_is_told_to_suspend_it(image_directory: Path, stored: bool) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        if stored:
            await bus.ask("suspend", instance=ONE)
        await bus.ask("kill", instance=ONE)
        await bus.ask("wait", instance=ONE)
        assert (await bus.open("show", {"instance": ONE}).error()).text == (
            "The instance has ended, and nothing is kept of what it was then. "
            "Show a snapshot that was taken of it before."
        )


async def test_two_snapshots_differ_where_the_program_wrote(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        stream = await launch(bus)
        first = await taken(bus)
        stream.write(b" world")
        await stream.until(lambda each: len(each.data) == 11)
        second = await taken(bus)
        told = await bus.ask("diff", a=first, b=second)
        assert told["ranges"]
        assert sum(length for _, length in told["ranges"]) == told["changed"] * 4096 <= 3 * 4096
        assert (await bus.ask("diff", a=first, b=first))["changed"] == 0


async def test_another_s_snapshots_are_not_looked_into(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus, world.talker(BOB) as bob:
        await launch(bus)
        own = await taken(bus)
        for operation, given in {
            "show": {"snapshot": own},
            "diff": {"a": own, "b": own},
            "export": {"snapshot": own},
        }.items():
            missing = dict.fromkeys(given, b"?" * 32)
            theirs, none = await bob.open(operation, given).error(), await bob.open(operation, missing).error()
            assert (theirs.code, theirs.text) == ("not-found", none.text)
